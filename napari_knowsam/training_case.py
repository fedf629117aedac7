"""What a training begins with, or why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.data.case import Case
from knowsam.errors import InputError
from napari_knowsam.status_messages import missing_sentence

if TYPE_CHECKING:
    from napari_knowsam.layer_sync import LayerSync


def training_case(sync: LayerSync) -> Case:
    """Return the volume on the screen with all that is painted in it; the slice being painted counts as left.

    Raises
    ------
    InputError
        If there is nothing to learn from.
    """
    if sync.plane_question is not None:
        raise InputError(sync.plane_question)
    sync.document.open_index = None
    annotation = sync.document.annotation()
    missing = missing_sentence(annotation)
    if missing is not None:
        raise InputError(missing)
    return Case(sync.document.volume, annotation)
