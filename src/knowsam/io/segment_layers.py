"""Layers of segments, in which 3D Slicer stores those that may overlap, as one array of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.io.segment_fields import Segment

_MOST_SEGMENTS = np.iinfo(np.uint8).max


def merged_layers(name: str, layers: npt.NDArray[np.integer], segments: Sequence[Segment]) -> npt.NDArray[np.uint8]:
    """Return labels in which the first segment has the value 1, the second one 2 and so on.

    Parameters
    ----------
    name : of the file, for messages.
    layers : (..., L), in each layer the values that segments have there.

    Raises
    ------
    InputError
        If segments overlap, a value belongs to none, or there are too many.
    """
    if len(segments) > _MOST_SEGMENTS:
        raise InputError(f"{name} holds {len(segments)} segments, but at most {_MOST_SEGMENTS} can be told apart.")
    merged = np.zeros(layers.shape[:-1], np.uint8)
    for number, segment in enumerate(segments, 1):
        if segment.layer < layers.shape[-1]:
            inside = layers[..., segment.layer] == segment.label_class.value
            _refuse_overlap(name, segments, number, merged[inside])
            merged[inside] = number
    if np.count_nonzero(merged) < np.count_nonzero(layers):
        raise InputError(f"{name} holds labels without a segment that names them. Save it again in 3D Slicer.")
    return merged


def _refuse_overlap(name: str, segments: Sequence[Segment], number: int, below: npt.NDArray[np.uint8]) -> None:
    if below.any():
        first, second = (segments[place - 1].label_class.name for place in (int(below.max()), number))
        raise InputError(
            f"In {name} the segments {first} and {second} overlap in {np.count_nonzero(below)} voxels, but each voxel "
            "can have one label here. Take them apart in the Segment Editor of 3D Slicer, and save it again."
        )
