"""How wide is the grey band of the intensity brush to be? Share of the pixels under it that are painted wrongly.

The brush is put near the outline of a structure, on a pixel of it, with half its radius. Right is what lies both under
the brush and in the structure; a plain brush paints all that lies under it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from propagator import add_task_options, structures, truths
from provenance import provenance
from scipy import ndimage
from tables import table

from knowsam.editing import intensity

if TYPE_CHECKING:
    from tasks import Truth

Place = tuple[npt.NDArray[Any], npt.NDArray[np.bool_], tuple[int, int], float]

_BANDS = (1.5, 2.0, 2.5, 3.0)
_CORES = (0.35, 0.5)
_SLICES, _PLACES = 6, 4
_FEWEST_PX = 80
_SMALLEST_PX = 3.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    wrong: dict[str, list[list[float]]] = {}
    for truth in truths(options):
        for _, own in structures(truth):
            wrong.setdefault(own.data, []).extend(_wrong(*place) for place in _places(own, rng))
    rows = [[name, str(len(places)), *_means(places)] for name, places in wrong.items() if places]
    rows.append(["mean", "", *_means([np.mean(places, axis=0).tolist() for places in wrong.values() if places])])
    rules = [f"band {band}, core {core}" for core in _CORES for band in _BANDS]
    print(*provenance("places by seed 0"), sep="\n")
    print(table(["task", "places", "plain brush", *rules], rows))


def _places(truth: Truth, rng: np.random.Generator) -> Iterator[Place]:
    """Yield image, structure, centre and radius in pixels of some places near the outline."""
    images = np.moveaxis(truth.volume.array, truth.annotation.axis, 0)
    areas = truth.indices.astype(bool).sum(axis=(1, 2))
    for index in rng.permutation(np.flatnonzero(areas > _FEWEST_PX))[:_SLICES]:
        radius = max(math.sqrt(areas[index] / math.pi) / 2, _SMALLEST_PX)
        depth = ndimage.distance_transform_edt(truth.indices[index])
        near = np.argwhere((depth >= max(0.3 * radius, 1.5)) & (depth <= radius))
        for centre in near[rng.permutation(len(near))[:_PLACES]]:
            yield images[index].astype(np.float32), truth.indices[index] > 0, (int(centre[0]), int(centre[1])), radius


def _wrong(
    image: npt.NDArray[Any], structure: npt.NDArray[np.bool_], centre: tuple[int, int], radius: float
) -> list[float]:
    axes = np.ogrid[tuple(slice(-at, size - at) for at, size in zip(centre, image.shape, strict=True))]
    disc = sum(axis**2 for axis in axes) <= radius**2
    painted = [disc]
    for core in _CORES:
        for band in _BANDS:
            with patch.multiple(intensity, CORE=core, BAND=band):
                painted.append(intensity.like_the_core(image, centre, (radius, radius)))
    return [np.count_nonzero(one != (disc & structure)) / np.count_nonzero(disc) for one in painted]


def _means(places: list[list[float]]) -> list[str]:
    return [f"{mean:.3f}" for mean in np.mean(places, axis=0)]


if __name__ == "__main__":
    main()
