"""Reads volumes and annotations from the paths and options of the command line."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from knowsam.commands.download_bar import download_bar
from knowsam.data.annotation import (
    BACKGROUND_CLASS,
    Annotation,
    default_classes,
    different_name,
    require_same_names,
    without_ignored,
)
from knowsam.data.case import Case
from knowsam.data.identity import NOBODY, belonging
from knowsam.data.orientation import describe_axes, file_axis, file_index, working_axis, working_index
from knowsam.data.painted_axis import axis_across_strokes, plausible_axes
from knowsam.data.painted_slices import PaintedSlices, painted_by_default
from knowsam.data.reformat import in_painted_planes
from knowsam.data.resample import placed_on
from knowsam.data.sparse_slices import respaced
from knowsam.data.stray_labels import stray_labels
from knowsam.errors import ConfigError, InputError
from knowsam.io.image import read_image
from knowsam.io.kept_models import found_model
from knowsam.io.labels import read_labels
from knowsam.io.on_disk import kept_on_disk
from knowsam.io.source_file import is_one_of
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume
    from knowsam.models.teachers import Teacher
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def budget(options: Namespace) -> Budget:
    """Return the budget, in steps if they were given."""
    return Budget(steps=options.steps) if options.steps is not None else Budget.parse(options.budget)


def read_model(path: Path) -> TrainedModel:
    """Read a model, and warn of one that predicts poorly by itself.

    Parameters
    ----------
    path : the file, the folder it lies in, or the name of a kept model.
    """
    # Imported here, since commands that need no PyTorch read their inputs with this module, too.
    from knowsam.training.trained_model import load_model

    model = load_model(found_model(path))
    if model.weakness:
        logger.warning("%s", model.weakness)
    return model


def read_teacher(choice: str) -> Teacher:
    """Return the chosen teacher; a download of its weights shows a progress bar."""
    from knowsam.models.teachers import choose_teacher

    with download_bar() as progress:
        return choose_teacher(choice, progress)


def with_classes_of(model: TrainedModel, case: Case) -> Case:
    """Return a case with the classes of the model to start from, even those that are not painted in it.

    Raises
    ------
    InputError
        If a painted class is unknown to the model.
    """
    model.require_knows(case.annotation.classes)
    if difference := different_name(case.annotation.classes, model.classes, "the model"):
        logger.warning("%s The mask gets the names of the model. Check that they are the same structures.", difference)
    return replace(case, annotation=case.annotation.with_classes(model.classes))


def read_cases(images: Sequence[Path], labels: Sequence[Path], options: Namespace) -> list[Case]:
    """Read images and their annotations, with the same classes and axis for all.

    Labels on another grid are resampled to their image, or the image is reformatted to painted planes that cut its
    slices. Axes and slices are counted in the file of the labels, but in that of the image if the labels cover a part
    of its voxels: a DICOM segmentation leaves empty slices out.

    Raises
    ------
    InputError
        If a file cannot be used, no label lies in its image, labels are of another patient or study, a label value has
        different names, or it is not clear along which axis slices were painted.
    ConfigError
        If a slice does not exist.
    """
    require_own_masks(images, labels)
    volumes = read_images(images, options)
    masks = [_read_painted(path, volume, options) for path, volume in zip(labels, volumes, strict=True)]
    ignored = options.ignore_value
    if ignored is not None and not any((mask.array == ignored).any() for mask in masks):
        logger.warning(
            "No voxel of the labels has the value %d of --ignore-value, so all voxels of painted slices count as "
            "labelled. Check the value.",
            ignored,
        )
    along = _painted_axis(masks, ignored) if options.axis is None else working_axis(masks[0].grid, options.axis)
    chosen = [
        _chosen_slices(mask, along, options.annotated_slices, ignored, _counted_in(mask, volume))
        for mask, volume in zip(masks, volumes, strict=True)
    ]
    placed = [_on_image(painted, volume) for painted, volume in zip(chosen, volumes, strict=True)]
    values = [painted.values for painted, _ in placed]
    _warn_of_lacking(masks, values)
    classes = classes_of_masks(masks, values)
    return [Case(volume, painted.annotation(classes)) for painted, volume in placed]


def require_own_masks(images: Sequence[Path], labels: Sequence[Path]) -> None:
    """Check that no image is given as its own labels, which a mask can be without any other error.

    Raises
    ------
    InputError
        If one is.
    """
    for image, mask in zip(images, labels, strict=True):
        if is_one_of(image, [mask]):
            raise InputError(f"{image} is given as an image and as its labels. Give the image, and its labels.")


def _warn_of_lacking(masks: Sequence[Volume], painted: Sequence[Collection[int]]) -> None:
    """Warn of masks that lack a value which is painted in others."""
    every = set().union(*painted)
    for mask, values in zip(masks, painted, strict=True):
        if lacking := sorted(every.difference(values, {BACKGROUND_CLASS.value})):
            logger.warning(
                "%s holds no label %s, as other volumes do; it counts as background in the painted slices.",
                *(mask.name, " or ".join(map(str, lacking))),
            )


def classes_of_masks(masks: Sequence[Volume], held: Sequence[Collection[int]]) -> tuple[LabelClass, ...]:
    """Return the classes of the values that masks hold, background first.

    Raises
    ------
    InputError
        If they call one value by different names.
    """
    known: dict[int, LabelClass] = {}
    for mask, values in zip(masks, held, strict=True):
        named = [one for one in mask.classes if one.value in values]
        require_same_names(known.values(), named, mask.name)
        # A name stays, even if a later mask has no name for the value.
        known |= {one.value: one for one in named if one.value not in known or one.name != f"class {one.value}"}
    return default_classes(set().union(*held), known=known.values())


def read_images(images: Sequence[Path], options: Namespace) -> list[Volume]:
    """Read images; the voxels of several stay on the disk, since together they may not fit into memory."""
    volumes = (read_one_image(path, options) for path in images)
    return list(volumes) if len(images) == 1 else [kept_on_disk(volume) for volume in volumes]


def read_one_image(path: Path, options: Namespace) -> Volume:
    """Read an image, and log its notices."""
    return notices_logged(read_image(path, options.pick, missing_as_background=options.missing_as_background))


def read_unlabelled_case(
    image: Path, like: Annotation, pick: int | str | None = None, *, missing_as_background: bool = False
) -> Case:
    """Read an image without labels, for training along the axis and with the classes of `like`."""
    volume = kept_on_disk(notices_logged(read_image(image, pick, missing_as_background=missing_as_background)))
    return Case(volume, Annotation(volume.shape, like.axis, like.classes))


def read_mask(path: Path, options: Namespace, *, ignore_identity: bool) -> Volume:
    """Read labels, without their patient and study if these do not count."""
    labels = read_labels(path, missing_as_background=options.missing_as_background)
    return replace(labels, identity=NOBODY) if ignore_identity else labels


def notices_logged(volume: Volume) -> Volume:
    """Log the notices of a volume, and return it."""
    for notice in volume.notices:
        logger.warning("%s: %s", volume.name, notice)
    return volume


def _read_painted(path: Path, image: Volume, options: Namespace) -> Volume:
    """Read labels of an image, on its grid if their voxels lie on those of the image."""
    labels = read_mask(path, options, ignore_identity=options.ignore_identity)
    mask = respaced(belonging(labels, image), image.grid)
    return notices_logged(placed_on(mask, image.grid) or mask)


def _painted_axis(masks: Sequence[Volume], ignore_value: int | None) -> int:
    painted = [replace(mask, array=without_ignored(mask.array, ignore_value)) for mask in masks]
    across = axis_across_strokes(painted) if _are_scribbled(masks, ignore_value) else None
    axes = plausible_axes(painted) if across is None else (across,)
    if len(axes) == 1:
        return axes[0]
    grid = masks[0].grid
    words = describe_axes(grid.affine)
    named = sorted((file_axis(grid, axis), words[file_axis(grid, axis)]) for axis in axes)
    raise InputError(
        f"It is not clear along which axis the slices of {', '.join(mask.name for mask in masks)} were painted: "
        f"{' or '.join(f'{number} ({direction})' for number, direction in named)}. Say so with --axis."
    )


def _are_scribbled(masks: Sequence[Volume], ignore_value: int | None) -> bool:
    """Return whether more voxels have the `ignore_value` than a label."""
    if ignore_value is None:
        return False
    ignored = sum(int(np.count_nonzero(mask.array == ignore_value)) for mask in masks)
    return ignored > sum(int(np.count_nonzero(mask.array)) for mask in masks) - ignored


def _counted_in(mask: Volume, image: Volume) -> str:
    """Return the name of the file in which the slices of labels are counted."""
    return (image if mask.grid is image.grid else mask).name


def _chosen_slices(
    mask: Volume, axis: int, file_indices: Sequence[int] | Literal["all"] | None, ignore_value: int | None, file: str
) -> PaintedSlices:
    """Return the slices that count as painted, and log them with their numbers in a file."""
    if file_indices is None:
        painted = painted_by_default(mask, axis, ignore_value)
    else:
        painted = PaintedSlices(mask, axis, _working_indices(mask, axis, file_indices, file), ignore_value)
    logger.info("%s", _summary(mask, axis, painted.indices, file))
    for stray in stray_labels(painted):
        place = f"slice {file_index(mask.grid, axis, stray.index)}, counted from 0 in {file}"
        logger.warning("%s: %s", mask.name, stray.sentence(place))
    return painted


def _on_image(painted: PaintedSlices, image: Volume) -> tuple[PaintedSlices, Volume]:
    placed, volume = in_painted_planes(painted, image)
    if placed is not painted:
        notices_logged(placed.labels)
    return placed, volume


def _working_indices(
    mask: Volume, axis: int, file_indices: Sequence[int] | Literal["all"], file: str
) -> tuple[int, ...]:
    count = mask.shape[axis]
    if file_indices == "all":
        return tuple(range(count))
    outside = [index for index in file_indices if not 0 <= index < count]
    if outside:
        raise ConfigError(
            f"--annotated-slices names slice {outside[0]}, but {file} has slices 0 to {count - 1} along axis "
            f"{file_axis(mask.grid, axis)}. Count slices from 0, along the axis that --axis names."
        )
    return tuple(working_index(mask.grid, file_axis(mask.grid, axis), index) for index in file_indices)


def _summary(mask: Volume, axis: int, indices: Sequence[int], file: str) -> str:
    """Return a sentence on the slices that count as painted, with their numbers in a file."""
    along = file_axis(mask.grid, axis)
    counted = sorted(file_index(mask.grid, axis, index) for index in indices)
    return (
        f"{mask.name}: {len(counted)} of {mask.shape[axis]} slices painted, {counted[0]} to {counted[-1]} "
        f"along axis {along} ({describe_axes(mask.grid.affine)[along]}), counted from 0 in {file}"
    )
