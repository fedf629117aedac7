"""Make the pictures of synthetic volumes and of the propagator's evidence: part of `make pictures`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from knowsam.data.class_colors import class_color
from knowsam.inference.refinement import refined
from knowsam.models.propagator import shipped_propagator
from knowsam.pretraining.anatomy import synthetic_volume
from knowsam.pretraining.episodes import questions
from knowsam.pretraining.painter import as_painted
from knowsam.pretraining.random_source import RandomSource

FOLDER = Path(__file__).parent / "pictures"
SEEDS = (1, 3, 4, 6, 9, 12)
QUESTION_SEED, QUESTION = 9, 0
SCALE = 2
GAP_PX = 4


def main() -> None:
    """Make both pictures."""
    save("synthetic", [synthetic(seed) for seed in SEEDS])
    save("evidence", [evidence(QUESTION_SEED)])


def synthetic(seed: int) -> list[np.ndarray]:
    """Return the image, the parts and a painted structure of one volume in its middle slice."""
    source = RandomSource(seed)
    volume = synthetic_volume(source)
    labels = as_painted(source, volume.labels(volume.structures[-1]))
    middle = int((labels > 0).flatten(1).sum(dim=1).argmax())
    hues = torch.rand((int(volume.parts.max()) + 2, 3), generator=torch.Generator().manual_seed(0))
    image = grey(volume.image[middle])
    return [image, (hues[volume.parts[middle] + 1].numpy() * 255).astype(np.uint8), outlined(image, labels[middle])]


def evidence(seed: int) -> list[np.ndarray]:
    """Return what speaks for a structure in the slice in which propagated labels err most, and the answer."""
    question = questions(seed)[QUESTION]
    truth = question.truth[list(question.indices)]
    with torch.inference_mode():
        answer = refined(shipped_propagator(torch.device("cpu")), question.propagated, question.evidence)
    wrong = (question.propagated.probabilities.argmax(dim=1) != truth).flatten(1).sum(dim=1)
    row = int((wrong * ~question.propagated.is_one_sided.flatten()).argmax())
    maps = question.evidence.maps(0)[row]
    image = grey(maps[1])
    found = [labels.probabilities.argmax(dim=1)[row] for labels in (question.propagated, answer)]
    tiles = [grey(maps[index]) for index in (0, 1, 2, 3, 4, 5, 6, 8, 9)]
    return [*tiles, *(outlined(image, labels) for labels in (*found, truth[row]))]


def grey(plane: Tensor) -> np.ndarray:
    """Return a plane (H, W) as an image (H, W, 3)."""
    scaled = (plane - plane.min()) / (plane.max() - plane.min()).clamp_min(1e-6) * 255
    return np.repeat(scaled.numpy().astype(np.uint8)[..., None], 3, axis=-1)


def outlined(image: np.ndarray, labels: Tensor) -> np.ndarray:
    """Return an image with the outline of each class (H, W) in its colour."""
    drawn = image.copy()
    for value in range(1, int(labels.max()) + 1):
        inside = np.pad((labels == value).numpy(), 1)
        core = inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:] & inside[1:-1, :-2]
        drawn[inside[1:-1, 1:-1] & ~core] = class_color(value - 1)
    return drawn


def save(name: str, rows: list[list[np.ndarray]]) -> None:
    """Write tiles side by side, one row below the other."""
    enlarged = [[tile.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for tile in row] for row in rows]
    lines = [np.concatenate([framed(tile, max(len(t) for t in row)) for tile in row], axis=1) for row in enlarged]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    half = (len(padded) + 1) // 2
    columns = [np.concatenate(part, axis=0) for part in (padded[:half], padded[half:]) if part]
    height = max(len(column) for column in columns)
    sides = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=255) for c in columns]
    Image.fromarray(np.concatenate(sides, axis=1)).save(FOLDER / f"{name}.png")
    sys.stdout.write(f"{FOLDER / name}.png\n")


def framed(tile: np.ndarray, height: int) -> np.ndarray:
    """Return a tile with a white edge, as high as the others."""
    below = height - len(tile) + GAP_PX
    return np.pad(tile, ((0, below), (0, GAP_PX), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
