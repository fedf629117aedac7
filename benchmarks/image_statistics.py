"""How alike are the images of one task, and how unlike those of different tasks, to a model that is shown them?

Distance of the grey values of two images on the scale of the networks (`knowsam.data.image_statistics`): pairs of one
task, and pairs of two tasks that are both CT in Hounsfield units or both not.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from provenance import provenance
from tables import table
from tasks import find_data_set

from knowsam.config import Config
from knowsam.data.image_statistics import FAR, ImageStatistics
from knowsam.data.orientation import working_axis
from knowsam.io.image import read_image

_LIMITS = (0.10, FAR, 0.20, 0.25)


def main() -> None:
    """Compare all pairs of images and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of volumes with labels")
    parser.add_argument("--most", type=int, help="volumes of each folder (default: all)")
    options = parser.parse_args()
    images = [(data, one) for data in options.data for one in _statistics(data, options.most)]
    pairs = [
        (first_data == second_data, first.distance(second))
        for (first_data, first), (second_data, second) in combinations(images, 2)
        if first.is_ct == second.is_ct
    ]
    print(*provenance("no training"), sep="\n")
    print(_table(pairs))


def _statistics(folder: Path, most: int | None) -> list[ImageStatistics]:
    data = find_data_set(folder)
    found = []
    for path in data.images[:most]:
        image = read_image(path)
        axis = working_axis(image.grid, data.file_axis)
        found.append(ImageStatistics.of(image, axis, Config().plane.clip_percent))
    return found


def _table(pairs: list[tuple[bool, float]]) -> str:
    rows = []
    for is_one_task, name in ((True, "one task"), (False, "two tasks")):
        own = np.array([distance for is_own, distance in pairs if is_own == is_one_task])
        beyond = [f"{100 * np.mean(own > limit):.0f} %" for limit in _LIMITS]
        rows.append([name, str(len(own)), f"{np.median(own):.3f}", f"{own.max():.3f}", *beyond])
    return table(["pairs of", "pairs", "median", "largest", *(f"beyond {limit:.2f}" for limit in _LIMITS)], rows)


if __name__ == "__main__":
    main()
