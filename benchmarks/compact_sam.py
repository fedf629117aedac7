"""What does the compact SAM make of a prompt, in whatever structure, before any training?

Structures, volumes and annotated slices are those of `propagator.py`. In every slice between annotated ones that holds
the structure, SAM is asked for it by the propagated labels, by these as the propagator corrects them, by a box round
the truth, and by one click into it, then by up to four more clicks, each where the mask is wrong. Dice on network
planes, all slices of a structure together.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from propagator import add_task_options, tasks
from provenance import provenance
from safetensors.torch import load_file
from tables import table
from torch import Generator, Tensor
from torch.nn import functional as F

from knowsam.config import Config
from knowsam.inference.planes import network_labels, with_neighbours
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.prompted_sam import PromptedSam
from knowsam.models.sam import VARIANTS
from knowsam.models.sam_prompting import NO_POINT, Prompts, embed
from knowsam.pretraining.prompting import PromptSource
from knowsam.pretraining.sam_training import untrained_sam
from knowsam.training.network_volumes import NetworkVolumes, common_windows

if TYPE_CHECKING:
    from tasks import Task

_CLICKS = 5
_ROWS = (
    *("propagated", "SAM on propagated", "propagator", "SAM on propagator", "SAM on box", "SAM on one click"),
    f"SAM on {_CLICKS} clicks",
)


@dataclass(frozen=True)
class Result:
    """Dice of each row in one structure, and the CPU milliseconds of one embedding and one prompt."""

    data: str
    structure: str
    dice: tuple[float, ...]
    embedding_ms: float
    prompt_ms: float


def main() -> None:
    """Run all structures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--weights", type=Path, help="of another compact SAM than the one that is shipped")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sam = pretrained_sam(options.weights)
    results = []
    with torch.inference_mode():
        for name, task in tasks(options):
            results.append(_result(sam, name, task))
            print(results[-1], file=sys.stderr, flush=True)
    print(*provenance("no training; seed of the clicks 0"), sep="\n")
    print(_table(results))


def pretrained_sam(weights: Path | None = None) -> torch.nn.Module:
    """Return the compact SAM, with the weights that are shipped or with others."""
    sam: torch.nn.Module = untrained_sam().eval()
    sam.load_state_dict(dict(compact_sam_weights()) if weights is None else load_file(weights))
    return sam


def _result(sam: torch.nn.Module, name: str, task: Task) -> Result:
    windows, _ = common_windows([task.case], Config())
    volumes = NetworkVolumes([task.case], windows, Config(), device=torch.device("cpu"))
    indices = [
        i for i in range(task.annotated[0], task.annotated[-1]) if i not in task.annotated and task.truth[i].any()
    ]
    target = torch.stack([network_labels(task.truth[i], windows[0]) == 1 for i in indices])[:, None].float()
    propagation = volumes.propagations[0]
    assert propagation is not None
    propagated = propagation.for_display(indices)
    assert propagated is not None
    masks = [propagated.blend[:, 1:2], propagated.probabilities[:, 1:2]]
    started = time.process_time()
    embedding = embed(sam, with_neighbours(volumes.planes, torch.tensor(indices), neighbours=True))
    embedded = time.process_time()
    answers, asked = _answers(sam, embedding, target, masks)
    prompted_at = time.process_time()
    dice = [_dice(found, target > 0) for found in answers]
    per_slice = 1000 / len(indices)
    return Result(
        task.data, name, tuple(dice), (embedded - started) * per_slice, (prompted_at - embedded) * per_slice / asked
    )


def by_mask(sam: torch.nn.Module, embedding: Tensor, mask: Tensor) -> Tensor:
    """Return SAM's logits (N, 1, H, W), prompted with probabilities (N, 1, H, W) and no click."""
    points, kinds = torch.zeros(len(mask), 1, 2), torch.full((len(mask), 1), NO_POINT)
    return _asked(sam, embedding, Prompts(points, kinds, torch.logit(mask, eps=2e-3), torch.ones(len(mask), 1, 1, 1)))


def _asked(sam: torch.nn.Module, embedding: Tensor, prompts: Prompts) -> Tensor:
    size = prompts.masks.shape[-2], prompts.masks.shape[-1]
    found, _ = PromptedSam(sam, VARIANTS["compact"]).masks(embedding, prompts)
    return F.interpolate(found, size=size, mode="bilinear", align_corners=False)


def _answers(sam: torch.nn.Module, embedding: Tensor, target: Tensor, masks: list[Tensor]) -> tuple[list[Tensor], int]:
    """Return the masks (N, 1, H, W) of each row, and how often SAM was asked for them."""
    source, asked = PromptSource(Generator().manual_seed(0), torch.device("cpu")), partial(_asked, sam, embedding)
    nothing = torch.zeros(len(target), 1, 1, 1)
    answers = []
    for mask in masks:
        answers += [mask > 0.5, by_mask(sam, embedding, mask) > 0]
    answers.append(asked(Prompts(*source.box(target), 0 * target, nothing)) > 0)
    prompts = Prompts(*source.click(target, target), 0 * target, nothing)
    found = asked(prompts)
    answers.append(found > 0)
    for _ in range(_CLICKS - 1):
        prompts = source.corrected(prompts, found, target)
        found = asked(prompts)
    return [*answers, found > 0], 3 + _CLICKS


def _dice(found: Tensor, truth: Tensor) -> float:
    return round(float(2 * (found & truth).sum() / (found.sum() + truth.sum())), 4)


def _table(results: list[Result]) -> str:
    rows = []
    for data in [*dict.fromkeys(result.data for result in results), "all"]:
        own = [result for result in results if data in (result.data, "all")]
        means = np.mean([result.dice for result in own], axis=0)
        times = [np.mean([result.embedding_ms for result in own]), np.mean([result.prompt_ms for result in own])]
        rows.append([data, str(len(own)), *(f"{mean:.3f}" for mean in means), *(f"{ms:.0f}" for ms in times)])
    return table(["task", "structures", *_ROWS, "embedding ms", "prompt ms"], rows)


if __name__ == "__main__":
    main()
