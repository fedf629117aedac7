"""See the segmentation, accept it, measure it, export it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.export_dialog import ask_mask_path
from napari_knowsam.panels.opacity_slider import OpacitySlider
from napari_knowsam.panels.volume_table import VolumeTable

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass


class ResultPanel(QWidget):
    """What the networks predict, and what to do with it; its setters never emit signals."""

    live_toggled = Signal(bool)
    opacity_chosen = Signal(float)
    uncertainty_toggled = Signal(bool)
    accept_slice_requested = Signal()
    accept_between_requested = Signal()
    accept_all_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()
    export_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._suggested_name = "segmentation.nii.gz"
        self._offers_dicom = False
        self._live = _check_box(
            "Live segmentation", "Show the prediction; it is kept up to date while training, shown or not."
        )
        self._uncertainty = _check_box(
            "Uncertainty", "Show how probable it is that the label of a pixel is wrong, in percent."
        )
        self._opacity = OpacitySlider()
        self._accept_buttons = self._make_accept_buttons()
        self._undo = button("Undo", "", self.undo_requested.emit)
        self._redo = button("Redo", "", self.redo_requested.emit)
        self._volumes = VolumeTable()
        self._export = button(
            "Export…",
            "Write the mask on the grid of the image's file; for an image from DICOM also as a DICOM segmentation.",
            self._on_export_clicked,
        )
        self._message = QLabel()
        self._message.setWordWrap(True)
        self._arrange()
        self._connect()
        self.set_live(True)
        self.set_history(None, None)
        self.set_has_prediction(False)

    def set_has_prediction(self, has_prediction: bool) -> None:
        """Offer what needs a prediction; undo and redo depend on the history alone."""
        for widget in (
            self._live,
            self._uncertainty,
            self._opacity,
            *self._accept_buttons,
            self._volumes,
            self._export,
        ):
            widget.setEnabled(has_prediction)

    def set_live(self, live: bool) -> None:
        """Show whether the prediction is visible."""
        with QSignalBlocker(self._live):
            self._live.setChecked(live)

    def set_opacity(self, opacity: float) -> None:
        """Show the opacity of the prediction, in [0, 1]."""
        self._opacity.set_opacity(opacity)

    def set_volumes(
        self, rows: Sequence[tuple[LabelClass, float]], dice: Mapping[int, float | None], open_ended: Collection[int]
    ) -> None:
        """Show the volume of each class in ml, and its probable Dice, see `VolumeTable.set_volumes`."""
        self._volumes.set_volumes(rows, dice, open_ended)

    def set_history(self, undo: str | None, redo: str | None) -> None:
        """Name what can be undone and redone; None if there is nothing."""
        self._show_history(self._undo, "Undo", "Ctrl+Z", undo)
        self._show_history(self._redo, "Redo", "Ctrl+Shift+Z", redo)

    def set_message(self, text: str) -> None:
        """Show a sentence under the panel."""
        self._message.setText(text)

    def set_suggested_name(self, name: str, *, dicom: bool = False) -> None:
        """Suggest a file name, or a path, for the export, and offer a DICOM segmentation where there can be one."""
        self._suggested_name, self._offers_dicom = name, dicom

    def ask_export_path(self) -> Path | None:
        """Let the user choose the file to write; None if they think better of it."""
        return ask_mask_path(self, self._suggested_name, dicom=self._offers_dicom)

    def _make_accept_buttons(self) -> tuple[QPushButton, ...]:
        return (
            button(
                "This slice",
                "Take this slice over into your labels (U, for use).",
                self.accept_slice_requested.emit,
            ),
            button(
                "Between",
                "Take over all slices between the outermost ones you annotated.",
                self.accept_between_requested.emit,
            ),
            button("All slices", "Take the prediction of every slice over.", self.accept_all_requested.emit),
        )

    def _arrange(self) -> None:
        switches = QHBoxLayout()
        switches.addWidget(self._live)
        switches.addWidget(self._uncertainty)
        switches.addStretch(1)
        grid = QGridLayout()
        grid.addWidget(QLabel("Accept"), 0, 0)
        for column, accept in enumerate(self._accept_buttons, 1):
            grid.addWidget(accept, 0, column)
            grid.setColumnStretch(column, 1)
        history = QHBoxLayout()
        history.addWidget(self._undo, 1)
        history.addWidget(self._redo, 1)
        column_box = QVBoxLayout(self)
        column_box.setContentsMargins(4, 4, 4, 4)
        column_box.addLayout(switches)
        column_box.addWidget(self._opacity)
        column_box.addLayout(grid)
        column_box.addLayout(history)
        for widget in (self._volumes, self._export, self._message):
            column_box.addWidget(widget)

    def _connect(self) -> None:
        self._live.toggled.connect(self.live_toggled)
        self._uncertainty.toggled.connect(self.uncertainty_toggled)
        self._opacity.opacity_chosen.connect(self.opacity_chosen)

    @staticmethod
    def _show_history(history_button: QPushButton, verb: str, key: str, name: str | None) -> None:
        history_button.setEnabled(name is not None)
        history_button.setToolTip(f"Nothing to {verb.lower()} ({key})" if name is None else f"{verb} {name} ({key})")

    def _on_export_clicked(self) -> None:
        path = self.ask_export_path()
        if path is not None:
            self.export_requested.emit(path)


def _check_box(text: str, tooltip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tooltip)
    box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return box
