"""Does a compact SAM learn to answer like its teacher, from images alone, and how much faster is it?

Two teachers can be had without a download. The shipped compact SAM teaches one that begins with random weights: what
can be learnt is known there, all of it. A SAM of the official layout with random weights teaches the shipped one: its
masks mean nothing, but it computes as long as with any weights. `--teacher FILE` takes others. From three volumes on,
some are held out whole, see `knowsam.distillation.image_slices.divided`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from provenance import provenance
from tables import table

from knowsam.data.painted_axis import acquired_axis
from knowsam.distillation.distillation import Distillation
from knowsam.distillation.image_slices import ImageSlices
from knowsam.io.image import read_image
from knowsam.models.sam import VARIANTS, build_sam
from knowsam.models.teachers import Teacher, choose_teacher
from knowsam.pretraining.sam_training import untrained_sam
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_OFFICIAL_PLANE = (1024, 1024)
_DECIDED = 60.0
"""Factor on the last layer that masks come from: at random, probabilities would all be close to one half."""

_MEASURED = ("embedding_error", "one_click", "three_clicks", "box", "mask")


def main() -> None:
    """Distil, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+", help="any images")
    parser.add_argument("--teacher", required=True, help="as of `knowsam distil`, or random_vit_b, random_vit_l, ...")
    parser.add_argument("--start", choices=["shipped", "untrained"], default="shipped", help="of the student")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    volumes = [read_image(path) for path in options.images]
    slices = ImageSlices(volumes, [acquired_axis(one.spacing_mm) for one in volumes], torch.device("cpu"))
    teacher = random_teacher(options.teacher) or choose_teacher(options.teacher)
    distillation = Distillation(
        teacher.variant, teacher.weights or {}, slices, device=torch.device("cpu"), start=start(options.start)
    )
    rows = _rows(distillation, options.steps)
    print(*provenance("seed 0"), sep="\n")
    print(f"{len(slices.learnt)} slices of {slices.plane[0]} x {slices.plane[1]} px, {len(slices.held_out)} held out\n")
    print(table(["student", "embedding error", *_MEASURED[1:], "teacher ms", "student ms", "CPU s"], rows))


def random_teacher(name: str) -> Teacher | None:
    """Return a teacher with random weights, if the name asks for one."""
    variant = name.removeprefix("random_")
    if variant == name:
        return None
    torch.manual_seed(0)
    sam = build_sam(VARIANTS[variant], _OFFICIAL_PLANE)
    with torch.no_grad():
        for part in sam.mask_decoder.output_hypernetworks_mlps:
            part.layers[-1].weight.mul_(_DECIDED)
    return Teacher(variant, sam.state_dict())


def start(name: str) -> Mapping[str, Tensor] | None:
    """Return what the student begins with; None stands for the shipped weights."""
    torch.manual_seed(1)
    return untrained_sam().state_dict() if name == "untrained" else None


def _rows(distillation: Distillation, steps: int) -> list[list[str]]:
    started = time.process_time()
    for _ in distillation.embed():
        pass
    rows = [_row("before", distillation, time.process_time() - started)]
    started = time.process_time()
    for step in distillation.learn(Budget(steps=steps)):
        if step.number % 20 == 0:
            print(f"step {step.number}, loss {step.loss:.3f}", file=sys.stderr, flush=True)
    return [*rows, _row(f"after {steps} steps", distillation, time.process_time() - started)]


def _row(name: str, distillation: Distillation, seconds: float) -> list[str]:
    found = asdict(distillation.agreement())
    times = (f"{ms:.0f}" for ms in distillation.latencies_ms())
    return [name, *(f"{found[one]:.3f}" for one in _MEASURED), *times, f"{seconds:.0f}"]


if __name__ == "__main__":
    main()
