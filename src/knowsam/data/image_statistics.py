"""Statistics of the images that a model has learnt from, to compare another one with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.intensity import unit_quantiles
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

_PERCENTS = tuple(range(5, 100, 5))

FAR = 0.15
"""Distance of grey values that no two images of one task exceed; three of four pairs from two tasks, in other sequences
or regions, exceed it (`benchmarks/README.md`, "Images unlike those of the training")."""

_SPACING_FACTOR = 2.0


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one image as networks see it; they do not identify the patient.

    Parameters
    ----------
    is_ct : whether its grey values are Hounsfield units, for which the networks have a scale of its own.
    quantiles : 5 to 95 % of the grey values, on that scale, in [0, 1].
    slice_mm : distance of its slices.
    """

    is_ct: bool
    quantiles: tuple[float, ...]
    slice_mm: float

    @classmethod
    def of(cls, volume: Volume, axis: int, clip_percent: float) -> ImageStatistics:
        """Return the statistics of an image whose slices are stacked along `axis`."""
        quantiles, is_ct = unit_quantiles(volume, clip_percent, _PERCENTS)
        return cls(is_ct, quantiles, round(float(volume.spacing_mm[axis]), 4))

    def distance(self, other: ImageStatistics) -> float:
        """Return how far the grey values of two images lie apart, from 0 to 1: the mean over all quantiles."""
        return float(np.abs(np.subtract(self.quantiles, other.quantiles)).mean())


def require_known_modality(
    is_ct: bool,
    known_are_ct: Collection[bool],
    name: str,
    known_as: str = "the model has learnt from images that are",
) -> None:
    """Check that an image is a CT if the known ones are, and none if they are not.

    Parameters
    ----------
    is_ct : whether the image is one. known_are_ct : the same of each known image.
    name : of the image. known_as : words for the known ones, for the message.

    Raises
    ------
    InputError
        If only it is, or only they are.
    """
    if not known_are_ct or is_ct in known_are_ct:
        return
    found, expected = ("CT", "MR or others") if is_ct else ("no CT in Hounsfield units", "CT")
    raise InputError(
        f"{name} is {found}, but {known_as} {expected}: what is found in it would mean nothing. Use others of its kind."
    )


def difference_sentence(image: ImageStatistics, known: Sequence[ImageStatistics], name: str) -> str:
    """Describe how an image differs from all that a model has learnt from; empty if it does not matter."""
    if not known:
        return ""
    differences = []
    if min(image.distance(one) for one in known) > FAR:
        differences.append("its grey values are distributed differently, as in another sequence or region")
    thinnest, thickest = min(one.slice_mm for one in known), max(one.slice_mm for one in known)
    if not thinnest / _SPACING_FACTOR <= image.slice_mm <= thickest * _SPACING_FACTOR:
        spacing = f"{thinnest:.3g}" if thinnest == thickest else f"{thinnest:.3g} to {thickest:.3g}"
        differences.append(f"its slices are {image.slice_mm:.3g} mm apart, not {spacing} mm")
    if not differences:
        return ""
    return f"{name} is unlike the images that the model has learnt from: {' and '.join(differences)}. Check its mask."
