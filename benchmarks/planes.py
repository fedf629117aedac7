"""Would slices painted in a second or third plane help? Three slices of a structure: all axial, or in several planes.

Each plane is propagated and refined by itself, without training, and the probabilities are blended, each plane by the
inverse square of the distance in mm to its nearest painted slice. Every structure is a task of its own, scored in the
whole volume. Axial slices at the ends and in the middle (``ends``), or at a sixth, a half and five sixths (``inside``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from provenance import provenance
from tasks import Truth, find_data_set

from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.inference.metrics import evaluate_masks
from knowsam.inference.predictor import Predictor
from knowsam.training.network_volumes import NetworkVolumes, common_windows

Shares = tuple[float, ...]
"""Where slices are painted along an axis, from the first (0) to the last one (1) that holds the structure."""

_ENDS: Shares = (0.0, 0.5, 1.0)
_INSIDE: Shares = (1 / 6, 1 / 2, 5 / 6)
_PATTERNS: dict[str, Sequence[Shares]] = {
    "3 axial, ends": (_ENDS, (), ()),
    "3 axial, inside": (_INSIDE, (), ()),
    "2 axial + 1 coronal": ((1 / 4, 3 / 4), (1 / 2,), ()),
    "2 axial, ends + 1 coronal": ((0.0, 1.0), (1 / 2,), ()),
    "1 + 1 + 1": ((1 / 2,), (1 / 2,), (1 / 2,)),
}
_FEWEST_SLICES = 7


def main() -> None:
    """Measure all patterns in all structures and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders, see tasks.py")
    parser.add_argument("--volumes", type=int, default=4, help="of each folder (default: 4)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(provenance("no seeds")))
    columns = " | ".join(f"{name}, {score}" for name in _PATTERNS for score in ("Dice", "HD95 mm"))
    print(f"| task | structures | {columns} |")
    print("|" + "---|" * (2 + 2 * len(_PATTERNS)))
    everything = []
    for folder in options.data:
        found = find_data_set(folder)
        rows = [
            row
            for name in found.volumes[: options.volumes]
            for truth in [found.truth(name)]
            for value in range(1, len(truth.annotation.classes))
            if (row := _measured(truth, value)) is not None
        ]
        if rows:
            print(_line(found.name, rows), flush=True)
            everything += rows
    print(_line("all", everything))


def _line(name: str, rows: Sequence[npt.NDArray[np.float64]]) -> str:
    means = np.mean(rows, axis=0)
    cells = " | ".join(f"{dice:.3f} | {hd95:.2f}" for dice, hd95 in means)
    return f"| {name} | {len(rows)} | {cells} |"


def _measured(truth: Truth, value: int) -> npt.NDArray[np.float64] | None:
    """Return (patterns, 2), Dice and HD95 of a structure; None if it is too thin, or lost in some pattern."""
    axis = truth.annotation.axis
    structure = np.moveaxis(truth.indices == value, 0, axis).astype(np.uint8)
    axes = (axis, *(other for other in (1, 0, 2) if other != axis))
    if any(np.ptp(_held(structure, one)) + 1 < _FEWEST_SLICES for one in axes):
        return None
    found = []
    for shares in _PATTERNS.values():
        mask = _segmented(truth, structure, dict(zip(axes, shares, strict=True)))
        affine = np.diag([*truth.volume.spacing_mm, 1.0])
        (scores,) = evaluate_masks(mask, structure, affine, [1])
        if scores.hd95_mm is None or not np.isfinite(scores.hd95_mm):
            return None
        found.append((scores.dice, scores.hd95_mm))
    return np.array(found)


def _segmented(truth: Truth, structure: npt.NDArray[np.uint8], painted: Mapping[int, Shares]) -> npt.NDArray[np.uint8]:
    total, weights = 0.0, 0.0
    known = np.full(structure.shape, -1, np.int8)
    for axis, shares in painted.items():
        if not shares:
            continue
        held = _held(structure, axis)
        chosen = sorted({round(held[0] + share * (held[-1] - held[0])) for share in shares})
        probability = _propagated(truth, structure, axis, chosen)
        distance = np.abs(np.arange(structure.shape[axis])[:, None] - np.array(chosen)).min(axis=1)
        weight = 1 / np.maximum(distance * truth.volume.spacing_mm[axis], 0.1) ** 2
        weight = np.expand_dims(weight, [other for other in range(3) if other != axis])
        total, weights = total + weight * probability, weights + weight
        np.moveaxis(known, axis, 0)[chosen] = np.moveaxis(structure, axis, 0)[chosen]
    mask = (total / weights > 0.5).astype(np.uint8)
    return np.where(known >= 0, known, mask).astype(np.uint8)


def _propagated(
    truth: Truth, structure: npt.NDArray[np.uint8], axis: int, chosen: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return (Z, Y, X), how probable the structure is by its slices in one plane."""
    config = Config()
    case = Case(truth.volume, Annotation.from_labels(structure, axis, chosen))
    windows, _ = common_windows([case], config)
    volumes = NetworkVolumes([case], windows, config, device=torch.device("cpu"))
    (propagation,) = volumes.propagations
    assert propagation is not None
    # A single slice is propagated, too, which the program does not do.
    predictor = Predictor(volumes.slices[0], config, 2, None, propagation._displayed.at)
    slices = predictor.slices(list(range(structure.shape[axis])))
    return np.stack([one.probabilities[1] for one in slices], axis)


def _held(structure: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.intp]:
    return np.flatnonzero(structure.any(axis=tuple(other for other in range(3) if other != axis)))


if __name__ == "__main__":
    main()
