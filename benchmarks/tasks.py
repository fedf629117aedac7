"""The tasks: volumes of which only some slices are annotated, and how a mask of the other slices is scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from painters import exact

from knowsam.config import Config
from knowsam.data.annotation import (
    BACKGROUND,
    IGNORE,
    Annotation,
    LabelArray,
    LabelSlice,
    class_indices,
    default_classes,
)
from knowsam.data.case import Case
from knowsam.data.orientation import working_axis
from knowsam.data.volume import require_same_grid
from knowsam.data.window import annotated_box, with_margin
from knowsam.inference.metrics import dice_score, evaluate_masks
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels

if TYPE_CHECKING:
    from painters import Painter

    from knowsam.data.volume import Volume


_FEWEST_WITH_ENDS = 3
"""Annotated slices of which two are the ends of the structure."""


@dataclass(frozen=True)
class DataSet:
    """Volumes of one kind and the voxel axis of their files that slices are annotated along."""

    name: str
    file_axis: int
    images: tuple[Path, ...]
    labels: tuple[Path, ...]

    def scribbles(self, number: int) -> Path:
        """Where the scribbles of a volume are, if it has any."""
        return self.images[number].with_name(f"{self.volumes[number]}_scribble.nii.gz")

    @property
    def volumes(self) -> tuple[str, ...]:
        """Names of all volumes."""
        return tuple(path.name.removesuffix(".nii.gz") for path in self.images)

    def truth(self, volume: str) -> Truth:
        """Read a volume and all its labels."""
        number = self.volumes.index(volume)
        image, labels = read_image(self.images[number]), read_labels(self.labels[number])
        require_same_grid(image, labels)
        classes = default_classes(int(value) for value in np.unique(labels.array))
        axis = working_axis(labels.grid, self.file_axis)
        whole = Annotation.from_labels(labels.array, axis, range(labels.shape[axis]), classes)
        indices = class_indices(np.moveaxis(labels.array, axis, 0), classes)
        file = self.scribbles(number)
        scribbles = np.moveaxis(read_labels(file).array, axis, 0) if file.is_file() else None
        return Truth(self.name, volume, image, whole, indices, scribbles)


def find_data_set(folder: Path) -> DataSet:
    """Tell ACDC, the hippocampus (``images/`` and ``labels/``) and volumes beside their labels apart, and list them.

    ACDC (``patient001/patient001_frame01.nii.gz`` and ``..._gt.nii.gz``) and volumes beside their labels, as the left
    atrium (``la_*.nii.gz``), are annotated across the third axis of their files.

    Raises
    ------
    ValueError
        If the folder holds none of them.
    """
    if labels := sorted(folder.glob("patient*/patient*_frame*_gt.nii.gz")):
        images = [path.with_name(path.name.replace("_gt", "")) for path in labels]
        return DataSet("ACDC", 2, tuple(images), tuple(labels))
    if images := sorted((folder / "images").glob("*.nii.gz")):
        return DataSet("hippocampus", 1, tuple(images), tuple(folder / "labels" / image.name for image in images))
    if labels := sorted(folder.glob("*_label.nii.gz")):
        images = [path.with_name(path.name.replace("_label", "")) for path in labels]
        name = "left atrium" if labels[0].name.startswith("la_") else folder.resolve().name
        return DataSet(name, 2, tuple(images), tuple(labels))
    raise ValueError(
        f"{folder} has neither images/*.nii.gz with labels/ nor NAME.nii.gz with NAME_label.nii.gz nor patients as in "
        "the folder training of ACDC."
    )


@dataclass(frozen=True)
class Truth:
    """A volume with all its slices annotated.

    Parameters
    ----------
    annotation : of every slice.
    indices : (N, H, W), class indices, slices first.
    scribbles : (N, H, W), label values that somebody scribbled, a larger one where they did not.
    """

    data: str
    name: str
    volume: Volume
    annotation: Annotation
    indices: LabelArray
    scribbles: LabelArray | None = None

    @property
    def case(self) -> Case:
        """The volume with every slice annotated."""
        return Case(self.volume, self.annotation)

    @property
    def held(self) -> npt.NDArray[np.intp]:
        """Slices that hold any structure."""
        return np.flatnonzero(self.indices.any(axis=(1, 2)))

    def task(self, count: int, painter: Painter = exact) -> Task:
        """Annotate `count` slices of those that hold any structure.

        Three and more lie evenly from the first to the last one, one or two in the middle or at the thirds, since the
        ends alone say little.
        """
        held = range(int(self.held[0]), int(self.held[-1]) + 1)
        return self.annotated_in(places(held, count, inner=count < _FEWEST_WITH_ENDS), painter)

    def annotated_in(self, places: Iterable[float], painter: Painter = exact) -> Task:
        """Annotate the slices nearest to some places."""
        chosen = sorted({round(place) for place in places})
        annotation = Annotation(self.volume.shape, self.annotation.axis, self.annotation.classes)
        for index in chosen:
            annotation = annotation.with_slice(LabelSlice(annotation.axis, index, painter(self, index)))
        return Task(self.data, self.name, Case(self.volume, annotation), self.indices)


@dataclass(frozen=True)
class Scores:
    """Agreement with the truth; the mean over the classes and each of them.

    Parameters
    ----------
    dice : on the slices that were not annotated completely.
    hd95_mm : of the whole mask; None where a class was missed altogether.
    """

    dice: float
    dice_by_class: tuple[float, ...]
    hd95_mm: float | None


@dataclass(frozen=True)
class Task:
    """A volume of which some slices are annotated.

    Parameters
    ----------
    truth : (N, H, W), class indices, slices first.
    """

    data: str
    name: str
    case: Case
    truth: LabelArray

    @property
    def images(self) -> npt.NDArray[Any]:
        """(N, H, W), the slices."""
        return np.moveaxis(self.case.volume.array, self.case.annotation.axis, 0)

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of the annotated slices, ascending."""
        return self.case.annotation.annotated

    @property
    def classes(self) -> int:
        """C, background included."""
        return len(self.case.annotation.classes)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns."""
        spacing = list(self.case.volume.spacing_mm)
        slices = spacing.pop(self.case.annotation.axis)
        return slices, spacing[0], spacing[1]

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns round all that is annotated, with the margin that training takes."""
        shape = self.case.annotation.plane_shape
        start, stop = with_margin(annotated_box(self.case.annotation), shape, Config().plane)
        return slice(start[0], stop[0]), slice(start[1], stop[1])

    def labels_of(self, index: int) -> LabelArray:
        """(H, W), what was annotated in a slice."""
        return self.case.annotation.slices[index].labels

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield each annotated slice and the next one."""
        yield from zip(self.annotated, self.annotated[1:], strict=False)

    def slices_first(self, indices: LabelArray) -> LabelArray:
        """Turn class indices (Z, Y, X) to (N, H, W)."""
        return np.moveaxis(indices, self.case.annotation.axis, 0)

    def dice(self, labels: LabelArray) -> float:
        """Return the mean Dice of class indices (N, H, W) on the slices between annotated ones."""
        hidden = [index for index in range(self.annotated[0], self.annotated[-1]) if index not in self.annotated]
        outside = [i for i in range(len(labels)) if not self.annotated[0] <= i <= self.annotated[-1]]
        found, truth = np.concatenate([labels[hidden], 0 * labels[outside]]), self.truth[[*hidden, *outside]]
        return mean_dice(found, truth, self.classes)

    def live_dice(self, labels: LabelArray) -> float:
        """Return the mean Dice of class indices (N, H, W) as `scores` has it."""
        return mean_dice(self._mask(labels)[self._hidden], self.truth[self._hidden], self.classes)

    def scores(self, labels: LabelArray) -> Scores:
        """Score class indices (N, H, W); annotated slices, where they count, are as they were annotated."""
        mask = self._mask(labels)
        for index in self.annotated:
            mask[index] = np.where(self.labels_of(index) == IGNORE, mask[index], self.labels_of(index))
        return scores(mask, self.truth, self.spacing_mm, self.classes, self._hidden)

    @property
    def _hidden(self) -> list[int]:
        """Slices of which somebody has not said all; what is scribbled counts only as what is made of it."""
        slices = self.case.annotation.slices
        return [i for i in range(len(self.truth)) if i not in slices or (slices[i].labels == IGNORE).any()]

    def _mask(self, labels: LabelArray) -> LabelArray:
        """Return the labels, with background beyond the outermost annotated slices if those show where all ends."""
        first, last = self.annotated[0], self.annotated[-1]
        if np.delete(self.truth, range(first, last + 1), axis=0).any():
            return labels.copy()
        mask = np.full_like(labels, BACKGROUND)
        mask[first : last + 1] = labels[first : last + 1]
        return mask


def places(held: range, count: int, *, inner: bool) -> np.ndarray:
    """Return where to annotate: evenly from the first to the last slice; `inner` leaves both ends out."""
    every = np.linspace(held[0], held[-1], count + 2 * inner)
    return every[1:-1] if inner else every


def mean_dice(found: LabelArray, truth: LabelArray, classes: int) -> float:
    """Return the mean Dice of class indices over the classes but background."""
    return float(np.mean([dice_score(found, truth, value) for value in range(1, classes)]))


def scores(
    mask: LabelArray, truth: LabelArray, spacing_mm: tuple[float, float, float], classes: int, hidden: Sequence[int]
) -> Scores:
    """Score class indices (N, H, W): Dice on the `hidden` slices, HD95 on all, since distances need neighbours."""
    values, affine = range(1, classes), np.diag([*spacing_mm, 1.0])
    overlaps = evaluate_masks(mask[hidden], truth[hidden], affine, values)
    distances_mm = [score.hd95_mm for score in evaluate_masks(mask, truth, affine, values)]
    dice = tuple(float(score.dice) for score in overlaps)
    hd95_mm = float(np.mean(distances_mm))
    return Scores(float(np.mean(dice)), dice, None if np.isnan(hd95_mm) else hd95_mm)
