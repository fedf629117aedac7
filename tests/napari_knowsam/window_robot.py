"""A robot at a window that is on the screen: what it does begins with real events of the mouse and the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gui_robot import NOBODY, PAINTED_SAMPLE, PLUGIN, Robot
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

_WINDOW_PX = (1400, 950)
_LEFT = Qt.MouseButton.LeftButton
_NO_BUTTON = Qt.MouseButton.NoButton


class WindowRobot(Robot):
    """A viewer that is on the screen, with the plugin in its dock.

    Parameters
    ----------
    sample : key of the sample to open, None for an empty viewer.
    """

    viewer: Viewer

    def __init__(self, make_viewer: Callable[..., Viewer], qtbot: QtBot, sample: str | None = PAINTED_SAMPLE) -> None:
        viewer = make_viewer(show=True)
        viewer.window._qt_window.resize(*_WINDOW_PX)
        if sample is not None:
            viewer.open_sample(PLUGIN, sample)
        super().__init__(viewer, viewer.window.add_plugin_dock_widget(PLUGIN)[1], qtbot)
        qtbot.wait(50)

    def press_button(self, button: QAbstractButton) -> None:
        QTest.mouseClick(button, _LEFT)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NOBODY) -> None:
        """Press a key while the canvas has the focus."""
        QTest.keyClick(self._canvas.native, key, modifier)

    def press_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseMove, layer, point_zyx, _NO_BUTTON, _NO_BUTTON)
        self._send(QEvent.Type.MouseButtonPress, layer, point_zyx, _LEFT, _LEFT)

    def move_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseMove, layer, point_zyx, _NO_BUTTON, _LEFT)

    def release_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseButtonRelease, layer, point_zyx, _LEFT, _NO_BUTTON)

    @property
    def _canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas

    def _send(
        self,
        kind: QEvent.Type,
        layer: Layer,
        point_zyx: Sequence[float],
        button: Qt.MouseButton,
        buttons: Qt.MouseButton,
    ) -> None:
        native = self._canvas.native
        where = QPointF(self._on_canvas(layer, point_zyx))
        QApplication.sendEvent(native, QMouseEvent(kind, where, native.mapToGlobal(where), button, buttons, NOBODY))
        QApplication.processEvents()

    def _on_canvas(self, layer: Layer, point_zyx: Sequence[float]) -> QPoint:
        row, column = (layer.data_to_world(point_zyx)[axis] for axis in self.viewer.dims.displayed)
        x, y, _, w = (self._canvas.view.transform * self._canvas.view.scene.transform).map((column, row, 0, 1))
        return QPoint(round(x / w), round(y / w))
