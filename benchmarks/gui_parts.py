"""The measurements of `gui_latency.py`, each in a process of its own, so that none finds PyTorch loaded by another."""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gui_child import ChildSession
from gui_window import Window, after, lateness_ms, left_atrium, synthetic, wait, wait_until

from knowsam.training.events import Stage
from napari_knowsam import training_controller, training_worker

LARGE_SHAPE = (300, 512, 512)
"""Slices, rows and columns of the large volume."""

_SETTLE_S = 2.0
_PLUGIN = "thread 10"
"""Where the plugin lets training go on, and its niceness."""


@dataclass(frozen=True)
class Row:
    """Times of one kind, measured in one phase.

    Parameters
    ----------
    mode : where training went on, or ``idle``.
    steps_per_s : of the training meanwhile.
    """

    part: str
    what: str
    mode: str
    values_ms: tuple[float, ...]
    steps_per_s: float | None = None


class Report:
    """Collects the rows of one part; says on the way how it goes."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.rows: list[Row] = []

    def add(self, what: str, mode: str, values_ms: list[float], steps_per_s: float | None = None) -> None:
        """Note some times."""
        self.rows.append(Row(self.part, what, mode, tuple(round(value, 2) for value in values_ms), steps_per_s))
        worst = max(values_ms, default=float("nan"))
        print(f"{self.part}: {what}, {mode}: {len(values_ms)} times, worst {worst:.0f} ms", file=sys.stderr, flush=True)


def main() -> None:
    """Measure one part and write its rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=_PARTS)
    parser.add_argument("options", type=json.loads)
    parser.add_argument("rows", type=Path)
    chosen = parser.parse_args()
    options = argparse.Namespace(**chosen.options)
    report = Report(chosen.part)
    try:
        _PARTS[chosen.part](options, report)
    finally:
        # What was measured before an error is not lost.
        chosen.rows.write_text(json.dumps([asdict(row) for row in report.rows]))


def measure_opening(options: argparse.Namespace, report: Report) -> None:
    """Time from asking for the panel to its paint, from a click to a prediction on the screen, and to close it all."""
    window = Window(*left_atrium(Path(options.image), options.annotated))
    if "torch" in sys.modules:
        raise RuntimeError("PyTorch is loaded already, so that opening the panel would be measured too favourably.")
    report.add("panel opened", "idle", [window.open_widget()])
    loading = next((t for t in threading.enumerate() if t.name == "KnowSAM loading"), None)
    report.add("timer", "while torch loads", lateness_ms(lambda: loading is None or not loading.is_alive()))
    wait(1.0)
    started = time.perf_counter()
    window.click("Train on my labels")
    wait_until(lambda: _is_predicted(window), poll_s=0.001)
    window.frame_ms(window.canvas.update)
    report.add("first prediction", "compact", [1e3 * (time.perf_counter() - started)])
    wait(_SETTLE_S)
    _measure_closing(window, "compact", report)


def measure_smoothness(options: argparse.Namespace, report: Report) -> None:
    """Timer, slicing and painting without training and with it, in turn, in each mode."""
    window = _open_window(*left_atrium(Path(options.image), options.annotated))
    with _training(window, _PLUGIN, report):
        # So that the prediction layer is there before and after, and everything has been loaded once.
        wait(_SETTLE_S)
    for mode in options.modes:
        _measure_smoothness(window, options, "idle", report)
        with _training(window, mode, report):
            _measure_smoothness(window, options, mode, report)
    _measure_smoothness(window, options, "idle", report)
    _measure_closing(window, "idle", report)


