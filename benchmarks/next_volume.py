"""What is a model of some annotated volumes worth in the next one, before and after three of its slices are corrected?

A model is trained on volumes of which every slice is labelled: 1 to 8 hippocampi, for five others, or all but one
volume of a smaller set, for that one. Then three slices of the new volume are corrected: those that lie evenly between
the first and the last slice that holds any structure, these included, get their true labels, and training goes on from
the model, on the new volume alone. All rows are scored alike: Dice is the mean over the classes, on the slices between
those two ends that were not corrected. "Whole volume" counts all slices of it; only a model without corrections has it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpolation import interpolate
from pieces import add_run_options, budget_of, checked, in_words, measure
from rival import Effort
from tables import mean, over_seeds, table
from tasks import DataSet, Task, find_data_set, scores
from variants import BUILD_UP, ours

from knowsam import jobs
from knowsam.commands.inputs import read_unlabelled_case
from knowsam.data.annotation import LabelArray, class_indices
from knowsam.training.events import Finished
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.training.trained_model import TrainedModel

LABELLED, UNLABELLED, TESTED = slice(0, 8), slice(10, 25), slice(25, 30)
CORRECTED = 3

INTERPOLATION = "interpolation"
FROM_SCRATCH = "from scratch"
FROM_SCRATCH_FOR_LONG = "from scratch, budget of the model"
WITHOUT_MODEL = (INTERPOLATION, FROM_SCRATCH, FROM_SCRATCH_FOR_LONG)
"""Rows that know the corrected slices alone and nothing of other volumes."""

MODELS: dict[str, dict[str, Any]] = {"ours": {}, "ours, region": {"whole_slices": False}, **BUILD_UP}
"""Settings of rows that train a model first: on whole slices, as `knowsam train` does, unless they say otherwise."""

Key = tuple[str, str, int, int, str, int, int, str]


@dataclass(frozen=True)
class Result:
    """Scores of one row on one new volume.

    Parameters
    ----------
    trained_on, unlabelled : volumes behind the model, with labels and without.
    corrected : slices of the new volume whose labels are known.
    budget : of the model, and of the training in the new volume.
    dice_whole : on all slices, where none was corrected.
    model_seconds, seconds : training of the model; all that has to be waited for in the new volume.
    steps : in the new volume, or of the model where nothing was corrected.
    """

    data: str
    volume: str
    trained_on: int
    unlabelled: int
    row: str
    corrected: int
    seed: int
    budget: str
    dice: float
    dice_by_class: tuple[float, ...]
    dice_whole: float | None
    hd95_mm: float | None
    model_seconds: float
    seconds: float
    steps: int
    threads: int

    @property
    def key(self) -> Key:
        """The conditions of the run."""
        return (
            *(self.data, self.volume, self.trained_on, self.unlabelled),
            *(self.row, self.corrected, self.seed, self.budget),
        )


@dataclass(frozen=True)
class Piece:
    """One row with one seed: a model, if the row has one, and all new volumes."""

    data: DataSet
    volumes: tuple[str, ...]
    row: str
    finished: tuple[str, ...]
    unlabelled: int
    seed: int
    budget: Budget
    correction_budget: Budget
    threads: int
    shared: tuple[str, ...]

    @property
    def keys(self) -> list[Key]:
        """The keys of all its results."""
        corrections = (CORRECTED,) if self.row in WITHOUT_MODEL else (0, CORRECTED)
        return [self.key(volume, corrected) for volume, corrected in product(self.volumes, corrections)]

    def key(self, volume: str, corrected: int) -> Key:
        """Return the key of one result."""
        behind = self.data.name, volume, len(self.finished), self.unlabelled
        return *behind, self.row, corrected, self.seed, self._budget_in_words(corrected)

    @property
    def arguments(self) -> list[str]:
        """The options that ask for this piece alone."""
        count = [] if self.row in WITHOUT_MODEL else ["--trained-on", str(len(self.finished))]
        return [*self.shared, "--rows", self.row, "--seeds", str(self.seed), *count, "--volumes", *self.volumes]

    def _budget_in_words(self, corrected: int) -> str:
        whole, short = in_words(self.budget), in_words(self.correction_budget)
        with_model = f"{whole} + {short}" if corrected else whole
        return {INTERPOLATION: "", FROM_SCRATCH: short, FROM_SCRATCH_FOR_LONG: whole}.get(self.row, with_model)


def main() -> None:
    """Run the chosen rows and print the table of all results there are."""
    options = _parse()
    measure(options, Result, _pieces(options), _run, _tables)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="30 hippocampi, or fewer volumes of any kind")
    parser.add_argument("--volumes", nargs="+", metavar="NAME", help="new volumes (default: the last five, or each)")
    parser.add_argument(
        "--trained-on",
        type=int,
        nargs="+",
        choices=range(1, 9),
        metavar="N",
        help="volumes behind the model (default: 1, 2, 4 and 8, or all others)",
    )
    parser.add_argument("--unlabelled", type=int, default=0, help="volumes without labels to train on too, up to 15")
    parser.add_argument("--correction-budget", default="10s", help="training time in the new volume (default: 10s)")
    parser.add_argument("--correction-steps", type=int, help="training steps in the new volume, instead of a time")
    names = [*WITHOUT_MODEL, *MODELS]
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=names,
        default=[*WITHOUT_MODEL, "ours"],
        metavar="ROW",
        help=f"rows: {'; '.join(names)} (default: those up to ours)",
    )
    add_run_options(parser, budget="60s")
    options = checked(parser)
    if not options.table and options.data is None:
        parser.error("--data is needed to run anything.")
    return options


def _pieces(options: argparse.Namespace) -> Iterator[Piece]:
    data = find_data_set(options.data)
    groups = _new_volumes(data, options.volumes)
    short = Budget(steps=options.correction_steps) if options.correction_steps else None
    budgets = budget_of(options), short or Budget.parse(options.correction_budget)
    for volumes, row in product(groups, options.rows):
        with_model = row not in WITHOUT_MODEL
        models = _finished(data, volumes, options.trained_on) if with_model else [()]
        for finished, seed in product(models, [0] if row == INTERPOLATION else options.seeds):
            how = seed, *budgets, options.threads, _shared(options)
            yield Piece(data, volumes, row, finished, options.unlabelled if with_model else 0, *how)


def _new_volumes(data: DataSet, chosen: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Return the volumes that are new to one and the same model."""
    groups = [data.volumes[TESTED]] if _are_many(data) else [(volume,) for volume in data.volumes]
    new = [volume for group in groups for volume in group]
    if not set(chosen or ()) <= set(new):
        sys.exit(f"The new volumes are {', '.join(new)}. Choose --volumes among them.")
    groups = [tuple(volume for volume in group if volume in (chosen or new)) for group in groups]
    return [group for group in groups if group]


