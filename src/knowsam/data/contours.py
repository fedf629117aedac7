"""The outlines of a mask in one slice, as polygons without holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from scipy.spatial import Delaunay

Polygon = npt.NDArray[np.float64]
Edges = npt.NDArray[np.int64]

_LEVEL = 0.51
"""Level of outlines between a pixel outside (0) and one inside (1): half-way, but a hair nearer to the pixel inside.

Some readers round the points to pixels and count those on the outline as inside; others test which centres of pixels
lie inside. Both find the pixels of the mask.
"""

_NEXT_ON_OUTLINE = 1e-6
"""Weight of the sides of outlines in the spanning tree: less than any bridge, so that all of them are kept."""


def outlines(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Return a closed polygon for each piece of a mask: (points, 2), rows and columns, the first point not repeated.

    The shortest bridges join holes to the outline round them (keyholes), so that every fill rule finds the same inside.
    The area is that of the pixels, up to half a pixel an outline.

    Parameters
    ----------
    mask : (H, W).
    """
    # Imported here, since it is slow and few need it.
    from skimage.measure import find_contours

    held = ndimage.find_objects(mask.astype(np.uint8))
    if not held:
        return []
    corner = [side.start for side in held[0]]
    pieces, _ = ndimage.label(mask[held[0]])
    polygons = []
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        # The margin closes outlines at the border.
        piece = np.pad(pieces[box] == number, 1).astype(np.float64)
        first = [start + side.start - 1 for start, side in zip(corner, box, strict=True)]
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
    """Join holes to the outline round them."""
    if not holes:
        return outer
    points = np.concatenate([outer, *holes])
    loop_of = np.repeat(np.arange(1 + len(holes)), [len(loop) for loop in (outer, *holes)])
    starts = np.searchsorted(loop_of, np.arange(2 + len(holes)))
    order = np.arange(len(outer))
    for before, entry in _bridges(points, loop_of, starts):
        at = int(np.flatnonzero(order == before)[0])
        start, end = starts[loop_of[entry]], starts[loop_of[entry] + 1]
        hole = np.roll(np.arange(start, end), start - entry)
        order = np.concatenate([order[: at + 1], hole, hole[:1], order[at:]])
    return points[order]


def _bridges(points: Polygon, loop_of: Edges, starts: Edges) -> Edges:
    """Return the shortest bridges that join all loops: (loops - 1, 2), each from a joined point to a new one.

    All shortest bridges are sides of the Delaunay triangles, so that a spanning tree of these will do.
    """
    following = np.arange(1, 1 + len(points))
    following[starts[1:] - 1] = starts[:-1]
    sides = np.sort(Delaunay(points).simplices[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    across = np.unique(sides[loop_of[sides[:, 0]] != loop_of[sides[:, 1]]], axis=0)
    lengths = np.linalg.norm(points[across[:, 0]] - points[across[:, 1]], axis=1)
    ends = np.concatenate([np.column_stack([np.arange(len(points)), following]), across])
    weights = np.concatenate([np.full(len(points), _NEXT_ON_OUTLINE), lengths])
    graph = sparse.csr_array((weights, ends.T), shape=(len(points), len(points)))
    reached, before = csgraph.breadth_first_order(csgraph.minimum_spanning_tree(graph), 0, directed=False)
    entries = reached[1:][loop_of[reached[1:]] != loop_of[before[reached[1:]]]]
    bridges: Edges = np.column_stack([before[entries], entries])
    return bridges