def measure_stops(options: argparse.Namespace, report: Report) -> None:
    """Time from the click on Pause or Stop until training was said to obey, at random moments of every stage."""
    window = _open_window(*left_atrium(Path(options.image), options.annotated))
    if options.teacher_file:
        window.use_teacher(options.teacher_file)
    teaching = _teaching()
    mode = Path(options.teacher_file).stem if options.teacher_file else "compact"
    chance = random.Random(0)
    trials = options.trials
    # Once to load everything, and all further ones go on from this one.
    window.click_until("Train on my labels", Stage.TRAINING)
    _end(window)
    report.add("Pause while preparing", mode, [_pause_preparing(window, chance) for _ in range(trials)])
    report.add("Stop while preparing", mode, [_stop_preparing(window, chance) for _ in range(trials)])
    window.click_until("Train on my labels", Stage.TRAINING)
    step_s = _step_seconds(window)
    report.add("step", mode, [1e3 * step_s])
    pause = partial(_pause_in_step, window, lambda: wait(chance.uniform(0.1, 0.1 + step_s)))
    report.add("Pause in a step", mode, [pause() for _ in range(trials)])
    pause = partial(_pause_in_step, window, lambda: _wait_for_teacher(teaching, chance, step_s))
    report.add("Pause in the teacher's pass", mode, [pause() for _ in range(trials)])
    _end(window)
    report.add("Stop in a step", mode, [_stop_in_step(window, chance, step_s) for _ in range(trials)])
    window.click_until("Train on my labels", Stage.TRAINING)
    wait(chance.uniform(0.1, 0.1 + step_s))
    _measure_closing(window, mode, report)


def measure_corrections(options: argparse.Namespace, report: Report) -> None:
    """Time from the end of a stroke on the prediction until the next slice shows it, while training and after it.

    What was painted is taken back each time, so that each correction finds the same slices.
    """
    window = _open_window(*left_atrium(Path(options.image), options.annotated))
    with _training(window, _PLUGIN, report):
        wait(_SETTLE_S)
    window.wait_for_predictions()
    chance = random.Random(0)
    for mode in ("idle", _PLUGIN, "idle"):
        with _training(window, mode, report):
            step_s = _step_seconds(window) if mode != "idle" else 1.0
            taken_ms = [_correct(window, chance.uniform(0.3, 0.3 + step_s)) for _ in range(options.trials)]
            report.add("correction seen in the next slice", mode, taken_ms)
    _measure_closing(window, "idle", report)


def _correct(window: Window, moment_s: float) -> float:
    taken_ms = window.correction_ms(window.between_annotated, moment_s)
    window.undo()
    wait(_SETTLE_S)
    return taken_ms


def measure_large(options: argparse.Namespace, report: Report) -> None:
    """Slice changes of a large volume along all three axes, without training and with it."""
    window = _open_window(*synthetic(LARGE_SHAPE, options.annotated))
    with _training(window, _PLUGIN, report):
        wait(_SETTLE_S)
    for axis, order in enumerate(((0, 1, 2), (1, 0, 2), (2, 0, 1))):
        window.viewer.dims.order = order
        for mode in ("idle", _PLUGIN, "idle"):
            with _training(window, mode, report):
                step = partial(window.slicing_ms, axis=axis)
                _phase(window, f"slicing along axis {axis}", mode, step, options, report)
    _measure_closing(window, "idle", report)


_PARTS: dict[str, Callable[[argparse.Namespace, Report], None]] = {
    "opening": measure_opening,
    "smoothness": measure_smoothness,
    "stops": measure_stops,
    "corrections": measure_corrections,
    "large": measure_large,
}


def _open_window(*volumes: Any) -> Window:
    window = Window(*volumes)
    window.open_widget()
    wait_until(lambda: all(thread.name != "KnowSAM loading" for thread in threading.enumerate()))
    return window


def _measure_smoothness(window: Window, options: argparse.Namespace, mode: str, report: Report) -> None:
    phase = partial(_phase, window, mode=mode, options=options, report=report)
    phase("timer", measure=lambda seconds: lateness_ms(after(seconds)))
    phase("slicing", measure=window.slicing_ms)
    phase("painting", measure=window.painting_ms)


def _phase(
    window: Window,
    what: str,
    mode: str,
    measure: Callable[[float], list[float]],
    options: argparse.Namespace,
    report: Report,
) -> None:
    steps, started = window.steps, time.perf_counter()
    values_ms = measure(options.seconds)
    steps_per_s = (window.steps - steps) / (time.perf_counter() - started)
    report.add(what, mode, values_ms, None if mode == "idle" else round(steps_per_s, 2))