def _finished(data: DataSet, new: Sequence[str], counts: Sequence[int] | None) -> list[tuple[str, ...]]:
    """Return the volumes behind each model."""
    if _are_many(data):
        return [data.volumes[LABELLED][:count] for count in counts or (1, 2, 4, 8)]
    others = tuple(volume for volume in data.volumes if volume not in new)
    return [others[:count] for count in counts or (len(others),)]


def _are_many(data: DataSet) -> bool:
    """Whether there are enough volumes to set some aside; of fewer, each is new to a model of the others."""
    return len(data.volumes) >= TESTED.stop


def _shared(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of every piece that `measure` knows nothing of."""
    named = {"--data": options.data, "--unlabelled": options.unlabelled}
    named |= {"--correction-budget": options.correction_budget}
    named |= {"--correction-steps": options.correction_steps} if options.correction_steps else {}
    return tuple(str(word) for pair in named.items() for word in pair)


def _run(piece: Piece) -> Iterator[Result]:
    if piece.row not in WITHOUT_MODEL:
        yield from _train_and_test(piece)
        return
    for volume in piece.volumes:
        task = piece.data.truth(volume).task(CORRECTED)
        started = time.monotonic()
        if piece.row == INTERPOLATION:
            labels, steps = interpolate(task, Effort(piece.budget, piece.seed, piece.threads)).labels, 0
        else:
            budget = piece.correction_budget if piece.row == FROM_SCRATCH else piece.budget
            labels, steps = _go_on_training(task, None, budget, ours({}), piece.seed)
        yield _result(piece, task, CORRECTED, labels, steps, seconds=time.monotonic() - started)


def _train_and_test(piece: Piece) -> Iterator[Result]:
    config = ours(MODELS[piece.row])
    cases = [piece.data.truth(volume).case for volume in piece.finished]
    images = piece.data.images[UNLABELLED][: piece.unlabelled]
    cases += [read_unlabelled_case(image, cases[0].annotation) for image in images]
    started = time.monotonic()
    on_whole_slices = config.with_values(whole_slices=config.plane.whole_slices is not False)
    model = jobs.train(cases, budget=piece.budget, config=on_whole_slices, seed=piece.seed).model()
    model_seconds = time.monotonic() - started
    for volume in piece.volumes:
        task = piece.data.truth(volume).task(CORRECTED)
        started = time.monotonic()
        values, _ = jobs.predict(model, task.case.volume)
        seconds = time.monotonic() - started
        labels = task.slices_first(class_indices(values, model.classes))
        yield _result(piece, task, 0, labels, model.steps, seconds=seconds, model_seconds=model_seconds)
        started = time.monotonic()
        labels, steps = _go_on_training(task, model, piece.correction_budget, config, piece.seed)
        seconds = time.monotonic() - started
        yield _result(piece, task, CORRECTED, labels, steps, seconds=seconds, model_seconds=model_seconds)


def _go_on_training(
    task: Task, model: TrainedModel | None, budget: Budget, config: Config, seed: int
) -> tuple[LabelArray, int]:
    """Train on the corrected slices of a volume; return class indices (N, H, W) of all of it, and the steps."""
    # Corrected predictions are never held out, so that training learns from all of them.
    slices = {index: replace(one, by_hand=False, corrected=True) for index, one in task.case.annotation.slices.items()}
    case = replace(task.case, annotation=replace(task.case.annotation, slices=slices))
    session = TrainingSession([case], budget=budget, config=config, seed=seed, start_from=model)
    steps = [event.steps for event in session.run() if isinstance(event, Finished)]
    return task.slices_first(session.predictor().volume().labels), steps[-1]


def _result(
    piece: Piece,
    task: Task,
    corrected: int,
    labels: LabelArray,
    steps: int,
    *,
    seconds: float,
    model_seconds: float = 0.0,
) -> Result:
    own = task.scores(labels)
    whole = None if corrected else scores(labels, task.truth, task.spacing_mm, task.classes, range(len(labels))).dice
    return Result(
        *piece.key(task.name, corrected),
        dice=own.dice,
        dice_by_class=own.dice_by_class,
        dice_whole=whole,
        hd95_mm=own.hd95_mm,
        model_seconds=round(model_seconds, 2),
        seconds=round(seconds, 2),
        steps=steps,
        threads=piece.threads,
    )


def _tables(results: Sequence[Result]) -> Iterator[str]:
    order = [*WITHOUT_MODEL, *MODELS]
    groups = {(r.data, r.row, r.trained_on, r.unlabelled, r.corrected, r.budget) for r in results}
    threads = ", ".join(map(str, sorted({r.threads for r in results})))
    yield f"Threads of each run: {threads}. Budget: of the model + in the new volume.\n"
    header = ["row", "trained on volumes", "unlabelled", "corrected slices", "budget", "volumes x seeds", "Dice mean"]
    header += ["worst volume", "Dice whole volume", "HD95 mm", "seconds of the model", "seconds", "steps"]
    rows = []
    for data, row, count, unlabelled, corrected, budget in sorted(groups, key=lambda g: (order.index(g[1]), *g[2:])):
        conditions = (data, row, count, unlabelled, corrected, budget)
        own = [r for r in results if (r.data, r.row, r.trained_on, r.unlabelled, r.corrected, r.budget) == conditions]
        rows.append([row, str(count), str(unlabelled), str(corrected), budget or "none", *_cells(own)])
    yield table(header, rows)


def _cells(own: Sequence[Result]) -> list[str]:
    dice, worst = over_seeds((r.seed, r.volume, r.dice) for r in own)
    return [
        f"{len({r.volume for r in own})} x {len({r.seed for r in own})}",
        dice,
        worst,
        "-" if own[0].dice_whole is None else mean((r.dice_whole for r in own), 3),
        mean((r.hd95_mm for r in own), 1),
        mean((r.model_seconds for r in own), 0),
        mean((r.seconds for r in own), 1),
        mean((r.steps for r in own), 0),
    ]


if __name__ == "__main__":
    main()
