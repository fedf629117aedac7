"""How well are the slices segmented that nobody annotated, from k annotated slices of one volume?

Every volume is trained on its own. The annotated slices lie evenly between the first and the last slice that holds the
structure; scores are taken on all other slices of the volume, those beyond the two ends included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from provenance import provenance
from scipy import ndimage

from knowsam import jobs
from knowsam.commands.inputs import read_cases
from knowsam.config import Config
from knowsam.inference.metrics import dice_score, evaluate_masks
from knowsam.io.nifti import read_nifti_labels
from knowsam.training.events import Event, StepDone
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "supervised": {"cotraining": False, "mixing": False, "variant": "none"},
    "+MC": {"mixing": False, "variant": "none"},
    "+SKD": {"mixing": False, "learnable_prompts": False},
    "+LPS": {"mixing": False},
    "+UGDA": {},
    "without MC": {"cotraining": False},
    "without SKD": {"variant": "none"},
    "without learnable prompts": {"learnable_prompts": False},
    "without mask prompts": {"mask_prompts": False},
    "without neighbours": {"neighbours": False},
    "without averaging": {"averaging": 0.0},
    "without hold-out": {"holdout_minimum": 1000},
    "hold-out without noise": {"holdout_noise": 0.0},
    "plane of 64 px": {"max_side_px": 64},
    "plane of 128 px": {"max_side_px": 128},
    "SGD as published": {"optimizer": "sgd", "learning_rate": 1e-2},
    "learning rate 5e-4": {"learning_rate": 5e-4},
    "learning rate 8e-3": {"learning_rate": 8e-3},
    "batch 4 + 4": {"labelled_batch": 4, "unlabelled_batch": 4},
    "compact SAM at 2e-3": {"scratch_learning_rate": 2e-3},
    "with flips": {"flip": 0.5},
    "elastic annotated slices": {"elastic": 0.03},
    "group norm": {"norm": "group"},
    "no dropout": {"dropout": 0.0},
    "entropy weight 0.1": {"entropy_weight": 0.1},
    "margin of half": {"margin": 0.5},
    "teacher in turn": {"teacher_in_turn": "always"},
    "teacher in turn, learns from two": {"teacher_in_turn": "always", "teacher_slices": 2},
    "mixing every second step": {"mix_every": 2},
    "channels first": {"channels_last": False},
}
"""Rows of the table; "+..." adds a part to the row before, any other changes one thing of the default."""


@dataclass(frozen=True)
class Result:
    """Scores of one variant on one volume: Dice on slices that were not annotated, HD95 on the whole mask."""

    variant: str
    volume: str
    dice: float
    hd95_mm: float
    dice_between: float
    steps: int
    seconds: float


def main() -> None:
    """Run the chosen rows on all volumes and print the table."""
    options = _parse()
    results: list[Result] = []
    volumes = [path for path in sorted(options.data.glob("la_??.nii.gz")) if path.name[:5] in options.volumes]
    if not volumes:
        sys.exit(f"There is no la_*.nii.gz in {options.data}.")
    for image in volumes:
        labels = image.with_name(image.name.replace(".nii.gz", "_label.nii.gz"))
        case, reference = annotate(image, labels, options.annotated)
        name = image.name.removesuffix(".nii.gz")
        for variant in options.variants:
            run = _interpolate if variant == "interpolation" else _train
            results.append(run(variant, name, case, reference, options))
            print(results[-1], file=sys.stderr, flush=True)
    print(_table(results, options))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with la_NN.nii.gz and la_NN_label.nii.gz")
    parser.add_argument("--volumes", nargs="+", default=["la_01", "la_02", "la_03", "la_04"], metavar="NAME")
    parser.add_argument("-k", "--annotated", type=int, default=5, help="annotated slices (default: 5)")
    parser.add_argument("--budget", default="60s", help="training time of each run (default: 60s)")
    parser.add_argument("--steps", type=int, help="training steps of each run, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every single result")
    names = ["interpolation", *VARIANTS]
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=names,
        default=["interpolation", "default"],
        metavar="ROW",
        help=f"rows: {', '.join(names)}",
    )
    return parser.parse_args()


def annotate(image: Path, labels: Path, count: int) -> tuple[Case, np.ndarray]:
    """Return the case with evenly spaced annotated slices along the third axis of the file, and the whole truth."""
    painted = read_nifti_labels(labels)
    held = np.flatnonzero(painted.array.any(axis=(1, 2)))
    chosen = sorted({round(index) for index in np.linspace(held[0], held[-1], count)})
    # Slices of these files run from inferior to superior along the third axis, working slices the other way round.
    in_file = [painted.shape[0] - 1 - index for index in chosen]
    (case,) = read_cases([image], [labels], axis=2, annotated_slices=in_file)
    return case, painted.array


def _train(variant: str, volume: str, case: Case, reference: np.ndarray, options: argparse.Namespace) -> Result:
    config = Config().with_values(**VARIANTS[variant])
    budget = Budget(steps=options.steps) if options.steps else Budget.parse(options.budget)
    steps = 0

    def count(_: TrainingSession, event: Event) -> None:
        nonlocal steps
        steps = event.step if isinstance(event, StepDone) else steps

    started = time.monotonic()
    teacher = jobs.Teacher(config.teacher.variant)
    result = jobs.segment(
        case.volume, case.annotation, budget=budget, config=config, teacher=teacher, seed=options.seed, listener=count
    )
    return _score(variant, volume, result.labels, case, reference, steps, time.monotonic() - started)


def _interpolate(variant: str, volume: str, case: Case, reference: np.ndarray, _: argparse.Namespace) -> Result:
    """Interpolate signed distances linearly between the annotated slices; nothing beyond the two end slices."""
    started = time.monotonic()
    annotated = case.annotation.annotated
    distances = {index: _signed_distance(case.annotation.slices[index].labels > 0) for index in annotated}
    labels = np.zeros(case.volume.shape, np.uint8)
    for index in range(annotated[0], annotated[-1] + 1):
        after = next(i for i in annotated if i >= index)
        before = next(i for i in reversed(annotated) if i <= index)
        share = 0.0 if after == before else (index - before) / (after - before)
        labels[index] = (1 - share) * distances[before] + share * distances[after] > 0
    return _score(variant, volume, labels, case, reference, 0, time.monotonic() - started)


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)


def _score(
    variant: str, volume: str, labels: np.ndarray, case: Case, reference: np.ndarray, steps: int, seconds: float
) -> Result:
    annotated = case.annotation.annotated
    between = [index for index in range(annotated[0], annotated[-1]) if index not in annotated]
    # Distances need the whole volume: without the annotated slices their neighbours would move together.
    (whole,) = evaluate_masks(labels, reference, case.volume.spacing_mm, [1])
    dice, inner = hidden_dice(labels, reference, annotated), float(dice_score(labels[between], reference[between], 1))
    return Result(variant, volume, dice, whole.hd95_mm, inner, steps, seconds)


def hidden_dice(labels: np.ndarray, reference: np.ndarray, annotated: Sequence[int]) -> float:
    """Return the Dice on the slices that were not annotated."""
    hidden = [index for index in range(len(labels)) if index not in annotated]
    return float(dice_score(labels[hidden], reference[hidden], 1))


def _table(results: list[Result], options: argparse.Namespace) -> str:
    lines = [
        *provenance(f"seed {options.seed}"),
        "| row | Dice mean | Dice worst volume | Dice between the ends | HD95 mm, whole mask | steps | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant in dict.fromkeys(result.variant for result in results):
        own = [result for result in results if result.variant == variant]
        dice, between = [r.dice for r in own], [r.dice_between for r in own]
        lines.append(
            f"| {variant} | {np.mean(dice):.3f} | {np.min(dice):.3f} | {np.mean(between):.3f} "
            f"| {np.mean([r.hd95_mm for r in own]):.1f} | {np.mean([r.steps for r in own]):.0f} "
            f"| {np.mean([r.seconds for r in own]):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
