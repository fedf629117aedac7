"""Choose image, labels, axis and class; see and mark what is painted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLabel, QMessageBox, QWidget

from napari_knowsam.panels.brush_size import BrushSize
from napari_knowsam.panels.buttons import button, tightened
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.class_table import ClassTable
from napari_knowsam.panels.column import PANEL_MARGINS_PX, fill_column
from napari_knowsam.panels.help_button import HelpButton
from napari_knowsam.panels.menu_button import MenuButton
from napari_knowsam.panels.restore_offer import RestoreOffer
from napari_knowsam.panels.slice_marks import SliceMarks
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass, SliceState
    from knowsam.document.structure_ends import EndsHere

_AXES = ("Axial (z)", "Coronal (y)", "Sagittal (x)")


class AnnotatePanel(QWidget):
    """What to paint, where, and what has been painted; its setters never emit signals."""

    image_chosen = Signal(str)
    image_file_requested = Signal()
    dicom_requested = Signal()
    project_requested = Signal(object)
    window_chosen = Signal(str)
    labels_chosen = Signal(str)
    new_labels_requested = Signal()
    axis_chosen = Signal(int)
    class_chosen = Signal(int)
    class_added = Signal()
    class_renamed = Signal(int, str)
    class_recolored = Signal(int, object)
    class_removed = Signal(int)
    brush_size_chosen = Signal(float)
    brush_edges_toggled = Signal(bool)
    slice_requested = Signal(int)
    mark_requested = Signal(object)
    end_requested = Signal(object)
    annotated_slice_requested = Signal(int)
    next_slice_requested = Signal()
    restore_requested = Signal()
    offer_declined = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[LabelClass, ...] = ()
        self._painted: frozenset[int] = frozenset()
        self._images = ChoiceBox("The image to segment: a volume opened in napari.")
        self._images.setPlaceholderText("Open an image first")
        self._labels = ChoiceBox("The layer that holds what you paint; it must lie on the image voxel by voxel.")
        self._labels.setPlaceholderText("None yet")
        self._new_labels = button(
            "New", "Make an empty labels layer for this image.", lambda: self.new_labels_requested.emit()
        )
        self._axes = ChoiceBox("The plane you paint in. All slices of one training lie in the same plane.")
        self._axes.addItems(_AXES)
        self._windows = ChoiceBox("The window in which the CT is shown.")
        self._windows.setPlaceholderText("Own")
        self._windows_label = QLabel("Contrast")
        self._open = MenuButton(
            "Open",
            "Open an image, a DICOM series, or a folder of images to segment one after the other.",
            {
                "Image file…": self.image_file_requested.emit,
                "DICOM folder…": self.dicom_requested.emit,
                "Project folder…": self._on_project_clicked,
            },
        )
        self.set_windows((), None)
        self._seen_axis: int | None = 0
        self._across = WrappedLabel()
        self._across.hide()
        self._table = ClassTable()
        self._add_class = button("Add class", "Add another structure to paint.", lambda: self.class_added.emit())
        self._brush = BrushSize()
        self._marks = SliceMarks()
        self._offer = RestoreOffer()
        self._message = QLabel()
        self._message.setWordWrap(True)
        self._message.hide()
        self._arrange()
        self._connect()

    def set_images(self, names: Sequence[str], current: str | None) -> None:
        """Offer the images; without a current one there is nothing to paint on."""
        self._images.show_names(list(names), current)
        for widget in (
            self._labels,
            self._new_labels,
            self._axes,
            self._table,
            self._add_class,
            self._brush,
            self._marks,
        ):
            widget.setEnabled(current is not None)

    def set_labels(self, names: Sequence[str], current: str | None) -> None:
        """Offer the labels layers that fit the image."""
        self._labels.show_names(list(names), current)

    def set_axis(self, axis: int) -> None:
        """Show the working axis that the slices are stacked along: 0 axial, 1 coronal, 2 sagittal."""
        self._axes.setCurrentIndex(axis)
        self._show_across()

    def set_windows(self, names: Sequence[str], current: str | None) -> None:
        """Offer windows of CT and show the current one; None is one that has no name. Without any, nothing is shown."""
        self._windows.show_names(list(names), current)
        self._windows.setVisible(bool(names))
        self._windows_label.setVisible(bool(names))

    def set_seen_axis(self, axis: int | None) -> None:
        """Show that strokes go through the slices if another axis than theirs is across the screen; None in 3D."""
        self._seen_axis = axis
        self._show_across()

    def set_classes(self, classes: tuple[LabelClass, ...], brush_value: int, painted: frozenset[int]) -> None:
        """Show the classes.

        Parameters
        ----------
        classes : background first.
        brush_value : the label value that paints known background.
        painted : label values that occur in the labels; removing such a class is asked about first.
        """
        self._classes, self._painted = classes, painted
        self._table.set_classes(classes, brush_value)

    def set_painted(self, values: frozenset[int]) -> None:
        """Take note which label values occur in the labels; removing such a class is asked about first."""
        self._painted = values

    def select_class(self, value: int) -> None:
        """Highlight the class that is being painted, by its label value."""
        self._table.select_class(value)

    def set_brush_size(self, diameter_mm: float, pixel_mm: float) -> None:
        """Show how large the brush is, and the side of a pixel, by which that changes."""
        self._brush.set_size(diameter_mm, pixel_mm)

    def set_slices(
        self,
        states: Sequence[SliceState],
        corrected: Collection[int],
        unconfirmed: Collection[int],
        marks: Mapping[int, SliceState],
    ) -> None:
        """Show the state of every slice, see `SliceStrip.set_slices`, and which states are marks a person has set."""
        self._marks.set_slices(states, corrected, unconfirmed, marks)

    def set_wrong_shares(self, shares: Sequence[float]) -> None:
        """Show of every slice how much is probably wrong, as a share of what is shown there."""
        self._marks.set_wrong_shares(shares)

    def set_current_slice(self, index: int) -> None:
        """Show which slice is on screen."""
        self._marks.set_current_slice(index)

    def set_ends(self, name: str, here: EndsHere) -> None:
        """Show where the structure that is painted ends, as far as the current slice tells; no name hides it."""
        self._marks.set_ends(name, here)

    def set_offer(self, sentence: str) -> None:
        """Offer to restore what was painted before; an empty sentence takes the offer back."""
        self._offer.set_sentence(sentence)

    def set_message(self, text: str) -> None:
        """Show a sentence under the panel; an empty one hides it."""
        self._message.setText(text)
        self._message.setVisible(bool(text))

    def take_back(self, text: str) -> None:
        """Show a sentence no more that is no longer true, if it is the one that is shown."""
        if self._message.text() == text:
            self.set_message("")

    def confirm_removal(self, label_class: LabelClass) -> bool:
        """Ask whether a class that is painted may go."""
        answer = QMessageBox.question(
            self,
            f"Remove {label_class.name}?",
            f"“{label_class.name}” is painted in this volume. What is painted of it will be erased. Remove it?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _show_across(self) -> None:
        plane, seen = self._axes.currentIndex(), self._seen_axis
        what = "The whole volume is" if seen is None else f"{_AXES[seen].split()[0]} slices are"
        self._across.setText(
            f"{what} on the screen: a stroke only partly paints each {_AXES[plane].split()[0].lower()} slice it meets. "
            "Choose the plane to turn back."
        )
        self._across.setVisible(seen != plane)

    def _arrange(self) -> None:
        labels_row = QHBoxLayout()
        labels_row.addWidget(self._labels, 1)
        labels_row.addWidget(self._new_labels)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.setVerticalSpacing(4)
        image_row = QHBoxLayout()
        image_row.addWidget(self._images, 1)
        image_row.addWidget(tightened(self._open))
        image_row.addWidget(tightened(HelpButton()))
        plane_row = QHBoxLayout()
        for box in (self._axes, self._windows):
            box.setMinimumContentsLength(4)
        plane_row.addWidget(self._axes, 1)
        plane_row.addWidget(self._windows_label)
        plane_row.addWidget(self._windows, 1)
        form.addRow("Image", image_row)
        form.addRow("Labels", labels_row)
        form.addRow("Plane", plane_row)
        painting = QHBoxLayout()
        painting.setSpacing(12)
        painting.addWidget(self._add_class)
        painting.addWidget(self._brush, 1)
        parts = (form, self._across, self._offer, self._table, painting, self._marks, self._message)
        fill_column(self, *parts, margins_px=PANEL_MARGINS_PX)

    def _connect(self) -> None:
        self._images.textActivated.connect(self.image_chosen)
        self._labels.textActivated.connect(self.labels_chosen)
        self._axes.activated.connect(self.axis_chosen)
        self._windows.textActivated.connect(self.window_chosen)
        self._table.class_chosen.connect(self.class_chosen)
        self._table.class_renamed.connect(self.class_renamed)
        self._table.class_recolored.connect(self.class_recolored)
        self._table.removal_requested.connect(self._on_removal_requested)
        self._brush.size_chosen.connect(self.brush_size_chosen)
        self._brush.edges_toggled.connect(self.brush_edges_toggled)
        self._offer.accepted.connect(self.restore_requested)
        self._offer.declined.connect(self.offer_declined)
        self._marks.slice_requested.connect(self.slice_requested)
        self._marks.mark_requested.connect(self.mark_requested)
        self._marks.end_requested.connect(self.end_requested)
        self._marks.annotated_slice_requested.connect(self.annotated_slice_requested)
        self._marks.next_slice_requested.connect(self.next_slice_requested)

    def _on_project_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Open a folder of images as a project")
        if chosen:
            self.project_requested.emit(Path(chosen))

    def _on_removal_requested(self, value: int) -> None:
        label_class = next(one for one in self._classes if one.value == value)
        if value not in self._painted or self.confirm_removal(label_class):
            self.class_removed.emit(value)
