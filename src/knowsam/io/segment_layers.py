"""Merges layers, in which 3D Slicer stores segments that may overlap, into one array of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.errors import InputError
from knowsam.io.overlap import Mask, SegmentPlanes, merged

if TYPE_CHECKING:
    from knowsam.io.segment_fields import Segment


def merged_layers(
    name: str, layers: npt.NDArray[np.integer], segments: Sequence[Segment]
) -> tuple[npt.NDArray[np.integer], tuple[str, ...]]:
    """Return labels (K, J, I) in which the first segment is 1, the second one 2 and so on, and notices.

    Parameters
    ----------
    name : of the file, for messages.
    layers : (K, J, I, L), the values of segments in each layer.

    Raises
    ------
    InputError
        If segments overlap and none lies inside the other, a value belongs to none, or there are too many.
    """
    k, j, i, _ = layers.shape
    masks = [SegmentPlanes(segment.label_class.name, partial(_planes, layers, segment)) for segment in segments]
    numbers, notices = merged(name, (k, j, i), masks)
    once = {(segment.layer, segment.label_class.value): segment for segment in segments}.values()
    if sum(np.count_nonzero(mask) for segment in once for _, mask in _planes(layers, segment)) < np.count_nonzero(
        layers
    ):
        raise InputError(f"{name} holds labels without a segment that names them. Save it again in 3D Slicer.")
    return numbers.astype(np.min_scalar_type(len(segments))), notices


def _planes(layers: npt.NDArray[np.integer], segment: Segment) -> Iterator[tuple[int, Mask]]:
    if segment.layer < layers.shape[-1]:
        for index, plane in enumerate(layers[..., segment.layer]):
            yield index, plane == segment.label_class.value
