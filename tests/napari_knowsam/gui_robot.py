"""A robot at the panels of a viewer: it paints, presses keys and buttons, and says what there is to see."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from mouse import Mouse
from napari.layers import Image, Labels
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import QKeyCombination, Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QAbstractButton, QLabel, QWidget

from knowsam.config import Config
from knowsam.training.schedule import Budget
from napari_knowsam.training_worker import THREAD, TrainingWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from pytestqt.qtbot import QtBot

    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.session import TrainingSession
    from napari_knowsam.background import Background
    from napari_knowsam.dock_widget import KnowSAMWidget
    from napari_knowsam.presenter import Presenter

PLUGIN, PAINTED_SAMPLE = "napari-knowsam", "painted_phantom"
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

NOBODY = Qt.KeyboardModifier.NoModifier
_STEPS_OF_A_STROKE = 6

Values = npt.NDArray[np.integer[Any]]


class Robot:
    """A viewer and the plugin without a window of napari, which would take most of the time of a test."""

    def __init__(self, viewer: ViewerModel, widget: KnowSAMWidget, qtbot: QtBot) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot
        self.settings(Budget(seconds=120.0))

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
    def worker(self) -> Any:
        """What trains or propagates in a thread; None if nothing does."""
        return self.presenter.controller._worker

    @property
    def session(self) -> TrainingSession:
        """The session of the training that goes on."""
        assert isinstance(self.worker, TrainingWorker)
        assert self.worker._session is not None
        return self.worker._session

    @property
    def background(self) -> Background:
        """What goes on beside the work on this volume."""
        return self.presenter.others.background

    @property
    def is_running(self) -> bool:
        return self.presenter.controller.is_running

    @property
    def annotate_message(self) -> str:
        return self.widget.annotate._message.text()

    @property
    def train_message(self) -> str:
        """What is said of the sample, without its name."""
        return self.widget.train.bar._message.text().removeprefix("phantom: ")

    @property
    def result_message(self) -> str:
        return self.widget.result.bar._message.text()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Let the window live until something has happened."""
        self.qtbot.waitUntil(condition, timeout=round(1000 * timeout_s))

    def click(self, panel: QWidget, text: str) -> None:
        """Click the button of a panel, or of its bar below all panels, that bears this text."""
        owned = {*panel.findChildren(QAbstractButton), *getattr(panel, "bar", panel).findChildren(QAbstractButton)}
        found = [one for one in owned if one.text() == text]
        assert len(found) == 1, f"{len(found)} buttons say {text!r}"
        assert found[0].isEnabled(), f"the button {text!r} is off"
        self.press_button(found[0])

    def press_button(self, button: QAbstractButton) -> None:
        button.click()

    def entry(self, text: str) -> QAction:
        """Return the entry of a menu of the panels."""
        (found,) = (one for one in self.widget.findChildren(QAction) if one.text() == text)
        return found

    def choose(self, text: str) -> None:
        """Choose an entry of a menu of the panels."""
        assert self.entry(text).isEnabled(), f"the entry {text!r} is off"
        self.entry(text).trigger()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NOBODY) -> None:
        """Press a key as napari hands it on from its canvas."""
        layer = self.viewer.layers.selection.active
        handler = KeymapHandler()
        handler.keymap_providers = [self.viewer] if layer is None else [layer, self.viewer]
        name = QKeySequence(QKeyCombination(modifier, key)).toString()
        handler.press_key(name)
        handler.release_key(name)

    def train(self) -> None:
        """Press the button and wait for the first prediction."""
        self.click(self.widget.train, "Train on my labels")
        self.wait_until(lambda: self.has_prediction)

    def goes_on(self) -> bool:
        """Tell whether training takes further steps."""
        before = self.session.trainer.steps
        self.wait_until(lambda: self.session.trainer.steps > before)
        return self.is_running

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
        """Paint a line through voxels of the slice on the screen."""
        self.take_brush(layer, value, size)
        self.press_mouse(layer, points_zyx[0])
        for start, end in pairwise(points_zyx):
            for share in np.linspace(0, 1, _STEPS_OF_A_STROKE)[1:]:
                point = np.asarray(start) + share * (np.asarray(end) - start)
                self.move_mouse(layer, tuple(point))
        self.release_mouse(layer, points_zyx[-1])

    def press_mouse(self, layer: Labels, point_zyx: Sequence[float]) -> None:
        self._mouse = Mouse(layer, point_zyx, self.viewer.dims.displayed)

    def move_mouse(self, _layer: Labels, point_zyx: Sequence[float]) -> None:
        self._mouse.move(point_zyx)

    def release_mouse(self, _layer: Labels, _point_zyx: Sequence[float]) -> None:
        self._mouse.release()

    def close(self) -> None:
        """Close the panels, and wait until their threads have ended."""
        self.widget.close_presenter()
        wait_for_threads(self.qtbot)


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
