"""From the paths and words of the command line to volumes and annotations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from knowsam.data.annotation import (
    BACKGROUND,
    Annotation,
    annotated_axis,
    default_classes,
    slices_with_labels,
    without_unjudged,
)
from knowsam.data.case import Case
from knowsam.data.orientation import describe_axes, file_axis, file_index, working_axis, working_index
from knowsam.data.resample import placed_on
from knowsam.errors import ConfigError, InputError
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels
from knowsam.training.device_check import working_device
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.volume import Volume
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def budget(options: Namespace) -> Budget:
    """Return the budget, in steps if they were given."""
    return Budget(steps=options.steps) if options.steps is not None else Budget.parse(options.budget)


def with_classes_of(model: TrainedModel, case: Case) -> Case:
    """Return a case with the classes of a model to go on from, some of which may not be painted in it.

    Raises
    ------
    InputError
        If a class is painted that the model does not know.
    """
    known = {label_class.value for label_class in model.classes}
    unknown = sorted({label_class.value for label_class in case.annotation.classes} - known)
    if unknown:
        raise InputError(
            f"The labels hold the values {', '.join(map(str, unknown))}, but the model to start from knows "
            f"{', '.join(map(str, sorted(known - {BACKGROUND})))}. Use labels with its values, or train from scratch."
        )
    return replace(case, annotation=case.annotation.with_classes(model.classes))


def read_cases(
    images: Sequence[Path],
    labels: Sequence[Path],
    *,
    pick: int | str | None = None,
    axis: int | None = None,
    annotated_slices: Sequence[int] | Literal["all"] | None = None,
    ignore_value: int | None = None,
) -> list[Case]:
    """Read images and what was painted in them, with the same classes and axis for all.

    Labels on another grid than that of their image are brought onto it; axes and slices are then counted in the image.

    Parameters
    ----------
    pick : which image, where a path holds several.
    axis : voxel axis of the first label file; by default the one along which the fewest slices hold labels.
    annotated_slices : painted slices, in the label files' count; by default those that hold labels.
    ignore_value : value in the label files of voxels that nobody has judged.

    Raises
    ------
    InputError
        If a file cannot be used, or no label lies in its image.
    ConfigError
        If a slice does not exist.
    """
    volumes = [told(read_image(path, pick)) for path in images]
    painted = [told(placed_on(read_labels(path), v.grid)) for v, path in zip(volumes, labels, strict=True)]
    classified = [replace(mask, array=without_unjudged(mask.array, ignore_value)) for mask in painted]
    along = _common_axis(classified) if axis is None else working_axis(painted[0].grid, axis)
    chosen = [_working_indices(mask, along, annotated_slices) for mask in classified]
    for mask, indices in zip(painted, chosen, strict=True):
        logger.info("%s", _summary(mask, along, indices))
    planes = [np.take(mask.array, indices, axis=along) for mask, indices in zip(classified, chosen, strict=True)]
    values = {int(value) for plane in planes for value in np.unique(plane)}
    classes = default_classes(values, known=[known for mask in painted for known in mask.classes])
    return [
        Case(volume, Annotation.from_labels(mask.array, along, indices, classes, ignore_value))
        for volume, mask, indices in zip(volumes, painted, chosen, strict=True)
    ]


def read_unlabelled_case(image: Path, like: Annotation, pick: int | str | None = None) -> Case:
    """Read an image that only lends its slices, for training along the axis and with the classes of `like`."""
    volume = told(read_image(image, pick))
    return Case(volume, Annotation(volume.shape, like.axis, like.classes))


def told(volume: Volume) -> Volume:
    """Log what is to be known of how a file was read, and hand the volume on."""
    for notice in volume.notices:
        logger.warning("%s: %s", volume.name, notice)
    return volume


def told_device(name: str) -> str:
    """Return the device that a name stands for, and log why it is not the one that ``auto`` prefers.

    Raises
    ------
    ConfigError
        If the device is missing or cannot train.
    """
    device, notice = working_device(name)
    if notice:
        logger.warning(notice)
    return str(device)


def _common_axis(painted: Sequence[Volume]) -> int:
    if len(painted) == 1:
        return annotated_axis(painted[0].array, painted[0].spacing_mm)
    return min(range(3), key=lambda axis: sum(len(slices_with_labels(mask.array, axis)) for mask in painted))


def _working_indices(mask: Volume, axis: int, file_indices: Sequence[int] | Literal["all"] | None) -> Sequence[int]:
    if file_indices == "all":
        return range(mask.shape[axis])
    if file_indices is None:
        labelled = slices_with_labels(mask.array, axis)
        if not labelled:
            raise InputError(f"{mask.name} holds no label, but one painted slice at least is needed. Paint it first.")
        return labelled
    count = mask.shape[axis]
    outside = [index for index in file_indices if not 0 <= index < count]
    if outside:
        raise ConfigError(
            f"--annotated-slices names slice {outside[0]}, but {mask.name} has slices 0 to {count - 1} along axis "
            f"{file_axis(mask.grid, axis)}. Count slices from 0, along the axis that --axis names."
        )
    return [working_index(mask.grid, file_axis(mask.grid, axis), index) for index in file_indices]


def _summary(mask: Volume, axis: int, indices: Sequence[int]) -> str:
    """Tell which slices were taken as painted, as they are counted in the file."""
    along = file_axis(mask.grid, axis)
    counted = sorted(file_index(mask.grid, axis, index) for index in indices)
    return (
        f"{mask.name}: {len(counted)} of {mask.shape[axis]} slices painted, {counted[0]} to {counted[-1]} "
        f"along axis {along} ({describe_axes(mask.grid.affine)[along]})"
    )
