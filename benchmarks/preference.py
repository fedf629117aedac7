"""Is choosing between two masks of a slice worth the seconds it takes, beside painting for as long?

Some slices of a volume are painted, with outlines off by a pixel, and the students are trained. Then somebody has as
many seconds as painting one further slice takes, or some (`--painted`), and trains on for `--further` steps:

- painting: the slices are those that *Check* proposes, and cost what they cost in `next_slice.py`;
- choosing: of what is shown and another mask that the program has (students alone, propagation by registration alone,
  larger or smaller by half a logit, the compact SAM prompted with what is shown), a judge takes the one with the higher
  Dice, and errs in some of the answers. Each takes `--answer-seconds`. Slices with many pixels in dispute, times their
  distance to the nearest painted one, come first; the mask that won stands against the next one.

Answers are used in three ways: by the preference loss (`preference_loss.py`) beside the usual loss, as if what was
chosen had been painted, and as what is shown in its slice and nothing else. Dice in all slices that were not painted at
the beginning, of what is shown and of the students alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, islice, product
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import torch
from candidates import Answer, answers, candidates
from compact_sam import pretrained_sam
from next_slice import Painter, ours
from painters import a_pixel_off
from preference_loss import Pairs, PreferenceSettings, Preferring, share_followed
from provenance import provenance
from tables import table
from tasks import Truth, find_data_set, mean_dice

from knowsam.data.annotation import LabelSlice
from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.inference.planes import network_labels, with_neighbours
from knowsam.jobs import with_annotations
from knowsam.training.schedule import Budget
from knowsam.training.semi_supervised.methods import METHODS
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from tasks import Task

    from knowsam.data.annotation import LabelArray
    from knowsam.data.case import Case
    from knowsam.training.continuation import Continuation

_FEW_SLICES, _FEW_PAINTED = 13, 3
"""In structures of fewer slices, fewer are painted."""

_BEFORE, _NOTHING, _PAINTING, _EVERY = "before", "no attention", "painting", "every answer shown, judge never errs"
_LOSS, _AS_PAINTED, _SHOWN = "preference loss", "chosen as painted", "chosen shown"


@dataclass(frozen=True)
class Result:
    """What came of one way to use some seconds in a volume.

    Parameters
    ----------
    painted : further slices that painting would give in these seconds.
    number : of slices painted, or answers given.
    shown, students : Dice of what is shown, and of the learning students alone.
    followed : share of the answers towards which the students moved.
    """

    data: str
    volume: str
    painted: int
    way: str
    seconds: float
    number: int
    shown: float
    students: float
    followed: float | None = None


def main() -> None:
    """Run all volumes and print the tables."""
    options = _parse()
    torch.set_num_threads(1)
    sam = pretrained_sam()
    results = []
    for folder in options.data:
        data = find_data_set(folder)
        for volume in (one for one in data.volumes if one in options.volumes):
            for result in _Volume(data.truth(volume), sam, options).results():
                results.append(result)
                print(result, file=sys.stderr, flush=True)
    print(*provenance(f"painter, judge and training by seed {options.seed}"), sep="\n")
    for painted in options.painted:
        print(_table([one for one in results if one.painted in (0, painted)]), end="\n\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of volumes with labels")
    parser.add_argument("--volumes", nargs="+", required=True, metavar="NAME")
    parser.add_argument("-k", type=int, default=5, help="slices painted at first (default: 5; 3 of fewer than 13)")
    parser.add_argument("--steps", type=int, default=60, help="training steps before (default: 60)")
    parser.add_argument("--further", type=int, default=40, help="training steps after (default: 40)")
    parser.add_argument("--painted", type=int, nargs="+", default=[1, 3], help="further slices (default: 1 3)")
    parser.add_argument("--answer-seconds", type=float, default=1.5, help="look included (default: 1.5)")
    parser.add_argument("--errors", type=float, nargs="+", default=[0.0, 0.1, 0.3], help="shares of wrong answers")
    parser.add_argument("--weight", type=float, default=0.1, help="of the preference loss (default: 0.1)")
    parser.add_argument("--beta", type=float, default=1.0, help="of the preference loss (default: 1)")
    parser.add_argument("--over-plane", action="store_true", help="mean of the preference loss over all pixels")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=[*_WAYS])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class _Volume:
    """A volume in which some slices are painted and students are trained."""

    def __init__(self, truth: Truth, sam: torch.nn.Module, options: argparse.Namespace) -> None:
        self._truth, self._options = truth, options
        self._painter = Painter(truth, options.seed, None)
        k = options.k if len(self._painter.held) >= _FEW_SLICES else min(options.k, _FEW_PAINTED)
        self._task: Task = truth.task(k, partial(a_pixel_off, seed=options.seed))
        self._before = self._trained(self._task.case, options.steps)
        self._last = self._before.continuation()
        self._nothing = self._trained(self._task.case, options.further, self._last)
        first, *_, last = self._task.annotated
        self._hidden = [index for index in range(first, last) if index not in self._task.annotated]
        self._candidates = candidates(self._before.predictor(), sam, self._hidden)

    def results(self) -> Iterator[Result]:
        """Yield what comes of every way."""
        yield self._result(0, _BEFORE, 0.0, 0, self._before)
        yield self._result(0, _NOTHING, 0.0, 0, self._nothing)
        yield self._with_chosen(0, _EVERY, list(self._answers(0.0)))
        slices, seconds = self._painted(max(self._options.painted))
        for count in self._options.painted:
            after = self._trained(self._with_slices(slices[:count]), self._options.further, self._last)
            yield self._result(count, _PAINTING, seconds[count - 1], count, after)
            most = int(seconds[count - 1] / self._options.answer_seconds)
            for way, errors in product(self._options.ways, self._options.errors):
                if given := list(islice(self._answers(errors), most)):
                    yield _WAYS[way](self, count, f"{way}, judge errs in {errors:.0%}", given)

    def _trained(self, case: Case, steps: int, last: Continuation | None = None) -> TrainingSession:
        """Train, or train on from where another training ended."""
        session = TrainingSession([case], budget=Budget(steps=steps), seed=self._options.seed, last=last, device="cpu")
        for _ in session.run():
            pass
        return session

    def _painted(self, count: int) -> tuple[list[LabelSlice], list[float]]:
        """Paint slices that *Check* proposes; return them, and the seconds by the end of each."""
        axis, chosen = self._task.case.annotation.axis, list(self._task.annotated)
        found = self._before.predictor().volume()
        shown = self._shown(self._before)
        errors = np.moveaxis(found.error_probability, axis, 0).sum(axis=(1, 2), dtype=np.float64)
        slices, seconds = [], []
        for _ in range(count):
            index = ours(errors, sorted(chosen), self._painter.held, np.random.default_rng(0))
            seconds.append(float(self._painter.seconds(index, shown)))
            slices.append(LabelSlice(axis, index, self._painter.labels(index)))
            chosen.append(index)
            shown, errors = self._painter.mask(sorted(chosen), interpolated=False)
        return slices, list(accumulate(seconds))

    def _answers(self, errors: float) -> Iterator[Answer]:
        """Yield the answers of a judge who errs in such a share of them."""
        random = np.random.default_rng(self._options.seed)
        classes, truth = self._task.classes, self._task.truth

        def judge(index: int, one: LabelArray, other: LabelArray) -> bool:
            is_better = mean_dice(other, truth[index], classes) > mean_dice(one, truth[index], classes)
            return bool(is_better != (random.random() < errors))

        return answers(self._candidates, self._hidden, self._task.annotated, judge)

    def _by_loss(self, painted: int, way: str, given: list[Answer]) -> Result:
        """Learn from the answers."""
        options = self._options
        pairs = self._pairs(given)
        settings = PreferenceSettings(options.weight, options.beta, options.over_plane)
        method = {"mc": partial(Preferring, pairs=pairs, settings=settings)}
        learning: AbstractContextManager[object] = patch.dict(METHODS, method) if len(pairs.images) else nullcontext()
        with learning:
            after = self._trained(self._task.case, options.further, self._last)
        followed = share_followed(after.trainer.learner.averaged, pairs) if len(pairs.images) else None
        return replace(self._result(painted, way, self._seconds(given), len(given), after), followed=followed)

    def _as_painted(self, painted: int, way: str, given: list[Answer]) -> Result:
        """Take what was chosen for what was painted."""
        axis = self._task.case.annotation.axis
        case = self._with_slices([LabelSlice(axis, one.slice_index, one.chosen) for one in given])
        after = self._trained(case, self._options.further, self._last)
        return self._result(painted, way, self._seconds(given), len(given), after)

    def _with_chosen(self, painted: int, way: str, given: list[Answer]) -> Result:
        """Show what was chosen in its slice, and change nothing else."""
        without = self._result(painted, way, self._seconds(given), len(given), self._nothing)
        mask = self._shown(self._nothing)
        for one in given:
            mask[one.slice_index] = one.chosen
        return replace(without, shown=round(self._task.live_dice(mask), 4))

    def _seconds(self, given: list[Answer]) -> float:
        return len(given) * float(self._options.answer_seconds)

    def _with_slices(self, slices: list[LabelSlice]) -> Case:
        case = self._task.case
        for one in slices:
            case = case.with_slice(one)
        return case

    def _pairs(self, given: list[Answer]) -> Pairs:
        """Return the answers as students see them, but for those in dispute about less than a network pixel."""
        predictor, students = self._before.predictor(), self._before.students
        assert students is not None
        assert predictor.propagate is not None
        window = predictor.source.window
        chosen = torch.stack([network_labels(one.chosen, window) for one in given])
        rejected = torch.stack([network_labels(one.rejected, window) for one in given])
        indices = [one.slice_index for one in given]
        propagated = predictor.propagate(indices)
        assert propagated is not None
        grey = with_neighbours(predictor.source.planes, torch.tensor(indices), neighbours=True)
        images = torch.cat([grey, propagated.channels], dim=1)
        with torch.no_grad():
            reference = students.eval()(images)
        return Pairs(images, reference, chosen, rejected).rows((chosen != rejected).any((1, 2)).nonzero()[:, 0])

    def _shown(self, session: TrainingSession) -> LabelArray:
        """Return what is shown of the volume, painted slices included: (N, H, W) in class indices."""
        found = session.predictor().volume().labels
        return self._task.slices_first(with_annotations(found, session.cases[0].annotation)).copy()

    def _result(self, painted: int, way: str, seconds: float, number: int, session: TrainingSession) -> Result:
        alone = replace(session.predictor(), students=session.trainer.learner.averaged, weight=STUDENTS_ALONE)
        students = self._task.slices_first(alone.volume().labels)
        return Result(
            self._truth.data,
            self._truth.name,
            painted,
            way,
            round(seconds, 1),
            number,
            round(self._task.live_dice(self._shown(session)), 4),
            round(self._task.live_dice(students), 4),
        )


_WAYS = {_LOSS: _Volume._by_loss, _AS_PAINTED: _Volume._as_painted, _SHOWN: _Volume._with_chosen}


def _table(results: list[Result]) -> str:
    by_data: Mapping[str, list[Result]] = {
        data: [one for one in results if one.data == data] for data in dict.fromkeys(one.data for one in results)
    }
    rows = []
    for way in dict.fromkeys(one.way for one in results):
        rows.append([way, *(cell for own in by_data.values() for cell in _cells([o for o in own if o.way == way]))])
    heads = [f"{data}: {head}" for data in by_data for head in ("seconds (number)", "shown", "students", "followed")]
    return table(["way", *heads], rows)


def _cells(own: list[Result]) -> list[str]:
    seconds, number, shown, students = (
        float(np.mean([getattr(one, name) for one in own])) for name in ("seconds", "number", "shown", "students")
    )
    followed = [one.followed for one in own if one.followed is not None]
    share = f"{np.mean(followed):.0%}" if followed else "-"
    return [f"{seconds:.1f} ({number:.1f})", f"{shown:.4f}", f"{students:.4f}", share]


if __name__ == "__main__":
    main()
