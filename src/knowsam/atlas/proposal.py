"""A first mask of a new volume, from the masks of finished ones (multi-atlas segmentation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from knowsam.atlas.grids import coarse_grid, grey_image, image_of, simpleitk
from knowsam.atlas.registration import registered
from knowsam.data.annotation import require_same_names
from knowsam.data.image_statistics import require_known_modality
from knowsam.data.intensity import is_ct
from knowsam.data.proposed_mask import ProposedMask
from knowsam.data.volume import require_same_grid
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.atlas.grids import Image
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

_REGISTERED_VOXELS = 96
_FUSED_VOXELS = 192
_LEAST_SIMILARITY = 0.05
_SIMILARITY_POWER = 3


@dataclass(frozen=True)
class Atlas:
    """A finished volume.

    Parameters
    ----------
    labels : its mask, all of it.

    Raises
    ------
    InputError
        If the mask is empty or lies on another grid.
    """

    image: Volume
    labels: Volume

    @cached_property
    def grey(self) -> Image:
        """The image as it is registered; kept, since each volume is compared with several others."""
        return grey_image(self.image, _REGISTERED_VOXELS)

    def __post_init__(self) -> None:
        require_same_grid(self.image, self.labels)
        if not self.labels.array.any():
            raise InputError(f"The mask {self.labels.name} is empty. Give the mask of a finished volume.")


@dataclass(frozen=True)
class Proposal:
    """What finished volumes say of a new one; nobody has confirmed any of it.

    Parameters
    ----------
    labels : (Z, Y, X), label values.
    agreement : (Z, Y, X), float16, share of the votes for them.
    similarities : of each finished volume to the new one round the structure, from 0 to 1; None if it was of no use.
    """

    labels: npt.NDArray[np.int32]
    agreement: npt.NDArray[np.float16]
    similarities: tuple[float | None, ...]

    @property
    def mask(self) -> ProposedMask:
        """What is proposed, to count beside propagated labels."""
        return ProposedMask(self.labels.astype(np.min_scalar_type(self.labels.max())), self.agreement)


def propose(volume: Volume, atlases: Sequence[Atlas], progress: Callable[[int], object] = lambda _: None) -> Proposal:
    """Bring the masks of finished volumes to a new one and let them vote, weighted by the similarity of the images.

    Parameters
    ----------
    progress : called now and then with the number of atlases that are done; an exception it raises stops the work.

    Raises
    ------
    InputError
        If there is no atlas, two give one label value different names, one is a CT and the volume is not, or the other
        way round, or none can be registered.
    ConfigError
        If SimpleITK is not installed.
    """
    if not atlases:
        raise InputError("There is no finished volume. Give at least one, with its mask.")
    known: list[LabelClass] = []
    for atlas in atlases:
        require_same_names(known, atlas.labels.classes, atlas.image.name)
        known += atlas.labels.classes
    are_ct = [is_ct(atlas.image) for atlas in atlases]
    require_known_modality(is_ct(volume), are_ct, volume.name, "the finished volumes are")
    votes = _Votes(volume, sorted({int(v) for atlas in atlases for v in np.unique(atlas.labels.array) if v}))
    new = grey_image(volume, _REGISTERED_VOXELS)
    similarities = []
    for done, atlas in enumerate(atlases, start=1):
        similarities.append(_vote(votes, new, atlas, partial(progress, done - 1)))
        progress(done)
    if not any(similarities):
        raise InputError(
            f"None of the {len(atlases)} finished volumes could be registered to {volume.name}. Give volumes of the "
            "same region and modality."
        )
    return Proposal(*votes.winners(), tuple(similarities))


def _vote(votes: _Votes, new: Image, atlas: Atlas, check: Callable[[], object]) -> float | None:
    labels = image_of(atlas.labels.array.astype(np.int32), atlas.labels.affine)
    found = registered(new, atlas.grey, _as_mask(labels), check)
    if found is None or found.similarity < _LEAST_SIMILARITY:
        return None
    votes.add(labels, found.transform, found.similarity**_SIMILARITY_POWER)
    return found.similarity


class _Votes:
    """How many votes each class has in each voxel, on a grid as fine as memory allows."""

    def __init__(self, volume: Volume, values: Sequence[int]) -> None:
        sitk = simpleitk()
        self._fine = image_of(np.zeros(volume.shape, np.uint8), volume.affine)
        self._grid = coarse_grid(self._fine, _FUSED_VOXELS)
        self._votes = {value: sitk.Cast(self._grid, sitk.sitkFloat32) for value in values}
        self._all = 0.0

    def add(self, labels: Image, transform: Any, weight: float) -> None:
        """Count the votes of an atlas, whose labels stand in a place that the transform leads to."""
        sitk = simpleitk()
        self._all += weight
        for value, votes in self._votes.items():
            mask = sitk.Cast(labels == value, sitk.sitkFloat32)
            self._votes[value] = votes + weight * sitk.Resample(mask, self._grid, transform, sitk.sitkLinear, 0.0)

    def winners(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]:
        """Return the value (Z, Y, X) with most votes, 0 being none of the others, and its share of all votes."""
        sitk = simpleitk()
        shape = self._fine.GetSize()[::-1]
        winner, most = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        others = np.zeros(shape, np.float32)
        for value, votes in self._votes.items():
            own = sitk.GetArrayFromImage(
                sitk.Resample(votes, self._fine, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
            )
            winner[own > most] = value
            np.maximum(most, own, out=most)
            others += own
        none = self._all - others
        winner[none > most] = 0
        return winner, (np.maximum(none, most) / self._all).clip(0, 1).astype(np.float16)


def _as_mask(labels: Image) -> Image:
    sitk = simpleitk()
    return sitk.Cast(labels != 0, sitk.sitkUInt8)
