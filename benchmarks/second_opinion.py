"""Does SAM, where it contradicts what is shown, tell where that is wrong?

Structures, volumes and annotated slices are those of `propagator.py`. In every slice between annotated ones, what is
shown before any training is the mask prompt of the compact SAM, and what it answers is the second opinion. Pixels are
ranked by the probability of being wrong that the window shows, by how far SAM's probability is from what is shown, and
by the mean of both; average precision says how well wrong pixels come first. Slices are ranked by the sums, against the
wrong pixels of each (Spearman).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from compact_sam import by_mask, pretrained_sam
from propagator import add_task_options, tasks
from provenance import provenance
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from tables import table

from knowsam.config import Config
from knowsam.inference.planes import network_labels, with_neighbours
from knowsam.inference.uncertainty import error_probability, inverse_temperature
from knowsam.models.sam_prompting import embed
from knowsam.training.network_volumes import NetworkVolumes, common_windows

if TYPE_CHECKING:
    from tasks import Task

_RANKINGS = ("shown probability", "SAM's contradiction", "both")
_FEWEST_WRONG_PX = 20


@dataclass(frozen=True)
class Result:
    """Share of wrong pixels in one structure, and average precision and rank correlation of each ranking."""

    data: str
    structure: str
    wrong: float
    precision: tuple[float, ...]
    correlation: tuple[float, ...]


def main() -> None:
    """Run all structures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sam = pretrained_sam()
    results = []
    with torch.inference_mode():
        for name, task in tasks(options):
            result = _result(sam, name, task)
            if result is not None:
                results.append(result)
                print(result, file=sys.stderr, flush=True)
    print(*provenance("no training"), sep="\n")
    print(_table(results))


def _result(sam: torch.nn.Module, name: str, task: Task) -> Result | None:
    windows, _ = common_windows([task.case], Config())
    volumes = NetworkVolumes([task.case], windows, Config(), device=torch.device("cpu"))
    indices = [i for i in range(task.annotated[0], task.annotated[-1]) if i not in task.annotated]
    target = torch.stack([network_labels(task.truth[i], windows[0]) == 1 for i in indices])
    propagation = volumes.propagations[0]
    assert propagation is not None
    propagated = propagation.for_display(indices)
    assert propagated is not None
    shown = propagated.probabilities
    is_wrong = ((shown[:, 1] > shown[:, 0]) != target).numpy()
    if is_wrong.sum() < _FEWEST_WRONG_PX:
        return None
    uncertain = error_probability(shown, torch.zeros_like(shown[:, :1]), inverse_temperature(propagated))[:, 0]
    contradiction = (_opinion(sam, volumes, indices, shown[:, 1:2]) - shown[:, 1:2]).abs()[:, 0]
    maps = [uncertain.numpy(), contradiction.numpy(), (uncertain + contradiction).numpy() / 2]
    by_slice = is_wrong.sum(axis=(1, 2))
    return Result(
        task.data,
        name,
        float(is_wrong.mean()),
        tuple(round(float(average_precision_score(is_wrong.ravel(), one.ravel())), 4) for one in maps),
        tuple(round(float(spearmanr(one.sum(axis=(1, 2)), by_slice).statistic), 4) for one in maps),
    )


def _opinion(sam: torch.nn.Module, volumes: NetworkVolumes, indices: list[int], shown: torch.Tensor) -> torch.Tensor:
    """Return SAM's probabilities (N, 1, H, W), prompted with those that are shown."""
    embedding = embed(sam, with_neighbours(volumes.planes, torch.tensor(indices), neighbours=True))
    return by_mask(sam, embedding, shown).sigmoid()


def _table(results: list[Result]) -> str:
    rows = []
    for data in [*dict.fromkeys(result.data for result in results), "all"]:
        own = [result for result in results if data in (result.data, "all")]
        precision = np.mean([result.precision for result in own], axis=0)
        correlation = np.nanmean([result.correlation for result in own], axis=0)
        wrong = 100 * np.mean([result.wrong for result in own])
        cells = [*(f"{mean:.3f}" for mean in precision), *(f"{mean:.2f}" for mean in correlation)]
        rows.append([data, str(len(own)), f"{wrong:.1f} %", *cells])
    heads = [f"{what}, {ranking}" for what in ("precision", "slices") for ranking in _RANKINGS]
    return table(["task", "structures", "wrong pixels", *heads], rows)


if __name__ == "__main__":
    main()
