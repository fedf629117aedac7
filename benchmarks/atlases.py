"""What are the masks of finished volumes worth in the next one, before anything is painted or trained there?

Leave one out: the masks of up to `--most` other volumes of a task are brought to each volume by `knowsam.atlas`. Dice
is the mean over the classes, on all slices. "One" is the mean of the volumes' single atlases.

Then a few slices are annotated, still without training: two within the structure (at 35 and 65 % of it), or three or
five from its first to its last slice. Dice on all other slices, of the proposal alone, of propagated labels alone, and
of both; "smallest gain" is that over the better of the two in any volume.

With `--budget`, how proposals err is learnt for so long from the finished volumes, each proposed from the others, and
"corrected" is what becomes of the proposal. "Left out" are Dice in these finished volumes, before and after: what a
user sees. Whoever has fewer than three finished volumes learns nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from provenance import provenance
from tables import table
from tasks import DataSet, Truth, find_data_set, mean_dice

from knowsam import jobs
from knowsam.atlas.proposal import Atlas, propose
from knowsam.data.annotation import class_indices
from knowsam.errors import InputError
from knowsam.io.labels import read_labels
from knowsam.training.corrective_learning import FEWEST_FINISHED, learn_correction
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from knowsam.atlas.proposal import Proposal
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.correction import Correction

ANNOTATED = {"2 within": (0.35, 0.65), "3": (0.0, 0.5, 1.0), "5": (0.0, 0.25, 0.5, 0.75, 1.0)}


@dataclass(frozen=True)
class Result:
    """Dice of one volume with all atlases and with single ones, seconds an atlas, atlases of use.

    Parameters
    ----------
    corrected : Dice after correction; that of the proposal without one.
    left_out : Dice in the finished volumes before and after, or None.
    beside : Dice on slices that are not annotated: of the proposal, of propagated labels, of both; of the corrected
        proposal and of both with it.
    """

    data: str
    volume: str
    atlases: int
    used: int
    dice: float
    single: float
    seconds: float
    corrected: float
    left_out: tuple[float, float] | None
    beside: dict[str, tuple[float, ...]]


def main() -> None:
    """Run all volumes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of volumes with labels")
    parser.add_argument("--most", type=int, default=8, help="atlases of each volume (default: 8)")
    parser.add_argument("--tested", type=int, help="volumes of each folder, the last ones (default: all)")
    parser.add_argument("--budget", type=Budget.parse, default=Budget(seconds=0.0), help="to learn how proposals err")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for folder in options.data:
        data = find_data_set(folder)
        for volume in data.volumes[-(options.tested or len(data.volumes)) :]:
            results.append(_result(data, volume, options.most, options.budget))
            print(results[-1], file=sys.stderr, flush=True)
    print(*provenance("seed 0"), sep="\n")
    print(_table(results), _beside_table(results), sep="\n\n")


def _result(data: DataSet, volume: str, most: int, budget: Budget) -> Result:
    truth = data.truth(volume)
    others = tuple(other for other in data.volumes if other != volume)[:most]
    atlases = [_atlas(data, other) for other in others]
    started = time.process_time()
    proposal = propose(truth.volume, atlases)
    seconds = (time.process_time() - started) / len(atlases)
    singles = [_single(truth, atlas) for atlas in atlases] if len(atlases) > 1 else []
    dice = _dice(truth, proposal.labels)
    used = sum(similarity is not None for similarity in proposal.similarities)
    single = float(np.mean(singles or [dice]))
    mask, left_out = proposal.mask, None
    if not budget.is_zero and len(atlases) >= FEWEST_FINISHED:
        correction = _correction(data, others, truth.annotation.axis, budget)
        mask = correction.corrected(truth.volume, mask)
        left_out = _left_out(correction)
    beside = {name: _beside(truth, proposal, mask, places) for name, places in ANNOTATED.items()}
    corrected = _dice(truth, mask.labels)
    return Result(data.name, volume, len(atlases), used, dice, single, round(seconds, 1), corrected, left_out, beside)


