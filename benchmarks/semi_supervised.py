"""What is each semi-supervised method worth, with and without SAM's distillation?

All methods have the same students, batches and augmentation. "One volume": k slices of it are annotated, and Dice is
that of `few_slices.py`, of what is shown, of the students alone (they see propagated labels, which have no part in the
prediction), and of the students unaided (they see nothing of them). "Many volumes": some are annotated completely,
others not at all, and Dice is that of further volumes, in all of their slices, of which nothing is annotated. Where
there are 15 volumes and more, 2 of 10 are annotated and five others are tested; where there are fewer, each is tested
once, and one of the others is annotated. Intervals are 95 % of Student's t over volumes and seeds, as if these were
independent.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pieces import add_run_options, budget_of, checked, in_words, measure
from scipy import stats
from tables import mean, table
from tasks import DataSet, Task, find_data_set, scores
from variants import ours

from knowsam import jobs
from knowsam.commands.inputs import read_unlabelled_case
from knowsam.data.annotation import class_indices
from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.training.semi_supervised.methods import METHODS

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.inference.predictor import Predictor
    from knowsam.training.schedule import Budget

ONE, MANY = "one", "many"
SCORES = {"students alone": ONE, "students unaided": ONE, "shown": ONE, "students in other volumes": MANY}
"""What is scored, and in which setting."""

LABELLED, UNLABELLED, TESTED = slice(0, 2), slice(2, 10), slice(10, 15)

Key = tuple[str, str, str, int, str, float, int, str]


@dataclass(frozen=True)
class Result:
    """Scores of one method on one volume.

    Parameters
    ----------
    k : annotated slices of it; 0 in "many volumes".
    skd : weight of what SAM taught; 0 without it.
    dice : of what is shown in "one volume", of the students' predictions in "many volumes".
    alone, unaided : of the students in "one volume".
    seconds : of the training.
    """

    setting: str
    data: str
    volume: str
    k: int
    method: str
    skd: float
    seed: int
    budget: str
    dice: float
    alone: float | None
    unaided: float | None
    seconds: float
    steps: int
    threads: int

    @property
    def key(self) -> Key:
        """The conditions of the run."""
        return self.setting, self.data, self.volume, self.k, self.method, self.skd, self.seed, self.budget

    def score(self, what: str) -> float:
        """Return one of `SCORES`."""
        found = {"students alone": self.alone, "students unaided": self.unaided}.get(what, self.dice)
        assert found is not None
        return found


@dataclass(frozen=True)
class Piece:
    """One training: a method in one volume, or on some volumes with others to test it in."""

    folder: Path
    data: DataSet
    setting: str
    volumes: tuple[str, ...]
    k: int
    method: str
    skd: float
    seed: int
    budget: Budget
    threads: int

    @property
    def keys(self) -> list[Key]:
        """The keys of its results."""
        conditions = self.k, self.method, self.skd, self.seed, in_words(self.budget)
        return [(self.setting, self.data.name, volume, *conditions) for volume in self.volumes]

    @property
    def config(self) -> Config:
        """The usual settings, but for the method and its teacher."""
        taught = {"distillation": self.skd > 0, "distillation_weight": float(self.skd)}
        return ours({"semi_supervised": self.method, "mixing": False, **taught})

    @property
    def arguments(self) -> list[str]:
        """The options that ask for this training alone."""
        chosen = {"--data": self.folder, "--settings": self.setting, "--methods": self.method, "-k": self.k or 5}
        chosen |= {"--skd": self.skd, "--seeds": self.seed}
        return [*(str(word) for pair in chosen.items() for word in pair), "--volumes", *self.volumes]


def main() -> None:
    """Run what is asked for and print the tables of all results there are."""
    options = _parse()
    measure(options, Result, _pieces(options), _run, _tables)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="FOLDER", help="as for few_slices.py")
    parser.add_argument("--settings", nargs="+", choices=(ONE, MANY), default=[ONE, MANY])
    parser.add_argument("--volumes", nargs="+", metavar="NAME", help="volumes to test in (default: all, at most five)")
    parser.add_argument("-k", type=int, default=5, help="annotated slices in one volume (default: 5)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--skd", type=float, nargs="+", default=[0, 1], metavar="WEIGHT", help="of the distillation")
    add_run_options(parser, budget="60s")
    options = checked(parser)
    if not options.table and not options.data:
        parser.error("--data is needed to run anything.")
    return options


def _pieces(options: argparse.Namespace) -> Iterator[Piece]:
    for folder, setting in product(options.data, options.settings):
        data = find_data_set(folder)
        groups = [(volume,) for volume in data.volumes[:5]] if setting == ONE else _tested(data)
        if options.volumes:
            groups = [group for group in groups if set(group) & set(options.volumes)]
        k = options.k if setting == ONE else 0
        for seed, group, method, skd in product(options.seeds, groups, options.methods, options.skd):
            yield Piece(folder, data, setting, group, k, method, skd, seed, budget_of(options), options.threads)


def _tested(data: DataSet) -> list[tuple[str, ...]]:
    """Return the volumes that are tested together, with one model."""
    if len(data.volumes) >= TESTED.stop:
        return [data.volumes[TESTED]]
    return [(volume,) for volume in data.volumes]


def _run(piece: Piece) -> Iterator[Result]:
    run: Callable[[Piece], Iterator[Result]] = _one_volume if piece.setting == ONE else _many_volumes
    return run(piece)


def _one_volume(piece: Piece) -> Iterator[Result]:
    task = piece.data.truth(piece.volumes[0]).task(piece.k)
    started = time.monotonic()
    session = jobs.train([task.case], budget=piece.budget, config=piece.config, seed=piece.seed)
    seconds = time.monotonic() - started
    shown = session.predictor()
    students = replace(shown, students=session.trainer.learner.averaged)
    yield _result(
        piece,
        task.name,
        dice=_dice(task, shown),
        alone=_dice(task, replace(students, weight=STUDENTS_ALONE)),
        unaided=_dice(task, replace(students, propagate=None)),
        seconds=seconds,
        steps=session.trainer.steps,
    )


def _dice(task: Task, predictor: Predictor) -> float:
    return task.live_dice(task.slices_first(predictor.volume().labels))


def _many_volumes(piece: Piece) -> Iterator[Result]:
    annotated, unlabelled = _learnt_from(piece)
    cases = [piece.data.truth(volume).case for volume in annotated]
    images = [piece.data.images[piece.data.volumes.index(volume)] for volume in unlabelled]
    cases += [read_unlabelled_case(image, cases[0].annotation) for image in images]
    config = piece.config.with_values(whole_slices=True)
    started = time.monotonic()
    model = jobs.train(cases, budget=piece.budget, config=config, seed=piece.seed).model()
    seconds = time.monotonic() - started
    for volume in piece.volumes:
        truth = piece.data.truth(volume)
        values, _ = jobs.predict(model, truth.volume)
        labels = np.moveaxis(class_indices(values, model.classes), truth.annotation.axis, 0)
        task = truth.task(piece.k or 1)
        own = scores(labels, truth.indices, task.spacing_mm, len(model.classes), range(len(labels)))
        yield _result(piece, volume, dice=own.dice, alone=None, unaided=None, seconds=seconds, steps=model.steps)


def _learnt_from(piece: Piece) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the volumes that are annotated, and those that are not."""
    if len(piece.data.volumes) >= TESTED.stop:
        return piece.data.volumes[LABELLED], piece.data.volumes[UNLABELLED]
    others = tuple(volume for volume in piece.data.volumes if volume not in piece.volumes)
    return others[:1], others[1:]


