"""What does each part of KnowSAM add when a model is trained on several volumes and applied to unseen ones?

Hippocampus MR crops (Medical Segmentation Decathlon, Task04): 10 volumes with all their slices labelled, 15 without
labels, 5 others to test on. Each row adds one part to the row before; all rows train for the same number of steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from provenance import provenance

from knowsam import jobs
from knowsam.commands.inputs import read_cases, read_unlabelled_case
from knowsam.config import Config
from knowsam.inference.metrics import evaluate_masks
from knowsam.io.image import read_image
from knowsam.io.nifti import read_nifti_labels
from knowsam.training.schedule import Budget

ROWS = {
    "supervised": {"cotraining": False, "mixing": False, "variant": "none"},
    "+MC": {"mixing": False, "variant": "none"},
    "+SKD": {"mixing": False, "learnable_prompts": False, "variant": "compact"},
    "+LPS": {"mixing": False, "learnable_prompts": True, "variant": "compact"},
    "+UGDA": {"mixing": True, "learnable_prompts": True, "variant": "compact"},
}
"""SKD alone prompts SAM with the students' masks, since without any prompt it could not tell the classes apart."""

LABELLED, UNLABELLED, TESTED = slice(0, 10), slice(10, 25), slice(25, 30)
AXIS = 1


@dataclass(frozen=True)
class Result:
    """Dice of one row on one test volume."""

    row: str
    volume: str
    dice_anterior: float
    dice_posterior: float
    seconds: float


def main() -> None:
    """Train every row, apply it to the test volumes and print the table."""
    options = _parse()
    images = sorted((options.data / "images").glob("*.nii.gz"))
    labels = [options.data / "labels" / image.name for image in images]
    if len(images) < TESTED.stop:
        sys.exit(f"{TESTED.stop} volumes are needed, but {options.data} has {len(images)}.")
    results = [
        result
        for row in options.rows
        for seed in options.seeds
        for result in _train_and_test(row, seed, images, labels, options)
    ]
    print(_table(results, options))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels/")
    parser.add_argument("--steps", type=int, default=400, help="training steps of each row (default: 400)")
    parser.add_argument("--batch", type=int, default=8, help="slices of each stream in a step (default: 8)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--json", type=Path, help="write every single result")
    return parser.parse_args()


def _train_and_test(
    row: str, seed: int, images: list[Path], labels: list[Path], options: argparse.Namespace
) -> list[Result]:
    cases = read_cases(images[LABELLED], labels[LABELLED], axis=AXIS, annotated_slices="all")
    cases += [read_unlabelled_case(path, cases[0].annotation) for path in images[UNLABELLED]]
    config = Config().with_values(labelled_batch=options.batch, unlabelled_batch=options.batch, **ROWS[row])
    started = time.monotonic()
    session = jobs.train(
        cases,
        budget=Budget(steps=options.steps),
        config=config,
        teacher=jobs.Teacher(config.teacher.variant),
        seed=seed,
    )
    seconds = time.monotonic() - started
    model = session.model()
    results = []
    for image, label in zip(images[TESTED], labels[TESTED], strict=True):
        volume, reference = read_image(image), read_nifti_labels(label)
        predicted, _ = jobs.predict(model, volume)
        anterior, posterior = evaluate_masks(predicted, reference.array, reference.spacing_mm, [1, 2])
        results.append(Result(row, image.name, anterior.dice, posterior.dice, seconds))
        print(f"seed {seed}", results[-1], file=sys.stderr, flush=True)
    return results


def _table(results: list[Result], options: argparse.Namespace) -> str:
    lines = [
        *provenance(f"seeds {options.seeds}"),
        "| row | Dice anterior | Dice posterior | mean | worst volume | seconds of training |",
        "|---|---|---|---|---|---|",
    ]
    for row in dict.fromkeys(result.row for result in results):
        own = [result for result in results if result.row == row]
        anterior, posterior = (
            np.array([getattr(r, name) for r in own]) for name in ("dice_anterior", "dice_posterior")
        )
        mean = (anterior + posterior) / 2
        lines.append(
            f"| {row} | {anterior.mean():.3f} | {posterior.mean():.3f} | {mean.mean():.3f} | {mean.min():.3f} "
            f"| {np.mean([r.seconds for r in own]):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