@cache
def _correction(data: DataSet, finished: Sequence[str], axis: int, budget: Budget) -> Correction:
    atlases = [_atlas(data, volume) for volume in finished]
    values = sorted({0, *(int(value) for atlas in atlases for value in np.unique(atlas.labels.array))})
    return learn_correction(atlases, values, axis, budget)


def _left_out(correction: Correction) -> tuple[float, float]:
    before, after = (np.mean([getattr(one, n) for one in correction.scores]) for n in ("proposed", "corrected"))
    return round(float(before), 4), round(float(after), 4)


def _beside(truth: Truth, proposal: Proposal, corrected: ProposedMask, places: Sequence[float]) -> tuple[float, ...]:
    """Annotate slices at some places of the structure, and return five Dice on all others."""
    first, last = truth.held[0], truth.held[-1]
    task = truth.annotated_in(first + place * (last - first) for place in places)
    others = [index for index in range(len(truth.indices)) if index not in task.annotated]
    case = task.case

    def with_(mask: ProposedMask | None) -> np.ndarray:
        nothing = Budget(seconds=0.0)
        return jobs.segment(case.volume, case.annotation, budget=nothing, device="cpu", proposal=mask).labels

    found = [proposal.labels, with_(None), with_(proposal.mask), corrected.labels]
    found.append(found[2] if corrected is proposal.mask else with_(corrected))
    return tuple(_dice(truth, labels, others) for labels in found)


def _atlas(data: DataSet, volume: str) -> Atlas:
    return Atlas(data.truth(volume).volume, read_labels(data.labels[data.volumes.index(volume)]))


def _single(truth: Truth, atlas: Atlas) -> float:
    try:
        return _dice(truth, propose(truth.volume, [atlas]).labels)
    except InputError:
        return 0.0


def _dice(truth: Truth, labels: np.ndarray, slices: Sequence[int] | None = None) -> float:
    chosen = slice(None) if slices is None else list(slices)
    classes = truth.annotation.classes
    known = np.where(np.isin(labels, [one.value for one in classes]), labels, 0)
    indices = class_indices(np.moveaxis(known, truth.annotation.axis, 0), classes)
    return round(mean_dice(indices[chosen], truth.indices[chosen], len(classes)), 4)


def _table(results: list[Result]) -> str:
    rows = []
    for data in dict.fromkeys(result.data for result in results):
        own = [result for result in results if result.data == data]
        means = [np.mean([getattr(one, name) for one in own]) for name in ("single", "dice")]
        worst = min(own, key=lambda one: one.dice)
        rows.append(
            [
                data,
                str(len(own)),
                str(own[0].atlases),
                *(f"{mean:.3f}" for mean in means),
                f"{worst.dice:.3f} ({worst.volume})",
                f"{np.mean([one.corrected for one in own]):.3f}",
                f"{min(one.corrected - one.dice for one in own):+.3f}",
                _mean_left_out(own),
                str(sum(one.atlases - one.used for one in own)),
                f"{np.mean([one.seconds for one in own]):.1f}",
            ]
        )
    header = ["task", "volumes", "atlases", "one", "all", "worst volume", "corrected", "smallest gain", "left out"]
    return table([*header, "of no use", "seconds an atlas"], rows)


def _mean_left_out(results: list[Result]) -> str:
    known = [one.left_out for one in results if one.left_out is not None]
    return " -> ".join(f"{mean:.3f}" for mean in np.mean(known, axis=0)) if known else "-"


def _beside_table(results: list[Result]) -> str:
    rows = []
    for data in dict.fromkeys(result.data for result in results):
        for name in ANNOTATED:
            own = np.array([result.beside[name] for result in results if result.data == data])
            gains = [(own[:, both] - own[:, [alone, 1]].max(axis=1)).min() for both, alone in ((2, 0), (4, 3))]
            rows.append([data, name, *(f"{mean:.3f}" for mean in own.mean(axis=0)), *(f"{g:+.3f}" for g in gains)])
    header = ["task", "annotated slices", "proposal", "propagated", "both", "corrected", "both, corrected"]
    return table([*header, "smallest gain", "smallest gain, corrected"], rows)


if __name__ == "__main__":
    main()
