"""How well are the slices segmented that nobody annotated, from k annotated slices of one volume?

Every volume is trained on its own. The annotated slices lie evenly between the first and the last slice that holds any
structure, both of these included; one or two lie in the middle or at the thirds. Dice is the mean over the classes, on
the slices that were not annotated; where the end slices are annotated, everything beyond them is background in every
row. HD95 is that of the whole mask, the annotated slices in it.

"KnowSAM, published settings, 2 + 2 slices, no pretrained SAM" departs from the publication in what its name says: in
its 2 + 2 slices a step instead of 12 + 12, and in its teacher, a compact SAM trained from scratch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from interpolation import interpolate
from painters import PAINTERS
from pieces import add_run_options, budget_of, checked, in_words, measure
from pixel_classifier import classify, classify_with_position
from propagated import propagated
from random_walker import walk
from rival import Effort, Outcome, Rival
from tables import mean, over_seeds, table
from tasks import DataSet, Task, find_data_set
from unet_rivals import mean_teacher, supervised
from variants import BUILD_UP, PUBLISHED, VARIANTS, ours, published

from knowsam import jobs
from knowsam.config import Config
from knowsam.data.annotation import class_indices
from knowsam.training.events import Event, Stage, StageChanged, StepDone, Validated

if TYPE_CHECKING:
    from knowsam.training.schedule import Budget
    from knowsam.training.session import TrainingSession

INTERPOLATION = "interpolation"

NO_BUDGET = ""
"""Budget of the rows that do not train for a time or a number of steps."""


def _knowsam(config: Config, task: Task, effort: Effort) -> Outcome:
    steps = 0
    live: list[float] = []

    def count(session: TrainingSession, event: Event) -> None:
        nonlocal steps
        steps = event.step if isinstance(event, StepDone) else steps
        has_begun = isinstance(event, StageChanged) and event.stage is Stage.TRAINING
        # The time of whoever listens is not taken from the budget.
        if config.method.shape_prior and (has_begun or isinstance(event, Validated)):
            live.append(task.live_dice(task.slices_first(session.predictor().volume().labels)))

    case = task.case
    result = jobs.segment(
        case.volume, case.annotation, budget=effort.budget, config=config, seed=effort.seed, listener=count
    )
    labels = task.slices_first(class_indices(result.labels, case.annotation.classes))
    return Outcome(labels, steps, tuple(round(dice, 4) for dice in live))


def _ours(**changes: Any) -> Rival:
    return Rival(lambda task, effort: _knowsam(ours(changes), task, effort))


def _published(**changes: Any) -> Rival:
    return Rival(lambda task, effort: _knowsam(published(PUBLISHED | changes), task, effort))


COMPARED: dict[str, Rival] = {
    INTERPOLATION: Rival(interpolate, trains=False, is_random=False),
    "random walker": Rival(walk, trains=False, is_random=False),
    "random forest": Rival(classify, trains=False),
    "random forest with position": Rival(classify_with_position, trains=False),
    "UNet": Rival(supervised),
    "mean teacher": Rival(mean_teacher),
    "KnowSAM, published settings, 2 + 2 slices, no pretrained SAM": _published(),
    "KnowSAM, published settings, 2 + 2 slices, no pretrained SAM, at 96 px": _published(max_side_px=96),
    "propagated labels": Rival(
        lambda task, _: Outcome(propagated(task, ours({"pretrained": False}))), trains=False, is_random=False
    ),
    "propagator": Rival(lambda task, _: Outcome(propagated(task, Config())), trains=False, is_random=False),
    "ours": _ours(),
}
"""Rows that are run unless others are asked for."""

ROWS: dict[str, Rival] = {
    **COMPARED,
    **{f"ours {name}": _ours(**changes) for name, changes in VARIANTS.items()},
    **{name: _ours(**changes) for name, changes in BUILD_UP.items()},
}


Key = tuple[str, str, int, str, int, str, str]


@dataclass(frozen=True)
class Result:
    """Scores of one row on one volume; without a budget where the row does not train."""

    data: str
    volume: str
    k: int
    row: str
    seed: int
    budget: str
    dice: float
    dice_by_class: tuple[float, ...]
    hd95_mm: float | None
    seconds: float
    steps: int
    threads: int
    live: tuple[float, ...] = ()
    painter: str = "exact"

    @property
    def key(self) -> Key:
        """The conditions of the run."""
        return self.data, self.volume, self.k, self.row, self.seed, self.budget, self.painter


@dataclass(frozen=True)
class Piece:
    """One run: a row on a volume with k annotated slices."""

    folder: Path
    data: DataSet
    volume: str
    k: int
    row: str
    seed: int
    painter: str
    budget: Budget
    threads: int

    @property
    def keys(self) -> list[Key]:
        """The key of its result."""
        budget = in_words(self.budget) if ROWS[self.row].trains else NO_BUDGET
        return [(self.data.name, self.volume, self.k, self.row, self.seed, budget, self.painter)]

    @property
    def arguments(self) -> list[str]:
        """The options that ask for this run alone."""
        chosen = {"--data": self.folder, "--volumes": self.volume, "-k": self.k, "--rows": self.row}
        chosen |= {"--seeds": self.seed, "--painter": self.painter}
        return [str(word) for pair in chosen.items() for word in pair]


def main() -> None:
    """Run the chosen rows and print the tables of all results there are."""
    options = _parse()
    measure(options, Result, _pieces(options), _run, _tables)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders with la_NN.nii.gz and la_NN_label.nii.gz (left atrium), images/ and labels/ (hippocampus) or "
        "patientNNN/ (ACDC)",
    )
    parser.add_argument(
        "--volumes", nargs="+", metavar="NAME", help="default: all of the left atrium, the first 8 of the hippocampus"
    )
    parser.add_argument("-k", type=int, nargs="+", default=[3, 5, 7, 10], help="annotated slices (default: 3 5 7 10)")
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=list(ROWS),
        default=list(COMPARED),
        metavar="ROW",
        help=f"default: {', '.join(COMPARED)}; others: {', '.join(row for row in ROWS if row not in COMPARED)}",
    )
    parser.add_argument("--painter", choices=list(PAINTERS), default="exact", help="who annotates (default: exact)")
    add_run_options(parser, budget="60s")
    options = checked(parser)
    if not options.table and not options.data:
        parser.error("--data is needed to run anything.")
    return options


def _pieces(options: argparse.Namespace) -> Iterator[Piece]:
    found = False
    for folder in options.data:
        data = find_data_set(folder)
        chosen = options.volumes or data.volumes[:8]
        for volume in (volume for volume in data.volumes if volume in chosen):
            found = True
            for k, row in product(options.k, options.rows):
                for seed in options.seeds if ROWS[row].is_random else [0]:
                    how = seed, options.painter, budget_of(options), options.threads
                    yield Piece(folder, data, volume, k, row, *how)
    if not found:
        sys.exit(f"None of the volumes {options.volumes} is in {', '.join(map(str, options.data))}.")


def _run(piece: Piece) -> Iterator[Result]:
    task = piece.data.truth(piece.volume).task(piece.k, PAINTERS[piece.painter])
    started = time.monotonic()
    outcome = ROWS[piece.row].fill(task, Effort(piece.budget, piece.seed, piece.threads))
    seconds = time.monotonic() - started
    scores = task.scores(outcome.labels)
    *conditions, painter = piece.keys[0]
    yield Result(
        *conditions,
        painter=painter,
        dice=scores.dice,
        dice_by_class=scores.dice_by_class,
        hd95_mm=scores.hd95_mm,
        seconds=round(seconds, 2),
        steps=outcome.steps,
        threads=piece.threads,
        live=outcome.live,
    )


def _tables(results: Sequence[Result]) -> Iterator[str]:
    """Yield one block for each data set, k, painter and budget; rows without a budget stand in every block."""
    settings = dict.fromkeys(
        (r.data, r.k, r.painter) for r in sorted(results, key=lambda r: (r.data != "left atrium", r.data, r.k))
    )
    for data, k, painter in settings:
        own = [r for r in results if (r.data, r.k, r.painter) == (data, k, painter)]
        for budget in sorted({r.budget for r in own} - {NO_BUDGET}) or sorted({r.budget for r in own}):
            block = [r for r in own if r.budget in (budget, NO_BUDGET)]
            threads = ", ".join(map(str, sorted({r.threads for r in block})))
            annotated = f"k = {k}" if painter == "exact" else f"k = {k}, painter: {painter}"
            yield f"**{data}, {annotated}**, budget {budget or 'none'}, threads of each run: {threads}\n"
            yield _table(block) + "\n"


def _table(block: Sequence[Result]) -> str:
    base = {r.volume: r.dice for r in block if r.row == INTERPOLATION}
    there = {r.row for r in block}
    names = [row for row in ROWS if row in there] + sorted(there - set(ROWS))
    header = ["row", "volumes x seeds", "Dice mean", "worst volume", "error of interpolation gone"]
    return table(
        [*header, "HD95 mm", "seconds", "steps", "worst live prediction"],
        [_cells(row, [r for r in block if r.row == row], base) for row in names],
    )


def _cells(row: str, own: Sequence[Result], base: dict[str, float]) -> list[str]:
    dice, worst = over_seeds((r.seed, r.volume, r.dice) for r in own)
    gone = [1 - (1 - r.dice) / (1 - base[r.volume]) for r in own if r.volume in base]
    return [
        row,
        f"{len({r.volume for r in own})} x {len({r.seed for r in own})}",
        dice,
        worst,
        f"{np.mean(gone):+.0%}" if len(gone) == len(own) else "-",
        mean((r.hd95_mm for r in own), 1),
        mean((r.seconds for r in own), 1),
        mean((r.steps for r in own), 0),
        # Against what is shown before the first step.
        f"{min(min(r.live) - r.live[0] for r in own):+.3f}" if all(r.live for r in own) else "-",
    ]


if __name__ == "__main__":
    main()
