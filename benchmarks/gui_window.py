"""The real napari window with the panel in it: what a person does to it, and how long it takes to be seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QEvent, QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from knowsam.data.volume import Grid, Volume
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.training.schedule import Budget
from napari_knowsam.volume_layers import image_layer_data, labels_layer_data

if TYPE_CHECKING:
    from knowsam.training.events import Stage
    from napari_knowsam.presenter import Presenter

_SIZE_PX = (1500, 950)
_TIMER_MS = 20
_SLICE_EVERY_S = 0.15
_MOVE_EVERY_S = 0.03
_BRUSH_VX = 10
_CORRECTION_VX = 40
_STROKE_MOVES = 25
_BUDGET_S = 3600.0
_LONGEST_CORRECTION_S = 20.0


class Window:
    """A napari window with a volume, a few painted slices of it and, once opened, the panel.

    Parameters
    ----------
    painting : labels of the volume, empty but for the annotated slices.
    """

    def __init__(self, volume: Volume, painting: Volume) -> None:
        self.viewer = napari.Viewer(title="GUI latency")
        self.viewer.window._qt_window.resize(*_SIZE_PX)
        for data, kwargs, kind in (image_layer_data(volume), labels_layer_data(painting)):
            self.viewer.add_layer(Layer.create(data, kwargs, kind))
        self.image, self.labels = self.viewer.layers
        self.volume = volume
        self.canvas: QWidget = self.viewer.window._qt_viewer.canvas.native
        self.steps = 0
        self.stages: list[tuple[float, Stage | None]] = []
        self._frames = 0
        self._frame_at = 0.0
        self.canvas.frameSwapped.connect(self._on_frame)
        wait(1.0)

    def open_widget(self) -> float:
        """Open the panel; return the milliseconds until it was painted."""
        started = time.perf_counter()
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-knowsam")
        widget: Any = self.widget
        painted = _PaintWatch(widget.annotate)
        wait_until(lambda: painted.seen, poll_s=0.001)
        opened_ms = _since_ms(started)
        widget.train.budget = lambda: Budget(seconds=_BUDGET_S)
        self.presenter: Presenter = widget.presenter
        self.presenter.controller.stepped.connect(self._on_stepped)
        self.presenter.controller.stage_changed.connect(self._on_stage_changed)
        return opened_ms

    def use_teacher(self, teacher: str) -> None:
        """Choose the teacher of all further trainings: a name, or a file of weights."""
        self.widget.train.teacher = lambda: teacher

    def click(self, text: str) -> None:
        """Click a button of the panel."""
        (found,) = (b for b in self.widget.findChildren(QPushButton) if b.text() == text)
        if not found.isEnabled():
            raise RuntimeError(f"The button {text!r} is off at {self.stage}.")
        found.click()

    @property
    def stage(self) -> Stage | None:
        """What the training was last said to be doing."""
        return self.stages[-1][1] if self.stages else None

    def click_until(self, text: str, *stages: Stage | None, longest_s: float = 60.0) -> float:
        """Click a button; return the milliseconds until training was said to be at one of these stages."""
        before = len(self.stages)
        started = time.perf_counter()
        self.click(text)
        wait_until(lambda: any(stage in stages for _, stage in self.stages[before:]), longest_s)
        return 1e3 * next(at - started for at, stage in self.stages[before:] if stage in stages)

    def frame_ms(self, action: Callable[[], object], longest_s: float = 10.0) -> float:
        """Do something; return the milliseconds until the canvas that shows it was on the screen."""
        before = self._frames
        started = time.perf_counter()
        action()
        if self._frames == before:
            loop, timer = QEventLoop(), QTimer()
            self.canvas.frameSwapped.connect(loop.quit)
            timer.timeout.connect(loop.quit)
            timer.start(int(1e3 * longest_s))
            loop.exec()
            self.canvas.frameSwapped.disconnect(loop.quit)
        if self._frames == before:
            raise RuntimeError(f"The canvas was not repainted within {longest_s:g} s.")
        return 1e3 * (self._frame_at - started)

    def slicing_ms(self, seconds: float, axis: int = 0) -> list[float]:
        """Step through the slices, up and down; return the time of each step until it was on the screen."""
        count = self.volume.shape[axis]
        order = _back_and_forth(count, start=count // 3)

        def step() -> float:
            index = next(order)
            return self.frame_ms(lambda: self.viewer.dims.set_current_step(axis, index))

        return _every(_SLICE_EVERY_S, seconds, step)

    def painting_ms(self, seconds: float) -> list[float]:
        """Drag the brush over the canvas; return the time of each move until it was on the screen."""
        index = self.viewer.dims.current_step[0]
        before = self.labels.data[index].copy()
        self.viewer.layers.selection.active = self.labels
        self.labels.mode, self.labels.brush_size = "paint", _BRUSH_VX
        moves = self._drag()
        taken_ms = _every(_MOVE_EVERY_S, seconds, lambda: next(moves))
        moves.close()
        self.labels.mode = "pan_zoom"
        self.labels.data[index] = before
        self.labels.refresh()
        self.presenter.layers.flush()
        return taken_ms

    def wait_for_predictions(self) -> None:
        """Wait until every slice is predicted."""
        document = self.presenter.layers.document
        assert document is not None
        wait_until(lambda: bool(document.predictions.indices) and not document.unpredicted)

    @property
    def between_annotated(self) -> int:
        """The slice halfway between the two annotated ones in the middle."""
        document = self.presenter.layers.document
        assert document is not None
        annotated = sorted(document.annotated)
        middle = len(annotated) // 2
        return (annotated[middle - 1] + annotated[middle]) // 2

    def undo(self) -> None:
        """Take back what was painted last."""
        assert self.presenter.layers.sync is not None
        self.presenter.layers.sync.undo()

    def correction_ms(self, index: int, moment_s: float) -> float:
        """Correct a slice by a stroke; return the milliseconds from its end until the slice above shows another mask.

        Parameters
        ----------
        moment_s : how long to look at the slice before.
        """
        (prediction,) = (layer for layer in self.viewer.layers if layer.name.endswith("prediction"))
        self.viewer.dims.set_current_step(0, index)
        self.viewer.layers.selection.active = prediction
        wait(moment_s)
        prediction.mode, prediction.brush_size, prediction.selected_label = "paint", _CORRECTION_VX, 1
        centre = QPointF(self.canvas.width() / 2, self.canvas.height() / 2)
        self._send(QEvent.Type.MouseButtonPress, centre)
        self._send(QEvent.Type.MouseMove, centre + QPointF(_CORRECTION_VX, 0))
        before = prediction.data[index + 1].copy()
        released = time.perf_counter()
        self._send(QEvent.Type.MouseButtonRelease, centre + QPointF(_CORRECTION_VX, 0))
        wait_until(lambda: bool((prediction.data[index + 1] != before).any()), _LONGEST_CORRECTION_S)
        taken_ms = _since_ms(released)
        prediction.mode = "pan_zoom"
        return taken_ms

    def _drag(self) -> Generator[float]:
        """Move in circles, stroke after stroke, with two values in turn, so that every move changes pixels."""
        document = self.presenter.layers.document
        assert document is not None
        values = (1, document.brush_value)
        centre = QPointF(self.canvas.width() / 2, self.canvas.height() / 2)
        number = 0
        while True:
            self.labels.selected_label = values[number // _STROKE_MOVES % 2]
            self._send(QEvent.Type.MouseButtonPress, centre + _on_circle(number))
            try:
                for _ in range(_STROKE_MOVES):
                    number += 1
                    place = centre + _on_circle(number)
                    yield self.frame_ms(partial(self._send, QEvent.Type.MouseMove, place))
            finally:
                self._send(QEvent.Type.MouseButtonRelease, centre + _on_circle(number))

    def _send(self, kind: QEvent.Type, place: QPointF) -> None:
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QEvent.Type.MouseMove else left
        held = none if kind == QEvent.Type.MouseButtonRelease else left
        on_screen = QPointF(self.canvas.mapToGlobal(place.toPoint()))
        event = QMouseEvent(kind, place, on_screen, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.canvas, event)

    def _on_frame(self) -> None:
        self._frames += 1
        self._frame_at = time.perf_counter()

    def _on_stepped(self, *_: object) -> None:
        self.steps += 1

    def _on_stage_changed(self, stage: Stage | None) -> None:
        self.stages.append((time.perf_counter(), stage))


class _PaintWatch(QWidget):
    """Notices the first paint of a widget: a child of it that is painted along with it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.seen = False
        self.resize(1, 1)
        self.show()

    def paintEvent(self, _event: Any) -> None:
        """Take note."""
        self.seen = True


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(max(int(1e3 * seconds), 0), loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], longest_s: float = 120.0, poll_s: float = 0.005) -> None:
    """Let the window live until something has happened."""
    end = time.perf_counter() + longest_s
    loop, timer = QEventLoop(), QTimer()

    has_happened = False

    def look() -> None:
        nonlocal has_happened
        has_happened = condition()
        if has_happened or time.perf_counter() > end:
            loop.quit()

    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(look)
    timer.start(int(1e3 * poll_s))
    loop.exec()
    timer.stop()
    if not has_happened:
        raise RuntimeError(f"What was awaited did not happen within {longest_s:g} s.")


