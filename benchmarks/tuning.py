"""What is to be tuned in the next volume, after how many of its slices, and are finished volumes to be replayed?

Hippocampus, two structures. A model is trained on 1 to 8 finished volumes, on all their slices. In a new volume some
slices are annotated, and the model is tuned there in one of several ways, each with and without replay: half of the
annotated slices of a step come from the finished volumes. Dice is the mean over the classes in the slices that were not
annotated: of the tuned students by themselves, and of what is shown of them, beside propagated labels. Three and more
slices lie evenly from the first to the last slice of the structures, and nothing is counted beyond; with --inner, both
ends are left out.

"Own statistics": before anything is predicted, what the normalisation layers know of finished volumes is replaced by
what they see in the new one. "Earlier weight": the tuned students beside propagated labels as far as the model counted
before, by its error in slices that it had not learnt from.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from next_volume import TESTED
from pieces import add_file_options, checked
from propagated import propagated
from provenance import provenance
from result_store import ResultStore
from tables import table
from tasks import DataSet, Task, find_data_set, places
from tuned import NOTHING, REDUCED, TUNINGS, Replay, take_own_statistics, tuned

from knowsam import jobs
from knowsam.config import Config
from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.inference.predictor import Predictor
    from knowsam.models.students import Students
    from knowsam.training.trained_model import TrainedModel

WITHOUT_MODEL = "propagation and propagator, no model"

_SCORES = {
    "shown": "shown",
    "earlier_weight": "shown",
    "shown_own": "shown",
    "students": "students",
    "students_own": "students",
}
"""Scores of a result, and the score of a model that was not tuned which each is compared with."""


class Conditions(NamedTuple):
    """What a result was measured in.

    Parameters
    ----------
    finished : volumes behind the model; 0 without one.
    replay : whether these take part in the tuning.
    annotated : slices of the new volume; `inner` leaves the ends of the structures out.
    model_steps, steps : of the model, and in the new volume.
    """

    volume: str
    tuning: str
    finished: int
    replay: bool
    annotated: int
    inner: bool
    model_steps: int
    steps: int
    seed: int


@dataclass(frozen=True)
class Result:
    """Dice of one way of tuning in one new volume; None where there is no such prediction. Conditions come first.

    Parameters
    ----------
    students, students_own : of the tuned students by themselves; normalised by statistics of the new volume.
    shown, shown_own : of what is shown; the same.
    earlier_weight : with the weight that the model had before it was tuned.
    adopted : whether the tuned students are those that are shown.
    seconds : of the tuning and the predictions, without the training of the model.
    """

    volume: str
    tuning: str
    finished: int
    replay: bool
    annotated: int
    inner: bool
    model_steps: int
    steps: int
    seed: int
    students: float | None
    shown: float
    earlier_weight: float | None
    students_own: float | None
    shown_own: float | None
    adopted: bool
    seconds: float

    @property
    def key(self) -> Conditions:
        """The conditions of the run."""
        return Conditions(*(getattr(self, name) for name in Conditions._fields))


def main() -> None:
    """Run what was asked for and print the tables of all results there are."""
    options = _parse()
    store = ResultStore(options.json, Result)
    if not options.table:
        data = _data(options)
        for conditions in _conditions(options, data):
            if not (options.missing and conditions in store):
                result = _run(data, conditions)
                print(result, file=sys.stderr, flush=True)
                store.add(result)
    print("\n".join([*provenance("seeds as in each run"), *_tables(store.results)]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder with images/ and labels/ of 30 volumes")
    parser.add_argument("--volumes", type=int, default=3, help="new volumes, of the last five (default: 3)")
    parser.add_argument(
        "--finished",
        type=int,
        nargs="+",
        choices=range(1, 9),
        default=[1, 2, 4, 8],
        metavar="N",
        help="volumes behind the models (default: 1 2 4 8)",
    )
    parser.add_argument("-k", type=int, nargs="+", default=[1, 3, 5, 12], help="annotated slices (default: 1 3 5 12)")
    parser.add_argument("--inner", action="store_true", help="leave both ends of the structures unannotated")
    parser.add_argument("--tunings", nargs="+", choices=list(TUNINGS), default=list(TUNINGS), metavar="TUNING")
    parser.add_argument("--replay", choices=["both", "yes", "no"], default="both")
    parser.add_argument("--model-steps", type=int, default=350, help="training steps of a model (default: 350)")
    parser.add_argument("--steps", type=int, default=40, help="training steps in the new volume (default: 40)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    add_file_options(parser)
    options = checked(parser)
    if not options.table and options.data is None:
        parser.error("--data is needed to run anything.")
    return options


def _data(options: argparse.Namespace) -> DataSet:
    data = find_data_set(options.data)
    if len(data.volumes) < TESTED.stop:
        sys.exit(f"{TESTED.stop} volumes are needed, but {options.data} has {len(data.volumes)}.")
    return data


def _conditions(options: argparse.Namespace, data: DataSet) -> Iterator[Conditions]:
    replays = {"both": (False, True), "yes": (True,), "no": (False,)}[options.replay]
    for seed, volume in product(options.seeds, data.volumes[TESTED][: options.volumes]):
        others = options.inner, options.model_steps, options.steps, seed
        for k in options.k:
            if k > 1:
                yield Conditions(volume, WITHOUT_MODEL, 0, False, k, *others)
        for finished, k, tuning in product(options.finished, options.k, options.tunings):
            for replay in (False,) if tuning == NOTHING else replays:
                yield Conditions(volume, tuning, finished, replay, k, *others)


def _run(data: DataSet, conditions: Conditions) -> Result:
    truth, k = data.truth(conditions.volume), conditions.annotated
    held = range(int(truth.held[0]), int(truth.held[-1]) + 1)
    task = truth.annotated_in(places(held, k, inner=conditions.inner or k == 1))
    if conditions.tuning == WITHOUT_MODEL:
        started = time.monotonic()
        dice = None, round(task.live_dice(propagated(task, Config())), 4), None, None, None, False
    else:
        model, replay = _model(data, conditions.finished, conditions.model_steps, conditions.seed)
        started = time.monotonic()
        dice = _tuned_dice(task, conditions, model, replay if conditions.replay else None)
    return Result(*conditions, *dice, seconds=round(time.monotonic() - started, 2))


@cache
def _model(data: DataSet, finished: int, steps: int, seed: int) -> tuple[TrainedModel, Replay]:
    """Return the model of finished volumes, and their replay."""
    cases = [data.truth(volume).case for volume in data.volumes[:finished]]
    config = Config().with_values(whole_slices=True)
    return jobs.train(cases, budget=Budget(steps=steps), config=config, seed=seed).model(), Replay(cases, seed)


def _tuned_dice(
    task: Task, conditions: Conditions, model: TrainedModel, replay: Replay | None
) -> tuple[float | None, float, float | None, float | None, float | None, bool]:
    """Return the scores of a `Result`, in its order."""
    tuning = TUNINGS[conditions.tuning]
    session, weight = tuned(task.case, model, tuning, conditions.steps, seed=conditions.seed, replay=replay)
    predictor, students = session.predictor(), copy.deepcopy(session.trainer.learner.averaged)
    assert predictor.students is not None
    dice = _scorer(task)
    alone = dice(replace(predictor, students=students, weight=STUDENTS_ALONE))
    shown = dice(predictor)
    earlier = dice(replace(predictor, students=students, weight=weight))
    adopted = _are_equal(predictor.students, students)
    alone_own = shown_own = None
    if conditions.tuning == NOTHING or (conditions.tuning == REDUCED and conditions.replay):
        take_own_statistics(students, predictor)
        alone_own = dice(replace(predictor, students=students, weight=STUDENTS_ALONE))
        shown_own = dice(replace(predictor, students=students) if adopted else predictor)
    return alone, shown, earlier, alone_own, shown_own, adopted


def _scorer(task: Task) -> Callable[[Predictor], float]:
    """Return what predicts and scores the slices that count."""
    first, last = task.annotated[0], task.annotated[-1]
    is_beyond = bool(np.delete(task.truth, range(first, last + 1), axis=0).any())
    wanted = range(len(task.truth)) if is_beyond else range(first, last + 1)

    def dice(predictor: Predictor) -> float:
        labels = np.zeros_like(task.truth)
        for one in predictor.slices(wanted):
            labels[one.index] = one.labels
        return round(task.live_dice(labels), 4)

    return dice


def _are_equal(students: Students, others: Students) -> bool:
    both = zip(students.parameters(), others.parameters(), strict=True)
    return all(bool((one == other).all()) for one, other in both)


def _tables(results: Sequence[Result]) -> Iterator[str]:
    for inner, model_steps, steps in sorted({(r.inner, r.model_steps, r.steps) for r in results}):
        own = [r for r in results if (r.inner, r.model_steps, r.steps) == (inner, model_steps, steps)]
        ends = "not annotated" if inner else "annotated from 3 slices on"
        yield f"\n{model_steps} + {steps} steps, ends {ends}. Gain over no tuning, the smallest one, and runs.\n"
        for score, base in _SCORES.items():
            yield f"\n{score.replace('_', ' ').capitalize()}:\n"
            yield _gains(own, score, base)
        yield "\nAfter each number of finished volumes, mean over the new volumes:\n"
        yield _by_finished(own)


def _gains(results: Sequence[Result], score: str, base: str) -> str:
    """Return the table of one score: gains over the base of the same model that is not tuned."""
    counts = sorted({r.annotated for r in results})
    rows = []
    for tuning, replay in _rows(results):
        own = [r for r in results if (r.tuning, r.replay) == (tuning, replay) and getattr(r, score) is not None]
        if own:
            cells = [_gain([r for r in own if r.annotated == k], results, score, base) for k in counts]
            rows.append([tuning, _yes(replay), *cells])
    return table(["tuned", "replay", *(f"k = {k}" for k in counts)], rows)


def _gain(own: Sequence[Result], results: Sequence[Result], score: str, base: str) -> str:
    """Return the mean gain, the smallest one and the number of runs; the mean Dice of the base itself."""
    if score == base and own and own[0].tuning == NOTHING:
        return f"Dice {_mean([getattr(r, score) for r in own])}, {len(own)}"
    pairs = [(r, b) for r in own for b in results if b.tuning == NOTHING and _is_base(b, r)]
    gains = [getattr(r, score) - getattr(b, base) for r, b in pairs]
    return f"{np.mean(gains):+.3f} ({min(gains):+.3f}), {len(gains)}" if gains else "-"


def _is_base(base: Result, result: Result) -> bool:
    """Tell whether a result is to be compared with that of a model that was not tuned; any, if it has no model."""
    same = (base.volume, base.annotated, base.seed) == (result.volume, result.annotated, result.seed)
    return same and result.finished in (0, base.finished)


def _by_finished(results: Sequence[Result]) -> str:
    """Return the table of all scores, each the mean over the new volumes, one column for each annotated count."""
    counts = sorted({r.annotated for r in results})
    scores = ("shown", "students")
    in_words = " / ".join(map(str, counts))
    header = ["finished", "tuned", "replay", *(f"{name}, k = {in_words}" for name in scores)]
    rows = []
    for finished in sorted({r.finished for r in results}):
        for tuning, replay in _rows([r for r in results if r.finished == finished]):
            row = [r for r in results if (r.finished, r.tuning, r.replay) == (finished, tuning, replay)]
            cells = [
                " / ".join(_mean([getattr(r, name) for r in row if r.annotated == k]) for k in counts)
                for name in scores
            ]
            rows.append([str(finished), tuning, _yes(replay), *cells])
    return table(header, rows)


def _rows(results: Sequence[Result]) -> list[tuple[str, bool]]:
    order = [WITHOUT_MODEL, *TUNINGS]
    return sorted({(r.tuning, r.replay) for r in results}, key=lambda row: (order.index(row[0]), row[1]))


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def _yes(replay: bool) -> str:
    return "yes" if replay else "no"


if __name__ == "__main__":
    main()
