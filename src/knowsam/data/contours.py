"""The outlines of a mask in one slice, as polygons without holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

Polygon = npt.NDArray[np.float64]

_LEVEL = 0.51
"""Where outlines run between a pixel outside (0) and one inside (1): half-way, but a hair nearer to the pixel inside.

Some readers round the points to pixels and take those on the outline as inside: so they find the pixels of the mask,
and those that ask which centres of pixels lie inside find the same.
"""


def outlines(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Return a closed polygon for each piece of a mask: (points, 2), rows and columns, the first point not repeated.

    A polygon with holes goes to each of them and back on the shortest way (a keyhole), so that its inside is the same
    by every rule. The area is that of the pixels, but for half a pixel an outline.

    Parameters
    ----------
    mask : (H, W).
    """
    # It takes a while to import, and few need it.
    from skimage.measure import find_contours

    pieces, _ = ndimage.label(mask)
    polygons = []
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        # The margin closes outlines at the border.
        piece = np.pad(pieces[box] == number, 1).astype(np.float64)
        first = [side.start - 1 for side in box]
        loops = [_without_needless(loop[:-1] + first) for loop in find_contours(piece, _LEVEL)]
        largest = max(range(len(loops)), key=lambda index: np.ptp(loops[index], axis=0).max())
        polygons.append(_with_keyholes(loops.pop(largest), loops))
    return polygons


def _without_needless(loop: Polygon) -> Polygon:
    """Leave out points that lie straight between their neighbours."""
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
    return loop[turns > 1e-9]


def _with_keyholes(outer: Polygon, holes: list[Polygon]) -> Polygon:
    """Join holes to the outline round them, the nearest one first."""
    polygon, holes = outer, list(holes)
    while holes:
        tree = cKDTree(polygon)
        found = [tree.query(hole) for hole in holes]
        nearest = min(range(len(holes)), key=lambda index: found[index][0].min())
        start = int(found[nearest][0].argmin())
        at, hole = int(found[nearest][1][start]), np.roll(holes.pop(nearest), -start, axis=0)
        polygon = np.concatenate([polygon[: at + 1], hole, hole[:1], polygon[at:]])
    return polygon