def lateness_ms(is_over: Callable[[], bool]) -> list[float]:
    """Return by how much a precise timer of 20 ms comes too late, until something is over."""
    late: list[float] = []
    loop, timer = QEventLoop(), QTimer()
    armed = 0.0

    def arm() -> None:
        nonlocal armed
        armed = time.perf_counter()
        timer.start(_TIMER_MS)

    def tick() -> None:
        late.append(max(_since_ms(armed) - _TIMER_MS, 0.0))
        if is_over():
            loop.quit()
        else:
            arm()

    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setSingleShot(True)
    timer.timeout.connect(tick)
    arm()
    loop.exec()
    return late


def after(seconds: float) -> Callable[[], bool]:
    """Return a condition that is true after some time."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() > end


def left_atrium(image: Path, annotated: int) -> tuple[Volume, Volume]:
    """Read a volume, and of its label file evenly spaced slices between the first and the last that holds anything."""
    truth = read_labels(image.with_name(image.name.replace(".nii.gz", "_label.nii.gz")))
    return read_volume(image), _few_slices(truth, annotated)


def synthetic(shape: tuple[int, int, int], annotated: int) -> tuple[Volume, Volume]:
    """Return a bright ellipsoid in noise, and some slices of its labels."""
    z, y, x = (np.linspace(-1, 1, count) for count in shape)
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 0.2
    plane = np.random.default_rng(0).normal(100, 40, shape[1:]).astype(np.int16)
    noise = np.stack([np.roll(plane, 7 * index, axis=1) for index in range(shape[0])])
    grid = Grid(shape[::-1], np.diag([-1.0, -1.0, -1.0, 1.0]))
    noise[inside] += 200
    truth = Volume(inside.astype(np.uint8), grid, "synthetic labels")
    return Volume(noise, grid, "synthetic"), _few_slices(truth, annotated)


def _few_slices(truth: Volume, count: int) -> Volume:
    held = np.flatnonzero(truth.array.any(axis=(1, 2)))
    chosen = sorted({round(index) for index in np.linspace(held[0], held[-1], count)})
    painted = np.zeros_like(truth.array)
    painted[chosen] = truth.array[chosen]
    return Volume(painted, truth.grid, truth.name)


def _every(interval_s: float, seconds: float, action: Callable[[], float]) -> list[float]:
    """Do something again and again, at an interval or as fast as it can; the first time does not count."""
    taken: list[float] = []
    is_over = after(seconds)
    while not is_over():
        started = time.perf_counter()
        taken.append(action())
        wait(interval_s - (time.perf_counter() - started))
    return taken[1:]


def _back_and_forth(count: int, start: int) -> Iterator[int]:
    index, direction = start, 1
    while True:
        if not 0 <= index + direction < count:
            direction = -direction
        index += direction
        yield index


def _on_circle(number: int) -> QPointF:
    angle = 2 * math.pi * number / (1.5 * _STROKE_MOVES)
    return QPointF(120 * math.cos(angle), 120 * math.sin(angle))


def _since_ms(started: float) -> float:
    return 1e3 * (time.perf_counter() - started)
