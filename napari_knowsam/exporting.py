"""Export of the mask of a volume or a page on it, with a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject

from knowsam.data.annotation import labelled_classes
from knowsam.errors import KnowSAMError
from knowsam.io.dicom.rtstruct_writer import is_rtstruct_name
from knowsam.io.surface_file import is_surface_name, surface_paths
from knowsam.report_page import Segmented, is_report_page_name, write_report_page
from napari_knowsam import status_messages
from napari_knowsam._writer import mask_writer
from napari_knowsam.panels.export_dialog import confirm_overwrite
from napari_knowsam.panels.terms_dialog import ask_terms

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.result_panel import ResultPanel


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


class Exporting(QObject):
    """Writes exports in a thread, which napari waits for before it quits, and reports the result.

    Parameters
    ----------
    made : returns how the mask of a document was made.
    """

    def __init__(
        self,
        layers: LayerChoice,
        panel: ResultPanel,
        made: Callable[[AnnotationDocument], Made],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._panel, self._made = layers, panel, made
        self._is_closed = False
        panel.export_requested.connect(self._on_requested)

    def close(self) -> None:
        """Clear the message under the results."""
        self._is_closed = True

    def _on_requested(self, path: Path) -> None:
        self._layers.flush()
        document = self._layers.document
        if document is None:
            return
        try:
            export = prepared_export(document, path, self._made(document), self._panel)
        except KnowSAMError as error:
            self._panel.set_message(str(error))
            return
        if export is not None:
            self._panel.set_message(f"Writing {path.name} …")
            slots = {"returned": partial(self._on_written, document), "errored": partial(self._on_failed, document)}
            create_worker(export, _ignore_errors=True, _connect=slots)

    def _on_written(self, document: AnnotationDocument, sentence: str) -> None:
        if self._is_seen(document):
            self._panel.set_message(sentence)
        else:
            show_info(f"{document.name}: {sentence}")

    def _on_failed(self, document: AnnotationDocument, error: Exception) -> None:
        is_known = isinstance(error, KnowSAMError)
        sentence = str(error) if is_known else f"Nothing was written, for an unexpected error: {error!r}."
        if self._is_seen(document):
            self._panel.set_message(sentence)
        else:
            show_error(f"{document.name}: {sentence}")
        if not is_known:
            raise error

    def _is_seen(self, document: AnnotationDocument) -> bool:
        return not self._is_closed and self._layers.document is document


def prepared_export(document: AnnotationDocument, path: Path, made: Made, parent: QWidget) -> Callable[[], str] | None:
    """Ask all questions before the present mask, or a page on it, is written.

    Parameters
    ----------
    parent : of the dialogs.

    Returns
    -------
    A function that writes it, in any thread, and returns a sentence on the file; None if a dialog was cancelled.

    Raises
    ------
    KnowSAMError
        If the file cannot be written.
    """
    source = document.volume
    mask = replace(source, array=document.mask(), classes=document.classes)
    write: Callable[[], object] | None = None
    if is_report_page_name(path):
        write = _page_writer(document, path, mask, made)
    elif may_replace_surfaces(path, mask, parent):
        write = mask_writer(path, mask, source, partial(ask_terms, parent))
    has_grid = not (is_report_page_name(path) or is_surface_name(path) or is_rtstruct_name(path))
    grid_of = source.name if has_grid else None
    unconfirmed = len(document.unconfirmed)
    sentence = status_messages.saved_sentence(path.name, grid_of, _empty(document), made.outdated, unconfirmed)
    return None if write is None else partial(_written, write, sentence)


def _written(write: Callable[[], object], sentence: str) -> str:
    write()
    return sentence


def _page_writer(document: AnnotationDocument, path: Path, mask: Volume, made: Made) -> Callable[[], object]:
    unconfirmed = document.unconfirmed
    older = f"Slices that show an older prediction: {made.outdated}." if made.outdated else ""
    missing = [sentence for sentence in (status_messages.empty_sentence(_empty(document)), older) if sentence]
    segmented = Segmented(
        image=document.volume,
        labels=mask.array,
        classes=document.classes,
        axis=document.axis,
        painted=[index for index in document.annotated if index not in unconfirmed],
        probable_dice=made.probable_dice,
        plan=None if made.model is None else made.model.plan,
        warnings=(*document.volume.notices, *missing),
        unconfirmed=unconfirmed,
    )
    return partial(write_report_page, path, segmented, overwrite=True)


def _empty(document: AnnotationDocument) -> int:
    """Return how many slices are still empty, though others are predicted."""
    return document.unpredicted if document.predictions.indices else 0


def may_replace_surfaces(path: Path, mask: Volume, parent: QWidget | None) -> bool:
    """Ask about the files of single classes, which the dialog that returned `path` did not check.

    Raises
    ------
    InputError
        If there is nothing to write.
    """
    if not is_surface_name(path):
        return True
    others = [place for place in surface_paths(path, labelled_classes(mask)) if place != path and place.exists()]
    return not others or confirm_overwrite(parent, others[0])
