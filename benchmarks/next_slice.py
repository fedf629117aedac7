"""Which slice is to be annotated next? Slices and seconds of attention until the mask is good, by several rules.

A simulated painter begins with the first, the middle and the last slice of the structures, then annotates one slice
after the other; without a training, the mask is propagated from them and corrected by the propagator. The outlines of
the painter are off by a smooth error of one pixel. Where nothing is shown yet, a slice costs a look and its whole
outline, later a look and what of its outline is more than a pixel away from the one that is shown. "Even" is told how
many slices there will be, and spreads them evenly; "bisect" takes the slice furthest from all annotated ones.
With `--finished N`, N other volumes propose a mask first, by their true masks, and that is what the painter sees first;
with `--budget`, how such masks err is learnt from them for so long, and the proposal corrected.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from interpolation import interpolate
from painters import a_pixel_off
from propagator import add_task_options, truths
from provenance import provenance
from rival import Effort
from scipy import ndimage
from tables import table
from tasks import Task, Truth, find_data_set, mean_dice

from knowsam import jobs
from knowsam.atlas.proposal import Atlas, propose
from knowsam.data.annotation import Annotation, LabelArray, LabelSlice, class_indices
from knowsam.data.case import Case
from knowsam.document.next_slice import worths
from knowsam.io.labels import read_labels
from knowsam.training.corrective_learning import learn_correction
from knowsam.training.schedule import Budget

_WANTED = (0.80, 0.90, 0.95)
_LOOK_S = 3.0
_OUTLINE_PX_PER_S = 25.0

if TYPE_CHECKING:
    from knowsam.data.proposed_mask import ProposedMask

Errors = npt.NDArray[np.float64]
Rule = Callable[[Errors, Sequence[int], range, np.random.Generator], int]


def main() -> None:
    """Run all rules on all volumes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.set_defaults(k=12)
    parser.add_argument("--rules", nargs="+", choices=[*_RULES, _RIVAL], default=[*_RULES, _RIVAL])
    parser.add_argument("--finished", type=int, help="also let so many other volumes propose a mask before (ours)")
    parser.add_argument("--budget", type=Budget.parse, default=Budget(seconds=0.0), help="to learn how proposals err")
    parser.add_argument("--seed", type=int, default=0, help="of the painter and of random (default: 0)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, dict[str, list[_Run]]] = {}
    for truth in truths(options):
        for rule in options.rules:
            _add(runs, truth, rule, _run(truth, rule, options))
        if options.finished:
            proposal = _proposal(truth, options)
            corrected = "" if options.budget.is_zero else ", corrected"
            _add(runs, truth, f"ours, {options.finished} finished{corrected}", _run(truth, "ours", options, proposal))
    print(*provenance(f"painter and random by seed {options.seed}"), sep="\n")
    print(_table(runs))


def _add(runs: dict[str, dict[str, list[_Run]]], truth: Truth, rule: str, run: _Run) -> None:
    runs.setdefault(truth.data, {}).setdefault(rule, []).append(run)
    print(truth.name, rule, *run.dice, *run.seconds, file=sys.stderr, flush=True)


def _proposal(truth: Truth, options: argparse.Namespace) -> ProposedMask:
    """Let other volumes of the task propose a mask."""
    data = next(data for data in map(find_data_set, options.data) if data.name == truth.data)
    others = [volume for volume in data.volumes if volume != truth.name][: options.finished]
    labels = {volume: read_labels(data.labels[data.volumes.index(volume)]) for volume in others}
    atlases = [Atlas(data.truth(volume).volume, labels[volume]) for volume in others]
    mask = propose(truth.volume, atlases).mask
    if options.budget.is_zero:
        return mask
    values = sorted({0, *(int(value) for mask in labels.values() for value in np.unique(mask.array))})
    return learn_correction(atlases, values, truth.annotation.axis, options.budget).corrected(truth.volume, mask)


@dataclass(frozen=True)
class _Run:
    """Dice over all slices of the structures after each annotated slice, and the seconds it took by then."""

    dice: tuple[float, ...]
    seconds: tuple[float, ...]

    def reached(self, wanted: float) -> tuple[int, float] | None:
        """Return how many slices and seconds a Dice took that was not lost again."""
        lost = [number for number, dice in enumerate(self.dice) if dice < wanted]
        first = lost[-1] + 1 if lost else 0
        return None if first == len(self.dice) else (_BEGINNING + first, self.seconds[first])


_BEGINNING = 3
_RIVAL = "interpolation, even"


def _run(truth: Truth, rule: str, options: argparse.Namespace, proposal: ProposedMask | None = None) -> _Run:
    painter, rng = Painter(truth, options.seed, proposal), np.random.default_rng(options.seed)
    held = painter.held
    chosen = sorted({held[0], held[len(held) // 2], held[-1]})
    shown, spent, dice, seconds = painter.first_shown, 0.0, list[float](), list[float]()
    for count in range(_BEGINNING, min(options.k, len(held)) + 1):
        is_even = "even" in rule
        if is_even:
            chosen = sorted({round(place) for place in np.linspace(held[0], held[-1], count)})
            shown, spent = np.zeros_like(truth.indices), 0.0
            spent = sum(painter.seconds(index, shown) for index in chosen)
        else:
            spent += sum(painter.seconds(index, shown) for index in (chosen if count == _BEGINNING else chosen[-1:]))
        shown, errors = painter.mask(sorted(chosen), interpolated="interpolation" in rule)
        dice.append(
            round(mean_dice(shown[held.start : held.stop], truth.indices[held.start : held.stop], painter.classes), 4)
        )
        seconds.append(round(spent, 1))
        if not is_even and len(chosen) < len(held):
            chosen = [*chosen, _RULES[rule](errors, sorted(chosen), held, rng)]
    return _Run(tuple(dice), tuple(seconds))


class Painter:
    """Annotates slices of a volume with outlines that are off by a pixel."""

    def __init__(self, truth: Truth, seed: int, proposal: ProposedMask | None) -> None:
        self._truth, self._seed, self._proposal = truth, seed, proposal
        self.classes = int(truth.indices.max()) + 1
        seen = [int(index) for index in truth.held if self.labels(int(index)).any()]
        self.held = range(seen[0], seen[-1] + 1)

    @property
    def first_shown(self) -> LabelArray:
        """(N, H, W), class indices of what is seen before anything is annotated."""
        annotation = self._truth.annotation
        if self._proposal is None:
            return np.zeros_like(self._truth.indices)
        values = [one.value for one in annotation.classes]
        known = np.where(np.isin(self._proposal.labels, values), self._proposal.labels, 0)
        return class_indices(np.moveaxis(known, annotation.axis, 0), annotation.classes)

    def labels(self, index: int) -> LabelArray:
        """Return (H, W), class indices as somebody would paint them, the same each time."""
        return a_pixel_off(self._truth, index, self._seed)

    def seconds(self, index: int, shown: LabelArray) -> float:
        """Return how long it takes to annotate a slice of which this is shown."""
        missed = _outline(self.labels(index)) & ~ndimage.binary_dilation(_outline(shown[index]), iterations=1)
        return _LOOK_S + np.count_nonzero(missed) / _OUTLINE_PX_PER_S

    def mask(self, chosen: Sequence[int], *, interpolated: bool) -> tuple[LabelArray, Errors]:
        """Return class indices (N, H, W) from these slices, and the expected wrong pixels of each slice."""
        truth = self._truth
        annotation = Annotation(truth.volume.shape, truth.annotation.axis, truth.annotation.classes)
        for index in chosen:
            annotation = annotation.with_slice(LabelSlice(annotation.axis, index, self.labels(index)))
        if interpolated:
            task = Task(truth.data, truth.name, Case(truth.volume, annotation), truth.indices)
            labels, errors = (
                interpolate(task, Effort(Budget(steps=1), 0, 1)).labels.copy(),
                np.zeros(len(truth.indices)),
            )
        else:
            found = jobs.segment(
                truth.volume, annotation, budget=Budget(steps=0), device="cpu", proposal=self._proposal
            ).prediction
            labels = np.moveaxis(found.labels, annotation.axis, 0).copy()
            errors = np.moveaxis(found.error_probability, annotation.axis, 0).sum(axis=(1, 2), dtype=np.float64)
        for index in chosen:
            labels[index] = self.labels(index)
        errors[list(chosen)] = 0.0
        return labels, errors


def _outline(labels: LabelArray) -> npt.NDArray[np.bool_]:
    outline: npt.NDArray[np.bool_] = (labels > 0) & (
        ndimage.grey_erosion(labels, 3) != ndimage.grey_dilation(labels, 3)
    )
    return outline


def _furthest(_errors: Errors, chosen: Sequence[int], held: range, _rng: np.random.Generator) -> int:
    return max(held, key=lambda index: min(abs(index - one) for one in chosen))


def _random(_errors: Errors, chosen: Sequence[int], held: range, rng: np.random.Generator) -> int:
    return int(rng.choice([index for index in held if index not in chosen]))


def _most_uncertain(errors: Errors, chosen: Sequence[int], held: range, _rng: np.random.Generator) -> int:
    return max((index for index in held if index not in chosen), key=lambda index: errors[index])


def ours(errors: Errors, chosen: Sequence[int], held: range, _rng: np.random.Generator) -> int:
    """Return the slice that *Check* proposes, of those not chosen yet."""
    worth = worths(errors, chosen)
    return max((index for index in held if index not in chosen), key=lambda index: worth[index])


_RULES: dict[str, Rule] = {
    "even": _furthest,
    "bisect": _furthest,
    "random": _random,
    "most uncertain": _most_uncertain,
    "ours": ours,
}


def _table(runs: dict[str, dict[str, list[_Run]]]) -> str:
    rows = []
    for data, by_rule in runs.items():
        for rule, own in by_rule.items():
            cells = [data, rule, f"{np.mean([np.mean(run.dice) for run in own]):.3f}"]
            for wanted in _WANTED:
                reached = [found for run in own if (found := run.reached(wanted)) is not None]
                cells.append(f"{len(reached)} of {len(own)}")
                cells += [f"{np.mean(column):.1f}" for column in zip(*reached, strict=True)] or ["-", "-"]
            rows.append(cells)
    heads = [f"{head} {wanted}" for wanted in _WANTED for head in ("reach", "slices to", "seconds to")]
    return table(["task", "rule", "mean Dice", *heads], rows)


if __name__ == "__main__":
    main()