def _result(
    piece: Piece,
    volume: str,
    *,
    dice: float,
    alone: float | None,
    unaided: float | None,
    seconds: float,
    steps: int,
) -> Result:
    return Result(
        *(piece.setting, piece.data.name, volume, piece.k, piece.method, piece.skd, piece.seed),
        budget=in_words(piece.budget),
        dice=dice,
        alone=alone,
        unaided=unaided,
        seconds=round(seconds, 2),
        steps=steps,
        threads=piece.threads,
    )


def _tables(results: Sequence[Result]) -> Iterator[str]:
    for setting, budget in sorted({(r.setting, r.budget) for r in results}):
        block = [r for r in results if (r.setting, r.budget) == (setting, budget)]
        groups = {data: [r for r in block if r.data == data] for data in sorted({r.data for r in block})}
        for data, own in (groups | {"all data": block} if len(groups) > 1 else groups).items():
            threads, k = (
                ", ".join(map(str, sorted(found))) for found in ({r.threads for r in own}, {r.k for r in own})
            )
            where = f"one volume, k = {k}" if setting == ONE else "many volumes"
            yield f"**{data}, {where}**, budget {budget}, threads of each run: {threads}\n"
            for what in (what for what, one in SCORES.items() if one == setting):
                yield _table(own, what) + "\n"


def _table(block: Sequence[Result], what: str) -> str:
    names = [name for name in METHODS if name in {r.method for r in block}]
    weights = sorted({r.skd for r in block} - {0})
    header = [f"Dice, {what}", "volumes x seeds", "without SKD", "over none", "s a step"]
    header += [text for weight in weights for text in (f"SKD x {weight:g}", "over without", "s a step")]
    average = ["mean", "", "", "", ""]
    for weight in weights:
        gains = [gain for name in names if (gain := _paired(block, what, (name, weight), (name, 0)))]
        runs = set[tuple[str, int]].intersection(*map(set, gains)) if gains else set()
        average += ["", interval(float(np.mean([gain[run] for gain in gains])) for run in sorted(runs)), ""]
    return table(header, [*(_row(block, name, what, weights) for name in names), average])


def _row(block: Sequence[Result], name: str, what: str, weights: Sequence[float]) -> list[str]:
    own = {skd: [r for r in block if (r.method, r.skd) == (name, skd)] for skd in (0, *weights)}
    count = max(own.values(), key=len)
    cells = [
        name,
        f"{len({r.volume for r in count})} x {len({r.seed for r in count})}",
        mean((r.score(what) for r in own[0]), 3),
        "-" if name == "none" else interval(_paired(block, what, (name, 0), ("none", 0)).values()),
        mean((r.seconds / r.steps for r in own[0]), 2),
    ]
    for weight in weights:
        gain = interval(_paired(block, what, (name, weight), (name, 0)).values())
        taught = own[weight]
        cells += [mean((r.score(what) for r in taught), 3), gain, mean((r.seconds / r.steps for r in taught), 2)]
    return cells


def _paired(
    block: Sequence[Result], what: str, one: tuple[str, float], other: tuple[str, float]
) -> dict[tuple[str, int], float]:
    """Return by how much one is better than another, by volume and seed."""
    scored = {(r.method, r.skd, r.volume, r.seed): r.score(what) for r in block}
    runs = [
        run for *which, volume, seed in scored if tuple(which) == one and (*other, *(run := (volume, seed))) in scored
    ]
    return {run: scored[(*one, *run)] - scored[(*other, *run)] for run in runs}


def interval(differences: Iterable[float]) -> str:
    """Return the mean and 95 % interval by Student's t.

    >>> interval([0.1, 0.1, 0.1, 0.14])
    '+0.110 (+0.078 to +0.142)'
    """
    values = np.array(list(differences))
    if len(values) < 2:
        return f"{values[0]:+.3f}" if len(values) else "-"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f})"


if __name__ == "__main__":
    main()
