"""Accepting predictions and outlines: returns the changed slices, or raises if there is nothing to accept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from knowsam.data.slice_number import slice_number
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.document.annotation_document import AnnotationDocument


def accept_slice(document: AnnotationDocument, index: int) -> tuple[int, ...]:
    """Take the prediction of a slice as painted, and its outlines as confirmed."""
    refusal = f"Slice {slice_number(index)} holds nothing to accept: no prediction, or painted fully."
    return _accept(document, (index,), refusal)


def accept_between(document: AnnotationDocument) -> tuple[int, ...]:
    """Take the predictions from the first to the last annotated slice as painted."""
    annotated = document.annotated
    return _accept(
        document,
        range(annotated[0], annotated[-1] + 1) if annotated else (),
        "Between the first and the last annotated slice there is nothing to accept: no prediction, or all painted or "
        "accepted.",
    )


def accept_all(document: AnnotationDocument) -> tuple[int, ...]:
    """Take the predictions of all slices as painted."""
    return _accept(
        document, range(document.slice_count), "There is nothing to accept: no prediction, or all painted or accepted."
    )


def _accept(document: AnnotationDocument, indices: Iterable[int], refusal: str) -> tuple[int, ...]:
    changed = document.accept(indices)
    if not changed:
        raise InputError(refusal)
    return changed
