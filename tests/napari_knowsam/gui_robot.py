"""A robot at a real viewer: it uses mouse, keys and buttons as a person does, and says what there is to see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget

from knowsam.config import Config
from knowsam.training.schedule import Budget
from napari_knowsam.training_worker import THREAD, TrainingWorker

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.session import TrainingSession
    from napari_knowsam.dock_widget import KnowSAMWidget
    from napari_knowsam.presenter import Presenter

PLUGIN = "napari-knowsam"
TINY = Config().with_values(
    width=4,
    max_side_px=32,
    variant="none",
    labelled_batch=1,
    unlabelled_batch=1,
    neighbours=False,
    precision="float32",
    validations=1000,
    validate_every_s=0.1,
    refresh_share=0.9,
    distillation=True,
    mixing=True,
    shape_prior=False,
)
"""Learns little, but fast: a step takes hundredths of a second, and predictions follow each of them."""

PROPAGATING = TINY.with_values(shape_prior=True)
"""The same with labels propagated from the painted slices, which are shown at once."""

_WINDOW_PX = (1400, 950)
_STEPS_OF_A_STROKE = 6
_NOBODY = Qt.KeyboardModifier.NoModifier
_LEFT = Qt.MouseButton.LeftButton

Values = npt.NDArray[np.integer[Any]]


class Robot:
    """A viewer that is on the screen, with the plugin in its dock.

    Parameters
    ----------
    sample : key of the sample to open, None for an empty viewer.
    """

    def __init__(
        self, make_viewer: Callable[..., Viewer], qtbot: QtBot, sample: str | None = "painted_phantom"
    ) -> None:
        self.qtbot = qtbot
        self.viewer = make_viewer(show=True)
        self.viewer.window._qt_window.resize(*_WINDOW_PX)
        if sample is not None:
            self.viewer.open_sample(PLUGIN, sample)
        self.widget: KnowSAMWidget = self.viewer.window.add_plugin_dock_widget(PLUGIN)[1]
        self.settings(Budget(seconds=120.0))
        qtbot.wait(50)

    def settings(self, budget: Budget, config: Config = TINY, teacher: str = "none") -> None:
        """Let the panel say that this was chosen."""
        train: Any = self.widget.train
        train.budget, train.config, train.teacher = lambda: budget, lambda: config, lambda: teacher

    @property
    def presenter(self) -> Presenter:
        assert self.widget.presenter is not None
        return self.widget.presenter

    @property
    def document(self) -> AnnotationDocument:
        assert self.presenter.layers.document is not None
        return self.presenter.layers.document

    @property
    def image(self) -> Image:
        return next(layer for layer in self.viewer.layers if isinstance(layer, Image))

    @property
    def labels(self) -> Labels:
        return next(
            layer for layer in self.viewer.layers if isinstance(layer, Labels) and "prediction" not in layer.name
        )

    @property
    def prediction(self) -> Labels:
        return next(layer for layer in self.viewer.layers if layer.name.endswith(" prediction"))

    @property
    def has_prediction(self) -> bool:
        return any(layer.name.endswith(" prediction") for layer in self.viewer.layers)

    @property
    def session(self) -> TrainingSession:
        """The session of the training that goes on."""
        worker = self.presenter.controller._worker
        assert worker is not None
        assert isinstance(worker, TrainingWorker)
        assert worker._session is not None
        return worker._session

    @property
    def is_running(self) -> bool:
        return self.presenter.controller.is_running

    @property
    def annotate_message(self) -> str:
        return self.widget.annotate._message.text()

    @property
    def train_message(self) -> str:
        """What is said of the sample, without its name."""
        return self.widget.train.pinned._message.text().removeprefix("phantom: ")

    @property
    def result_message(self) -> str:
        return self.widget.result.pinned._message.text()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Let the window live until something has happened."""
        self.qtbot.waitUntil(condition, timeout=round(1000 * timeout_s))

    def click(self, panel: QWidget, text: str) -> None:
        """Click the button of a panel, or of what it has pinned below all panels, that bears this text."""
        owned = {*panel.findChildren(QAbstractButton), *getattr(panel, "pinned", panel).findChildren(QAbstractButton)}
        found = [one for one in owned if one.text() == text]
        assert len(found) == 1, f"{len(found)} buttons say {text!r}"
        assert found[0].isEnabled(), f"the button {text!r} is off"
        QTest.mouseClick(found[0], _LEFT)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = _NOBODY) -> None:
        """Press a key while the canvas has the focus."""
        QTest.keyClick(self._canvas.native, key, modifier)

    def train(self) -> None:
        """Press the button and wait for the first prediction."""
        self.click(self.widget.train, "Train on my labels")
        self.wait_until(lambda: self.has_prediction)

    def stop(self) -> None:
        """Press the button and wait for the end, and until all predictions have followed."""
        self.click(self.widget.train, "Stop")
        self.wait_until(lambda: not self.is_running)
        self.wait_until(lambda: not self.presenter.controller.outdated(self.document))

    def look_at(self, index: int) -> None:
        """Bring a slice on the screen."""
        self.presenter.layers.sync.view.go_to(index)
        assert self.presenter.layers.sync.view.index == index

    def take_brush(self, layer: Labels, value: int, size: int = 4) -> None:
        """Make a layer the one to paint on, and choose what to paint."""
        self.viewer.layers.selection.active = layer
        layer.mode = "paint"
        layer.brush_size = size
        layer.selected_label = value

    def paint(self, layer: Labels, value: int, points_zyx: Sequence[tuple[int, int, int]], size: int = 4) -> None:
        """Paint a line through voxels of the slice on the screen, with real events of the mouse."""
        self.take_brush(layer, value, size)
        self.press_mouse(layer, points_zyx[0])
        for start, end in pairwise(points_zyx):
            for share in np.linspace(0, 1, _STEPS_OF_A_STROKE)[1:]:
                point = np.asarray(start) + share * (np.asarray(end) - start)
                self.move_mouse(layer, tuple(point))
        self.release_mouse(layer, points_zyx[-1])

    def press_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseMove, layer, point_zyx, Qt.MouseButton.NoButton, Qt.MouseButton.NoButton)
        self._send(QEvent.Type.MouseButtonPress, layer, point_zyx, _LEFT, _LEFT)

    def move_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseMove, layer, point_zyx, Qt.MouseButton.NoButton, _LEFT)

    def release_mouse(self, layer: Layer, point_zyx: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseButtonRelease, layer, point_zyx, _LEFT, Qt.MouseButton.NoButton)

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
        QApplication.sendEvent(native, QMouseEvent(kind, where, native.mapToGlobal(where), button, buttons, _NOBODY))
        QApplication.processEvents()

    def _on_canvas(self, layer: Layer, point_zyx: Sequence[float]) -> QPoint:
        row, column = (layer.data_to_world(point_zyx)[axis] for axis in self.viewer.dims.displayed)
        x, y, _, w = (self._canvas.view.transform * self._canvas.view.scene.transform).map((column, row, 0, 1))
        return QPoint(round(x / w), round(y / w))


def plane_of(layer: Labels, index: int) -> Values:
    """Return a copy of an axial slice (Y, X) of a layer."""
    return np.array(layer.data[index])


def wait_for_threads(qtbot: QtBot, timeout_s: float = 20.0) -> None:
    """Wait until no training goes on in any thread."""
    qtbot.waitUntil(
        lambda: THREAD not in {thread.name for thread in threading.enumerate()}, timeout=round(1000 * timeout_s)
    )


def sentences(widget: QWidget) -> str:
    """Return all that a widget says."""
    return "\n".join(label.text() for label in widget.findChildren(QLabel))
