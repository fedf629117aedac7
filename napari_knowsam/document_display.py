"""Shows an annotation document in the panels: its slices, classes, volumes and undo steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from knowsam.document.next_slice import wrong_shares
from knowsam.document.structure_ends import goes_beyond_painted
from knowsam.io.image_file import suggested_path
from napari_knowsam.measuring import Measuring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from knowsam.data.annotation import LabelClass
    from knowsam.data.measurements import Measurement
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.dice_estimate import DiceEstimate
    from napari_knowsam.panels.annotate_panel import AnnotatePanel
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel

_SOON_MS = 300
"""Drawing the panels takes a tenth of a second; the slices beside a correction have to be drawn before that."""

_PREDICTIONS_MS = 500
"""Predictions arrive many a second; the panels follow twice a second, since every repaint delays the brush."""


class DocumentDisplay(QObject):
    """Updates the panels soon after the document of the chosen image, or its probable Dice, has changed."""

    def __init__(
        self, annotate: AnnotatePanel, train: TrainPanel, result: ResultPanel, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._annotate, self._train, self._result = annotate, train, result
        self._document: AnnotationDocument | None = None
        self._dice: dict[int, float | None] = {}
        self._score: float | None = None
        self._is_closed = False
        self._measuring = Measuring(self)
        self._measuring.measured.connect(self._show_measurements)
        result.volumes_looked_at.connect(self._measure)
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.timeout.connect(self._show)

    def set_document(self, document: AnnotationDocument | None) -> None:
        """Show another document, or none."""
        self._document, self._dice, self._score = document, {}, None
        self._result.set_measurements(())
        if document is not None:
            volume = document.volume
            self._annotate.set_axis(document.axis)
            self.show_classes()
            suggested = suggested_path(f"{volume.name}_mask", volume)
            self._result.set_suggested_name(str(suggested), dicom=bool(volume.dicom_files))
        self._show()

    def set_estimate(self, classes: Sequence[LabelClass], estimate: DiceEstimate | None) -> None:
        """Show the probable Dice of the prediction soon; None if there is no estimate any more."""
        self._dice = {} if estimate is None else estimate.by_value(classes)
        self._score = None if estimate is None else estimate.mean
        self.show_predictions()

    @property
    def probable_dice(self) -> Mapping[int, float | None]:
        """By label value, as far as known."""
        return self._dice

    def show_classes(self) -> None:
        """Show the classes at once."""
        document = self._document
        if document is not None:
            self._annotate.set_classes(document.classes, document.brush_value, document.painted_values())

    def show_soon(self) -> None:
        """Show what a person did."""
        self._show_within(_SOON_MS)

    def show_predictions(self) -> None:
        """Follow the predictions; what a person does is shown sooner."""
        self._show_within(_PREDICTIONS_MS)

    def close(self) -> None:
        """Show nothing any more."""
        self._is_closed = True
        self._due.stop()

    def _show_within(self, milliseconds: int) -> None:
        due = self._due
        if not self._is_closed and (not due.isActive() or due.remainingTime() > milliseconds):
            due.start(milliseconds)

    def _show(self) -> None:
        document = self._document
        if document is None:
            self._show_nothing()
            return
        self._annotate.marks.set_slices(document.states(), document.corrected, document.unconfirmed, document.marks)
        self._annotate.marks.set_wrong_shares(wrong_shares(document))
        self._annotate.set_painted(document.painted_values())
        self._result.set_has_prediction(bool(document.predictions.indices or document.annotated))
        open_ended = {value for value in document.class_list.values[1:] if goes_beyond_painted(document, value)}
        self._result.set_volumes(document.volumes_ml(), self._dice, open_ended)
        self._train.bar.set_score(self._score, is_open=bool(open_ended))
        if self._result.are_volumes_looked_at:
            self._measure()
        self._result.set_history(document.history.undo_name, document.history.redo_name)

    def _measure(self) -> None:
        """Measure when the user looks: it takes tenths of a second of a processor that training needs as well."""
        if self._document is not None:
            self._measuring.measure(self._document)

    def _show_measurements(self, document: AnnotationDocument, measurements: Sequence[Measurement]) -> None:
        if document is self._document:
            self._result.set_measurements(measurements)

    def _show_nothing(self) -> None:
        self._annotate.marks.set_slices((), (), (), {})
        self._annotate.marks.set_wrong_shares(())
        self._annotate.set_painted(frozenset())
        self._result.set_has_prediction(False)
        self._result.set_volumes((), {}, ())
        self._train.bar.set_score(None)
        self._result.set_history(None, None)
