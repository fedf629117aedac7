"""What is left of the work when napari is killed, and what saving costs the window.

A process paints, corrects, accepts, undoes and exports without a pause, with the autosave of the window; in some of
them, training goes on, too. It is killed at a random moment. Then its files are opened: they must hold the work as it
was after some act, and no act older than two seconds may be missing. What each act was follows from its number, so that
the work can be done again for comparison.

Lateness: by how much a timer of 20 ms comes too late in 512 x 512 x 300 voxels, every slice of which is painted, while
one slice is painted after the other: without autosave, with it, and without it again.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from qtpy.QtCore import QCoreApplication, QTimer

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.data.volume import Grid, Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.kept_files import fingerprint
from knowsam.document.snapshot_file import read_snapshot
from knowsam.errors import InputError
from knowsam.io.labels import write_labels
from napari_knowsam.autosave import Autosave
from napari_knowsam.save_file import training_path

if TYPE_CHECKING:
    from knowsam.document.snapshot import Snapshot

_SHAPE = (30, 128, 128)
_LARGE = (300, 512, 512)
_ACT_EVERY_MS = 40
_EXPORT_EVERY = 15
_EARLIEST_S, _LATEST_S = 0.2, 5.0
_TRAINING_S = 20.0
_CLASSES = (BACKGROUND_CLASS, LabelClass(1, "liver", (200, 0, 0)), LabelClass(2, "spleen", (0, 200, 0)))
_LOST_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a kill left.

    Parameters
    ----------
    lost_s : age of the oldest act that is missing; 0 if none is.
    problem : why the work does not open, or is none that there ever was; empty if it does.
    has_training : whether what was learnt lay there and could be read.
    """

    acts: int
    lost_s: float
    problem: str = ""
    has_training: bool = False


def main() -> None:
    """Kill processes and print what they left, then measure how late timers come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=160, help="while somebody works (default: 160)")
    parser.add_argument("--training-kills", type=int, default=40, help="while training goes on, too (default: 40)")
    parser.add_argument("--at-once", type=int, default=2, help="processes at the same time (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-lateness", action="store_true", help="leave the second part out")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--trains", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        _work(options.child, options.seed, trains=options.trains)
    # It loads PyTorch, which a process that is killed does without.
    from provenance import provenance

    print("\n".join(provenance(f"seeds from {options.seed}")))
    print("| process | kills | acts each, mean | do not open | lost more than 2 s | most lost s | training read |")
    print("|---|---|---|---|---|---|---|")
    with ThreadPoolExecutor(options.at_once) as pool:
        for name, count, trains in (("works", options.kills, False), ("trains", options.training_kills, True)):
            seeds = range(options.seed, options.seed + count)
            outcomes = list(pool.map(partial(_kill_one, trains=trains), seeds))
            print(_row(name, outcomes), flush=True)
            for outcome in outcomes:
                if outcome.problem:
                    print(f"{name}: {outcome.problem}", file=sys.stderr)
    if not options.no_lateness:
        print(_lateness())


def _row(name: str, outcomes: list[Outcome]) -> str:
    acts = np.mean([one.acts for one in outcomes]) if outcomes else 0
    broken, late = (
        sum(flags) for flags in ([bool(o.problem) for o in outcomes], [o.lost_s > _LOST_S for o in outcomes])
    )
    most, read = max((o.lost_s for o in outcomes), default=0.0), sum(o.has_training for o in outcomes)
    return f"| {name} | {len(outcomes)} | {acts:.0f} | {broken} | {late} | {most:.2f} | {read} |"


def _kill_one(seed: int, *, trains: bool) -> Outcome:
    """Let a process work, kill it, and look at what it left."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--child", name, "--seed", str(seed), *["--trains"] * trains]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines: list[str] = []
        first = threading.Event()

        def listen(stream: object = process.stdout) -> None:
            for line in stream:  # type: ignore[attr-defined]
                lines.append(line)
                first.set()

        listener = threading.Thread(target=listen)
        listener.start()
        first.wait(120)
        time.sleep(random.Random(seed).uniform(_EARLIEST_S, _TRAINING_S if trains else _LATEST_S))
        process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        process.wait()
        listener.join()
        # The last line may be cut off.
        times = [float(line) for line in lines if line.endswith("\n")]
        return _looked_at(folder, seed, times, killed_at)


def _looked_at(folder: Path, seed: int, times: list[float], killed_at: float) -> Outcome:
    document = _document(_SHAPE)
    path = folder / "autosave" / f"{fingerprint(document.volume)}.npz"
    try:
        kept = read_snapshot(path, _SHAPE) if path.exists() else None
        mask = folder / "mask.nii.gz"
        if mask.exists():
            np.asanyarray(nib.load(mask).dataobj)
        has_training = _reads_training(training_path(path))
    except (InputError, OSError, EOFError) as error:
        return Outcome(len(times), 0.0, f"seed {seed}: {error}")
    states = [document.snapshot()]
    # One act more than was told of may have been done, and saved.
    for number in range(len(times) + 1):
        _act(document, seed, number)
        states.append(document.snapshot())
    found = [number for number, state in enumerate(states) if _is_same(state, kept)]
    if not found:
        return Outcome(len(times), 0.0, f"seed {seed}: what was kept is not the work after any of {len(times)} acts")
    missing = times[found[-1] :]
    return Outcome(len(times), max(killed_at - missing[0], 0.0) if missing else 0.0, "", has_training)


