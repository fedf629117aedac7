"""Patients with one or more volumes each: who is trained on, validated on and tested, and their slices as squares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import from_matvec
from skimage.transform import resize

from knowsam.data.annotation import Annotation, LabelClass
from knowsam.data.case import Case
from knowsam.data.orientation import from_working
from knowsam.data.volume import Grid, Volume, require_same_grid
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels

if TYPE_CHECKING:
    import numpy.typing as npt
    from tasks import DataSet

_SHUFFLED_BY = 0
"""Seed of the order of the patients: ACDC lists them disease by disease."""

_FEWEST = 4
"""Patients of whom each part of a split gets one."""


@dataclass(frozen=True)
class Split:
    """Names of the patients of each part; the unlabelled ones are trained on, too."""

    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    validation: tuple[str, ...]
    tested: tuple[str, ...]

    @classmethod
    def of(cls, patients: Sequence[str], percent: float) -> Split:
        """Split patients 70 : 10 : 20, and call so many percent of those that are trained on labelled, rounded down.

        Raises
        ------
        ValueError
            If there are too few.

        >>> split = Split.of([f"patient{n:03}" for n in range(1, 101)], percent=5)
        >>> [len(part) for part in (split.labelled, split.unlabelled, split.validation, split.tested)]
        [3, 67, 10, 20]
        """
        if len(patients) < _FEWEST:
            raise ValueError(f"There are {len(patients)} patients, but {_FEWEST} or more are needed.")
        shuffled = [str(name) for name in np.random.default_rng(_SHUFFLED_BY).permutation(sorted(patients))]
        tested, validation = (max(1, round(share * len(patients))) for share in (0.2, 0.1))
        trained = len(patients) - tested - validation
        labelled = min(max(1, int(trained * percent / 100)), trained)
        bounds = [0, labelled, trained, trained + validation, len(patients)]
        return cls(*(tuple(shuffled[first:last]) for first, last in pairwise(bounds)))

    @classmethod
    def listed(cls, lists: Mapping[str, Sequence[str]], patients: Sequence[str]) -> Split:
        """Return the split that somebody has written down.

        Raises
        ------
        ValueError
            If a part is missing or empty, or a patient is unknown or stands in two parts.
        """
        names = ("labelled", "unlabelled", "validation", "tested")
        parts = [tuple(lists.get(name, ())) for name in names]
        listed = [patient for part in parts for patient in part]
        if not all(parts) or set(lists) != set(names) or len(set(listed)) < len(listed):
            raise ValueError(
                f"The lists {', '.join(lists)} were found; {', '.join(names)} are needed, without overlap."
            )
        if unknown := sorted(set(listed) - set(patients)):
            raise ValueError(f"There is no patient {unknown[0]}; there are {', '.join(patients)}.")
        return cls(*parts)


def patients_of(data: DataSet) -> dict[str, tuple[str, ...]]:
    """Return the volumes of each patient: all frames of one heart, or else one volume."""
    patients: dict[str, tuple[str, ...]] = {}
    for volume in data.volumes:
        name = re.sub(r"_frame\d+$", "", volume)
        patients[name] = (*patients.get(name, ()), volume)
    return patients


@dataclass(frozen=True)
class Slices:
    """The slices of a volume as its file stores them.

    Parameters
    ----------
    images : (N, H, W), grey values.
    labels : (N, H, W), label values.
    slice_mm : distance of the slices.
    """

    name: str
    images: npt.NDArray[Any]
    labels: npt.NDArray[np.integer[Any]]
    slice_mm: float

    @classmethod
    def read(cls, data: DataSet, volume: str) -> Slices:
        """Read a volume and its labels."""
        number = data.volumes.index(volume)
        image, labels = read_image(data.images[number]), read_labels(data.labels[number])
        require_same_grid(image, labels)
        stored, stored_labels = (
            np.moveaxis(from_working(one.array, image.grid), data.file_axis, 0) for one in (image, labels)
        )
        return cls(volume, stored, stored_labels, image.grid.spacing_mm[data.file_axis])

    def volume(self, side_px: int) -> Volume:
        """Return the slices resized to squares, whatever the shape of their pixels, which count as 1 mm wide."""
        shape = (len(self.images), side_px, side_px)
        squares = resize(self.images.astype(np.float32), shape, order=1, mode="edge", preserve_range=True)
        # The axes of such a file are those of the working orientation.
        axes = np.array([[0, 0, -1], [0, -1, 0], [-self.slice_mm, 0, 0]])
        return Volume(squares.astype(np.float32), Grid(shape, from_matvec(axes)), self.name)

    def case(self, side_px: int, classes: tuple[LabelClass, ...], *, labelled: bool) -> Case:
        """Return the squares with labels in every slice, or in none."""
        volume = self.volume(side_px)
        if not labelled:
            return Case(volume, Annotation(volume.shape, 0, classes))
        labels = _nearest(self.labels, (side_px, side_px))
        return Case(volume, Annotation.from_labels(labels, 0, range(len(labels)), classes))

    def restored(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
        """Return labels of the squares (N, side, side) on the pixels of the file (N, H, W)."""
        return _nearest(labels, self.labels.shape[1:])


def _nearest(labels: npt.NDArray[np.integer[Any]], plane: tuple[int, ...]) -> npt.NDArray[np.integer[Any]]:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(plane, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]
