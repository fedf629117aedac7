"""See the segmentation, take steps back, measure it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QWidget

from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.column import PANEL_MARGINS_PX, fill_column
from napari_knowsam.panels.export_dialog import ask_mask_path
from napari_knowsam.panels.model_dialogs import ask_model_file
from napari_knowsam.panels.opacity_slider import OpacitySlider
from napari_knowsam.panels.result_bar import ResultBar
from napari_knowsam.panels.volume_table import VolumeTable

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.measurements import Measurement


class ResultPanel(QWidget):
    """What the networks predict, and what to do with it; its setters never emit signals.

    Attributes
    ----------
    bar : the buttons to accept, to export and for models, for a place that does not scroll.
    """

    live_toggled = Signal(bool)
    opacity_chosen = Signal(float)
    uncertainty_toggled = Signal(bool)
    undo_requested = Signal()
    redo_requested = Signal()
    export_requested = Signal(object)
    open_model_requested = Signal(object)
    volumes_looked_at = Signal()

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
        self._undo = button("Undo", "", self.undo_requested.emit)
        self._redo = button("Redo", "", self.redo_requested.emit)
        self._volumes = VolumeTable()
        self.bar = ResultBar(self)
        self._arrange()
        self._connect()
        self.set_live(True)
        self.set_history(None, None)
        self.set_has_prediction(False)

    def set_has_prediction(self, has_prediction: bool) -> None:
        """Offer what needs a prediction; undo and redo depend on the history alone."""
        for widget in (self._live, self._uncertainty, self._opacity, self._volumes):
            widget.setEnabled(has_prediction)
        self.bar.set_has_prediction(has_prediction)

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

    def set_measurements(self, measurements: Sequence[Measurement]) -> None:
        """Show beside the volumes what else was measured."""
        self._volumes.set_measurements(measurements)

    @property
    def are_volumes_looked_at(self) -> bool:
        """Whether the mouse is over the volumes."""
        return self._volumes.underMouse()

    def set_history(self, undo: str | None, redo: str | None) -> None:
        """Name what can be undone and redone; None if there is nothing."""
        self._show_history(self._undo, "Undo", "Ctrl+Z", undo)
        self._show_history(self._redo, "Redo", "Ctrl+Shift+Z", redo)

    def set_message(self, text: str) -> None:
        """Say in a sentence what came of exporting."""
        self.bar.set_message(text)

    def set_suggested_name(self, name: str, *, dicom: bool = False) -> None:
        """Suggest a file name, or a path, for the export, and offer DICOM where the image has a series to refer to."""
        self._suggested_name, self._offers_dicom = name, dicom

    def ask_export_path(self) -> Path | None:
        """Let the user choose the file to write; None if they think better of it."""
        return ask_mask_path(self, self._suggested_name, dicom=self._offers_dicom)

    def _arrange(self) -> None:
        switches = QHBoxLayout()
        switches.addWidget(self._live)
        switches.addWidget(self._uncertainty)
        switches.addStretch(1)
        looks = QHBoxLayout()
        looks.addWidget(self._opacity, 1)
        looks.addWidget(self._undo)
        looks.addWidget(self._redo)
        fill_column(self, switches, looks, self._volumes, margins_px=PANEL_MARGINS_PX)

    def _connect(self) -> None:
        self._live.toggled.connect(self.live_toggled)
        self._uncertainty.toggled.connect(self.uncertainty_toggled)
        self._opacity.opacity_chosen.connect(self.opacity_chosen)
        self._volumes.looked_at.connect(self.volumes_looked_at)
        self.bar.export_clicked.connect(self._on_export_clicked)
        self.bar.open_model_clicked.connect(self._on_open_model_clicked)
        self.bar.kept_model_chosen.connect(self.open_model_requested)

    @staticmethod
    def _show_history(history_button: QPushButton, verb: str, key: str, name: str | None) -> None:
        history_button.setEnabled(name is not None)
        history_button.setToolTip(f"Nothing to {verb.lower()} ({key})" if name is None else f"{verb} {name} ({key})")

    def _on_export_clicked(self) -> None:
        path = self.ask_export_path()
        if path is not None:
            self.export_requested.emit(path)

    def _on_open_model_clicked(self) -> None:
        path = ask_model_file(self)
        if path is not None:
            self.open_model_requested.emit(path)


def _check_box(text: str, tooltip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tooltip)
    box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return box