def _reads_training(path: Path) -> bool:
    if not path.exists():
        return False
    from knowsam.training.continuation import read_continuation

    return read_continuation(path).model.steps > 0


def _is_same(state: Snapshot, kept: Snapshot | None) -> bool:
    if kept is None or not state.slices:
        return kept is None and not state.slices
    return state.slices.keys() == kept.slices.keys() and all(
        one.mark is kept.slices[index].mark
        and _are_equal(one.painted, kept.slices[index].painted)
        and _are_equal(one.correction, kept.slices[index].correction)
        for index, one in state.slices.items()
    )


def _are_equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _document(shape: tuple[int, int, int]) -> AnnotationDocument:
    array = np.random.default_rng(0).normal(100, 20, shape).astype(np.int16)
    grid = Grid(shape[::-1], np.diag([-1.0, -1.0, 3.0, 1.0]))
    return AnnotationDocument(Volume(array, grid, "volume"), 0, _CLASSES)


def _act(document: AnnotationDocument, seed: int, number: int) -> None:
    """Do what a person might do next; what that is follows from the seed and the number alone."""
    chance = random.Random(1_000_003 * seed + number)
    index, value = chance.randrange(len(document.states())), chance.choice((1, 2))
    kind = chance.choices(("paint", "predict", "correct", "accept", "undo", "mark"), (8, 3, 3, 1, 2, 1))[0]
    disc = _disc(document, chance)
    if kind == "paint" or number == 0:
        plane = np.array(document.painted(index))
        plane[disc] = value
        document.paint({index: plane})
    elif kind == "predict":
        document.predict(index, np.where(disc, value, 0).astype(np.uint8), np.zeros(disc.shape, np.uint8))
    elif kind == "correct":
        plane = np.array(document.shown(index))
        plane[disc] = value
        document.correct({index: plane})
    elif kind == "accept":
        document.accept(document.predictions.indices)
    elif kind == "undo":
        document.undo()
    elif document.state(index) is SliceState.UNLABELLED:
        document.mark(index, SliceState.BACKGROUND_ONLY)


def _disc(document: AnnotationDocument, chance: random.Random) -> np.ndarray:
    _, height, width = document.volume.shape
    row, column, radius = chance.randrange(height), chance.randrange(width), chance.randrange(3, height // 4)
    rows, columns = np.ogrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def _work(folder: Path, seed: int, *, trains: bool) -> None:
    """Work until somebody kills this process, and say when each act was done."""
    app = QCoreApplication([])
    document = _document(_SHAPE)
    autosave = Autosave(folder / "autosave")
    autosave.watch(document)
    if trains:
        _train(document, autosave)
    number = 0

    def act() -> None:
        nonlocal number
        _act(document, seed, number)
        number += 1
        print(time.monotonic(), flush=True)
        if number % _EXPORT_EVERY == 0:
            write_labels(folder / "mask.nii.gz", document.mask(), document.volume.grid, _CLASSES, overwrite=True)

    timer = QTimer()
    timer.timeout.connect(act)
    timer.start(_ACT_EVERY_MS)
    sys.exit(app.exec())


def _train(document: AnnotationDocument, autosave: Autosave) -> None:
    """Train small networks on slices of their own, and keep what they learn as the window does."""
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.schedule import Budget
    from knowsam.training.session import TrainingSession
    from napari_knowsam import training_worker

    training_worker._KEEP_EVERY_S = 0.0
    other = _document(_SHAPE)
    for index in (3, 12, 20):
        other.paint({index: _disc(other, random.Random(index)).astype(np.uint8)})
    config = Config().with_values(variant="none", max_side_px=64, validate_every_s=0.2)
    case = Case(other.volume, other.annotation())
    make = partial(TrainingSession, [case], budget=Budget(seconds=600), config=config)
    training_worker.TrainingWorker(lambda _: make(), autosave.keeper(document)).start()


def _lateness() -> str:
    """Return a table of how late timers come with every slice of a large volume painted."""
    from gui_window import after, lateness_ms

    app = QCoreApplication.instance() or QCoreApplication([])
    assert app is not None
    document = _document(_LARGE)
    for index in range(_LARGE[0]):
        document.paint({index: _disc(document, random.Random(index)).astype(np.uint8)})
    numbers = iter(range(10**6))
    timer = QTimer()
    timer.timeout.connect(lambda: _paint_next(document, next(numbers)))
    timer.start(500)
    lines = ["", "| autosave | timers | median late ms | 95 % late ms | worst ms |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for is_on in (False, True, False):
            autosave = Autosave(Path(folder))
            if is_on:
                autosave.watch(document)
            late = lateness_ms(after(20.0))
            autosave.close()
            median, high = np.percentile(late, [50, 95])
            lines.append(f"| {'on' if is_on else 'off'} | {len(late)} | {median:.1f} | {high:.1f} | {max(late):.1f} |")
    timer.stop()
    return "\n".join(lines)


def _paint_next(document: AnnotationDocument, number: int) -> None:
    index = number % _LARGE[0]
    plane = np.array(document.painted(index))
    plane[_disc(document, random.Random(number))] = 2
    document.paint({index: plane})


if __name__ == "__main__":
    main()
