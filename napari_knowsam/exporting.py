"""Exporting the mask of a volume or a page on it, and what is said of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from knowsam.data.annotation import labelled_classes
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name
from knowsam.io.surface_file import is_surface_name, surface_paths
from knowsam.report_page import Segmented, is_report_page_name, write_report_page
from napari_knowsam import status_messages
from napari_knowsam._writer import export_mask
from napari_knowsam.panels.export_dialog import confirm_overwrite
from napari_knowsam.panels.terms_dialog import ask_terms

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Made:
    """How a mask was made.

    Parameters
    ----------
    outdated : slices that wait for a new prediction.
    probable_dice : by label value.
    model : of the last training that has ended; None without one.
    """

    outdated: int
    probable_dice: Mapping[int, float | None]
    model: TrainedModel | None


def export(document: AnnotationDocument, path: Path, made: Made, parent: QWidget) -> str | None:
    """Write the mask or a page on it, and say what was written and what it lacks; None if a dialog was cancelled.

    Parameters
    ----------
    parent : of the dialogs.

    Raises
    ------
    KnowSAMError
        If the file cannot be written.
    """
    source = document.volume
    mask = replace(source, array=document.mask(), classes=document.classes)
    ask = partial(ask_terms, parent)
    has_grid = not (is_report_page_name(path) or is_surface_name(path) or is_rtstruct_name(path))
    if is_report_page_name(path):
        _write_page(document, path, mask, made)
    elif not (may_replace_surfaces(path, mask, parent) and export_mask(path, mask, source, ask)):
        return None
    grid_of = source.name if has_grid else None
    return status_messages.saved_sentence(path.name, grid_of, _empty(document), made.outdated)


def _write_page(document: AnnotationDocument, path: Path, mask: Volume, made: Made) -> None:
    older = f"Slices that show an older prediction: {made.outdated}." if made.outdated else ""
    missing = [sentence for sentence in (status_messages.empty_sentence(_empty(document)), older) if sentence]
    segmented = Segmented(
        image=document.volume,
        labels=mask.array,
        classes=document.classes,
        axis=document.axis,
        painted=document.annotated,
        probable_dice=made.probable_dice,
        plan=None if made.model is None else made.model.plan,
        warnings=(*document.volume.notices, *missing),
    )
    write_report_page(path, segmented, overwrite=True)


def _empty(document: AnnotationDocument) -> int:
    """Return how many slices hold nothing yet, though others are predicted."""
    return document.unpredicted if document.predictions.indices else 0


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
