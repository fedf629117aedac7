"""What a person may have done in the volume `tiny`, and the same image opened anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from knowsam.data.volume import Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Structure, read_structure

AXIAL = 0
LIVER, SPLEEN = 2, 5


def square(value: int, corner: int = 1) -> np.ndarray[Any, Any]:
    """(8, 10), axial slices of `tiny`."""
    plane = np.zeros((8, 10), np.uint8)
    plane[corner : corner + 3, corner : corner + 3] = value
    return plane


def fill(document: AnnotationDocument) -> None:
    """Paint, mark and correct, known background among it."""
    partly = square(SPLEEN)
    partly[6] = document.brush_value
    document.paint({1: square(LIVER), 3: partly})
    document.mark(3, SliceState.PARTIAL)
    document.mark(4, SliceState.BACKGROUND_ONLY)
    document.correct({5: square(LIVER, 4)})


def structure_in_volume(document: AnnotationDocument, reach_mm: float = 0.0) -> Structure:
    """The liver in all slices, read all at once."""
    *_, make = read_structure(document, LIVER, reach_mm)
    assert make is not None
    return make()


def again(document: AnnotationDocument, *classes: LabelClass) -> AnnotationDocument:
    """The same image, opened anew, with nothing painted."""
    volume = Volume(document.volume.array.copy(), document.volume.grid, "another name")
    return AnnotationDocument(volume, AXIAL, (BACKGROUND_CLASS, *(classes or (LabelClass(1, "class 1", (1, 2, 3)),))))