@contextmanager
def _training(window: Window, mode: str, report: Report) -> Iterator[None]:
    """Let training go on meanwhile; `mode` is ``idle``, or ``thread`` or ``child`` with a niceness."""
    if mode == "idle":
        yield
        return
    kind, niceness = mode.split()
    children: list[ChildSession] = []

    def make_child(case: Any, settings: Any, *_earlier: Any) -> ChildSession:
        children.append(ChildSession(case, settings, int(niceness)))
        return children[-1]

    with ExitStack() as stack:
        # A child inherits the niceness of the thread that starts it, and only root may lower it again.
        stack.enter_context(replaced(training_worker, "_NICENESS", int(niceness) if kind == "thread" else 0))
        if kind == "child":
            stack.enter_context(replaced(training_controller, "training_session", make_child))
        before = window.steps
        window.click("Train on my labels")
        wait_until(lambda: window.steps > before and _is_predicted(window))
        wait(_SETTLE_S)
        yield
        _end(window)
    for child in children:
        report.add("child process started", mode, [1e3 * child.start_s])
        report.add("child process ended", mode, [1e3 * child.end_s])


def _end(window: Window) -> None:
    """Stop the training and wait for its thread."""
    worker = window.presenter.controller._worker
    window.click_until("Stop", None)
    if worker is not None:
        worker.wait(60)
    wait(0.5)


def _is_predicted(window: Window) -> bool:
    sync = window.presenter.layers.sync
    return sync is not None and sync.view.index in sync.document.predictions.indices


def _pause_preparing(window: Window, chance: random.Random) -> float:
    _begin_preparing(window, chance)
    taken_ms = window.click_until("Pause", Stage.PAUSED)
    _end(window)
    return taken_ms


def _stop_preparing(window: Window, chance: random.Random) -> float:
    _begin_preparing(window, chance)
    taken_ms = window.click_until("Stop", None)
    wait(0.5)
    return taken_ms


def _begin_preparing(window: Window, chance: random.Random) -> None:
    """Start, and come to a random moment of the preparation, never beyond it."""
    window.click("Train on my labels")
    end = time.perf_counter() + chance.uniform(0.0, 0.8)
    wait_until(lambda: time.perf_counter() > end or window.stage is not Stage.PREPARING)


def _pause_in_step(window: Window, come_to_moment: Callable[[], None]) -> float:
    come_to_moment()
    taken_ms = window.click_until("Pause", Stage.PAUSED)
    wait(0.1)
    window.click_until("Resume", Stage.TRAINING, Stage.PREPARING)
    return taken_ms


def _stop_in_step(window: Window, chance: random.Random, step_s: float) -> float:
    before = window.steps
    window.click_until("Train on my labels", Stage.TRAINING)
    wait_until(lambda: window.steps > before)
    wait(chance.uniform(0.1, 0.1 + step_s))
    return window.click_until("Stop", None)


def _measure_closing(window: Window, mode: str, report: Report) -> None:
    """Close the window, with training or without; and how long the thread of the training outlives the click."""
    worker = window.presenter.controller._worker
    started = time.perf_counter()
    window.viewer.close()
    report.add("viewer.close()", mode, [1e3 * (time.perf_counter() - started)])
    if worker is not None:
        worker.wait(60)
        report.add("thread ended after close", mode, [1e3 * (time.perf_counter() - started)])


def _step_seconds(window: Window) -> float:
    before, started = window.steps, time.perf_counter()
    wait_until(lambda: window.steps >= before + 2 or time.perf_counter() - started > 30)
    return (time.perf_counter() - started) / max(window.steps - before, 1)


def _teaching() -> threading.Event:
    """Return a flag that is set as long as the teacher predicts masks."""
    from knowsam.models.prompted_teacher import PromptedTeacher

    flag, masks = threading.Event(), PromptedTeacher.masks

    def flagged(teacher: PromptedTeacher, *inputs: Any) -> Any:
        flag.set()
        try:
            return masks(teacher, *inputs)
        finally:
            flag.clear()

    PromptedTeacher.masks = flagged  # type: ignore[method-assign]
    return flag


def _wait_for_teacher(teaching: threading.Event, chance: random.Random, step_s: float) -> None:
    """Come to a random moment of the teacher's pass, which takes some part of a step."""
    wait_until(lambda: not teaching.is_set())
    wait_until(teaching.is_set, poll_s=0.002)
    end = time.perf_counter() + chance.uniform(0, step_s / 10)
    wait_until(lambda: time.perf_counter() > end or not teaching.is_set(), poll_s=0.002)


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Give an attribute another value for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
