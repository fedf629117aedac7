"""Exporting the mask of a volume, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from knowsam.data.annotation import labelled_classes
from knowsam.io.surface_file import is_surface_name, surface_paths
from napari_knowsam import status_messages
from napari_knowsam._writer import export_mask
from napari_knowsam.panels.export_dialog import confirm_overwrite
from napari_knowsam.panels.terms_dialog import ask_terms

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument


def export(document: AnnotationDocument, path: Path, outdated: int, parent: QWidget) -> str | None:
    """Write the mask, and say what was written and what it lacks; None if a dialog was cancelled.

    Parameters
    ----------
    outdated : slices that wait for a new prediction.
    parent : of the dialogs.

    Raises
    ------
    KnowSAMError
        If the file cannot be written.
    """
    source = document.volume
    mask = replace(source, array=document.mask(), classes=document.classes)
    if not may_replace_surfaces(path, mask, parent) or not export_mask(path, mask, source, partial(ask_terms, parent)):
        return None
    empty_slices = document.unpredicted if document.predictions.indices else 0
    return status_messages.saved_sentence(path.name, source.name, empty_slices, outdated)


def may_replace_surfaces(path: Path, mask: Volume, parent: QWidget | None) -> bool:
    """Ask about the files of single classes, of which the dialog that gave `path` knows nothing.

    Raises
    ------
    InputError
        If there is nothing to write.
    """
    if not is_surface_name(path):
        return True
    others = [place for place in surface_paths(path, labelled_classes(mask)) if place != path and place.exists()]
    return not others or confirm_overwrite(parent, others[0])
