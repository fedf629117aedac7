"""The buttons that take a prediction over, write it and keep its model, in sight whatever the panels show."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from knowsam.io.kept_models import kept_models, models_folder
from napari_knowsam.panels.buttons import button, tightened
from napari_knowsam.panels.column import fill_column
from napari_knowsam.panels.menu_button import Entry, MenuButton
from napari_knowsam.panels.wrapped_label import WrappedLabel

_SAVE_MODEL = "Save model…"
_KEPT_MODELS = "Kept models"


class ResultBar(QWidget):
    """Accept one slice, those between, or all of them; export; models; and a sentence on what came of it."""

    accept_slice_requested = Signal()
    accept_between_requested = Signal()
    accept_all_requested = Signal()
    export_clicked = Signal()
    save_model_requested = Signal()
    open_model_clicked = Signal()
    kept_model_chosen = Signal(object)
    propose_requested = Signal()
    train_model_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        accept = QLabel("Accept")
        accept.setToolTip("Take the prediction over into your labels, and confirm what SAM has outlined.")
        self._accept_buttons = (
            button(
                "Slice",
                "Take this slice over into your labels, and confirm its outlines (U, for use).",
                self.accept_slice_requested.emit,
            ),
            button(
                "Between",
                "Take over all slices between the outermost ones you annotated.",
                self.accept_between_requested.emit,
            ),
            button("All", "Take the prediction of every slice over.", self.accept_all_requested.emit),
        )
        self._export = button(
            "Export…",
            "Write the mask on the grid of the image's file; for an image from DICOM also as a DICOM segmentation.",
            self.export_clicked.emit,
        )
        self._model = MenuButton(
            "Model",
            "Keep what was learnt, or use what was learnt before.",
            {
                _SAVE_MODEL: self.save_model_requested.emit,
                _KEPT_MODELS: None,
                "Open model…": self.open_model_clicked.emit,
                "Propose from finished volumes": self.propose_requested.emit,
                "Train on finished volumes…": self.train_model_requested.emit,
            },
        )
        self._model.about_to_open.connect(self._offer_kept_models)
        self.set_has_model(False)
        self._message = WrappedLabel()
        self._message.hide()
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(accept)
        for one in (*self._accept_buttons, self._export, self._model):
            row.addWidget(tightened(one), 1)
        fill_column(self, row, self._message)

    def set_has_prediction(self, has_prediction: bool) -> None:
        """Offer what needs a prediction."""
        for one in (*self._accept_buttons, self._export):
            one.setEnabled(has_prediction)

    def set_has_model(self, has_model: bool) -> None:
        """Offer to save a model if there is one."""
        self._model.set_offered(_SAVE_MODEL, has_model)

    def set_message(self, text: str) -> None:
        """Say in a sentence what came of it."""
        self._message.setText(text)
        self._message.setVisible(bool(text))

    def take_back(self, text: str) -> None:
        """Show a sentence no more that is no longer true, if it is the one that is shown."""
        if self._message.text() == text:
            self.set_message("")

    def _offer_kept_models(self) -> None:
        """Look which models there are by now; other windows and programs keep some, too."""
        kept = [Entry(one.name, one.card, partial(self.kept_model_chosen.emit, one.path)) for one in kept_models()]
        folder = Entry("Show their folder", "Rename, delete, copy or share models there.", _show_models_folder)
        self._model.fill(_KEPT_MODELS, kept, [folder] if kept else [])


def _show_models_folder() -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(models_folder())))
