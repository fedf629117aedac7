"""Segments that overlap: the inner one of two keeps its voxels, everything else is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from knowsam.errors import InputError
from knowsam.io.overlap import Mask, SegmentPlanes, merged

SHAPE = (2, 4, 6)


def segment(name: str, columns: slice, rows: slice = slice(None)) -> SegmentPlanes:
    """Return a segment that fills the same rectangle of every plane."""

    def planes() -> Iterator[tuple[int, Mask]]:
        for index in range(SHAPE[0]):
            mask = np.zeros(SHAPE[1:], bool)
            mask[rows, columns] = True
            yield index, mask

    return SegmentPlanes(name, planes)


LIVER, LESION, CORE = segment("liver", slice(0, 5)), segment("lesion", slice(1, 4)), segment("core", slice(2, 3))


def row(*segments: SegmentPlanes) -> list[int]:
    return merged("a.dcm", SHAPE, segments)[0][1, 2].tolist()


def test_segments_side_by_side_are_numbered_in_their_order() -> None:
    numbers, notices = merged("a.dcm", SHAPE, [segment("a", slice(3, 6)), segment("b", slice(0, 1))])
    assert numbers[0, 0].tolist() == [2, 0, 0, 1, 1, 1]
    assert notices == ()


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((LIVER, LESION, CORE), [1, 2, 3, 2, 1, 0]),
        ((CORE, LESION, LIVER), [3, 2, 1, 2, 3, 0]),
        ((LESION, LIVER, CORE), [2, 1, 3, 1, 2, 0]),
    ],
)
def test_inside_a_larger_segment_the_smaller_one_keeps_its_voxels_in_any_order(
    segments: tuple[SegmentPlanes, ...], expected: list[int]
) -> None:
    assert row(*segments) == expected


def test_nested_segments_are_named() -> None:
    (notice,) = merged("a.dcm", SHAPE, [LIVER, CORE, LESION])[1]
    assert "lesion in liver, core in lesion" in notice


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (
            (LIVER, segment("spleen", slice(4, 6))),
            "segments liver and spleen overlap in 8 voxels, and neither lies inside",
        ),
        ((LIVER, segment("twin", slice(0, 5))), "segments liver and twin overlap, and nothing would be left of liver"),
        (
            (segment("left", slice(0, 2)), segment("right", slice(2, 5)), LIVER),
            "right and liver overlap, and nothing would be left of liver",
        ),
        ((LIVER, LESION, segment("vein", slice(3, 5), slice(1, 2))), "and vein overlap in 2 voxels, and neither"),
    ],
)
def test_everything_else_is_refused_by_name(segments: tuple[SegmentPlanes, ...], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        merged("a.dcm", SHAPE, segments)


def test_a_segment_without_voxels_disturbs_nobody() -> None:
    assert row(segment("empty", slice(0, 0)), LIVER) == [2, 2, 2, 2, 2, 0]


def test_more_segments_than_can_be_distinguished_are_refused() -> None:
    with pytest.raises(InputError, match="65536 segments"):
        merged("a.dcm", SHAPE, [LIVER] * 65536)
