"""`knowsam info`: the contents and the geometry of a file; needs no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.measurements import measured
from knowsam.data.orientation import describe_axes, obliqueness_deg
from knowsam.errors import InputError
from knowsam.io.choice import ImageChoice, chosen, listed
from knowsam.io.image import image_choices
from knowsam.io.label_values import as_label_values

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.volume import Volume

_MOST_CLASSES = 32


def run(options: Namespace) -> None:
    """Print geometry, orientation and, for a mask, classes; of several images without a pick, the list."""
    choices = image_choices(options.path)
    if len(choices) > 1 and options.pick is None:
        lines = _list(choices)
    else:
        choice = chosen(choices, options.pick)
        lines = describe(choice.volume(missing_as_background=options.missing_as_background))
    sys.stdout.write("\n".join(lines) + "\n")


def describe(volume: Volume) -> list[str]:
    """Return the lines that `knowsam info` prints."""
    grid = volume.grid
    lines = ["axis  voxels  spacing mm  runs"]
    lines += [
        f"{axis:>4}  {grid.shape[axis]:>6}  {grid.spacing_mm[axis]:>10.4g}  {words}"
        for axis, words in enumerate(describe_axes(grid.affine))
    ]
    tilt = obliqueness_deg(grid.affine)
    lines.append("axes along the body" if tilt < 0.05 else f"axes oblique to the body by {tilt:.1f} degrees")
    lines.append(f"values {volume.array.min():g} to {volume.array.max():g} ({volume.array.dtype})")
    return [*lines, *volume.notices, *_classes(volume)]


def _list(choices: Sequence[ImageChoice]) -> list[str]:
    return [f"{len(choices)} images; --pick one of them by its number in brackets or by its words:", listed(choices)]


def _classes(volume: Volume) -> list[str]:
    """Return the table of classes if the volume may be a mask: few values, all whole and not negative."""
    try:
        labels = as_label_values(volume.name, volume.array)
    except InputError:
        return []
    values, counts = np.unique(labels, return_counts=True)
    if len(values) > _MOST_CLASSES:
        return []
    names = {label_class.value: label_class.name for label_class in volume.classes}
    lines = ["class    voxels  volume ml  diameter mm  pieces" + "  name" * bool(names)]
    measures = measured(labels, volume.affine, values[values > 0])
    shapes = {one.value: f"{one.diameter_mm:11.1f}  {one.pieces:6}" for one in measures}
    unmeasured = f"{'-':>11}  {'-':>6}"
    for value, count in zip(values, counts, strict=True):
        amount = f"{count * volume.voxel_volume_ml:9.2f}"
        lines.append(
            f"{value:>5g}  {count:>8}  {amount}  {shapes.get(value, unmeasured)}  {names.get(int(value), '')}".rstrip()
        )
    return lines
