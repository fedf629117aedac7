"""How long does each editing tool take, on a slice and on a volume? CPU seconds, the copy of the structure included."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import process_time

import numpy as np
from provenance import provenance
from tables import table

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.volume import Grid, Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Structure, read_structure, structure_in_slice
from knowsam.document.edit_tools import Tool, ToolUse
from knowsam.editing.intensity import like_the_core

_VALUE = 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512), help="slices, rows, columns")
    parser.add_argument("--radius", type=int, default=110, help="of the ball that is edited, in pixels (default: 110)")
    options = parser.parse_args()
    document = _document(tuple(options.shape), options.radius)
    middle = [size // 2 for size in options.shape]
    rows = []
    for tool in Tool:
        use = ToolUse(tool, 3.0, (middle[0], middle[1], middle[2]), (20.0, 80.0))
        in_slice = _seconds(lambda use=use: structure_in_slice(document, _VALUE, middle[0]).edited(use))
        in_volume = _seconds(lambda use=use: _structure_in_volume(document, use.reach_mm).edited(use))
        rows.append([tool.value, f"{in_slice:.3f}", f"{in_volume:.2f}"])
    plane = document.volume.array[middle[0]]
    rows.append(
        ["Intensity brush of 60 pixels", f"{_seconds(lambda: like_the_core(plane, middle[1:], (30, 30))):.3f}", ""]
    )
    print(*provenance("no seed"), sep="\n")
    print(table(["tool", "slice, s", "volume, s"], rows))


def _document(shape: tuple[int, int, int], radius: int) -> AnnotationDocument:
    """Return a document in which a ball is predicted in noise, with pixels missing here and there."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, shape, dtype=np.int16)
    volume = Volume(image, Grid(shape[::-1], np.eye(4)), name="ball")
    document = AnnotationDocument(volume, 0, (BACKGROUND_CLASS, LabelClass(_VALUE, "ball", (255, 0, 0))))
    axes = np.ogrid[tuple(slice(-(size // 2), size - size // 2) for size in shape)]
    for index in range(shape[0]):
        ball = axes[0][index, 0, 0] ** 2 + axes[1][0] ** 2 + axes[2][0] ** 2 <= radius**2
        document.predict(index, (ball & (image[index] > 0)).astype(np.uint8), np.zeros(shape[1:], np.uint8))
    return document


def _structure_in_volume(document: AnnotationDocument, reach_mm: float) -> Structure:
    *_, make = read_structure(document, _VALUE, reach_mm)
    return make()


def _seconds(action: Callable[[], object]) -> float:
    started = process_time()
    action()
    return process_time() - started


if __name__ == "__main__":
    main()
