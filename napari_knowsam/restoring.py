"""Restores the saved work on an image, in the plane it was painted in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_knowsam.autosave import Autosave
    from napari_knowsam.layer_choice import LayerChoice


def restore(
    autosave: Autosave,
    layers: LayerChoice,
    choose_axis: Callable[[int], None],
    take_up: Callable[[AnnotationDocument, Path], None],
) -> None:
    """Restore the offered work into the chosen image.

    Parameters
    ----------
    choose_axis : lets the image be annotated along another axis, if that is possible just now.
    take_up : reads what was learnt from it, if anything was, so that training can go on there.

    Raises
    ------
    InputError
        If slices are painted along another axis.
    """
    layers.flush()
    offer, sync = autosave.offer, layers.sync
    if offer is None or sync is None:
        return
    if offer.axis != sync.document.axis:
        if sync.document.annotated:
            raise InputError(
                "The slices to restore were painted in another plane than those you have painted now. "
                "Make new labels (New), and restore the slices into them."
            )
        choose_axis(offer.axis)
        sync = layers.sync
    if sync is None or sync.document.axis != offer.axis:
        return
    sync.change(AnnotationDocument.restore, offer)
    if not sync.document.snapshot().holds(offer):
        return
    training = autosave.settle()
    # Only the prediction layer shows corrections.
    layers.show_restored_corrections()
    if training is not None:
        take_up(sync.document, training)
