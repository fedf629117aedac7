"""Choose image, labels, axis and class; see and mark what is painted."""

from __future__ import annotations

from collections.abc import Sequence
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
    from knowsam.data.annotation import LabelClass

_AXES = ("Axial (z)", "Coronal (y)", "Sagittal (x)")


class AnnotatePanel(QWidget):
    """What to paint, where, and what has been painted; its setters never emit signals.

    Attributes
    ----------
    table : the classes to paint; one that is painted is removed only by `class_removed`, after a question.
    brush : how large the brush is, and whether it stops at edges.
    marks : the state of every slice, how it is marked, and the way to others.
    offer : of what was painted before.
    """

    image_chosen = Signal(str)
    image_file_requested = Signal()
    dicom_requested = Signal()
    project_requested = Signal(object)
    window_chosen = Signal(str)
    labels_chosen = Signal(str)
    new_labels_requested = Signal()
    axis_chosen = Signal(int)
    class_added = Signal()
    class_removed = Signal(int)

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
        self.table = ClassTable()
        self._add_class = button("Add class", "Add another structure to paint.", lambda: self.class_added.emit())
        self.brush = BrushSize()
        self.marks = SliceMarks()
        self.offer = RestoreOffer()
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
            self.table,
            self._add_class,
            self.brush,
            self.marks,
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
        self.table.set_classes(classes, brush_value)

    def set_painted(self, values: frozenset[int]) -> None:
        """Take note which label values occur in the labels; removing such a class is asked about first."""
        self._painted = values

    def set_message(self, text: str) -> None:
        """Show a sentence under the panel; an empty one hides it."""
        self._message.setText(text)
        self._message.setVisible(bool(text))

    def take_back(self, *texts: str) -> None:
        """Show sentences no more that are no longer true, if one of them is shown."""
        if self._message.text() in texts:
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
        painting.addWidget(self.brush, 1)
        # The table grows with each class that is added, below the button, so that it can be clicked again at once.
        parts = (form, self._across, self.offer, painting, self.table, self.marks, self._message)
        fill_column(self, *parts, margins_px=PANEL_MARGINS_PX)

    def _connect(self) -> None:
        self._images.textActivated.connect(self.image_chosen)
        self._labels.textActivated.connect(self.labels_chosen)
        self._axes.activated.connect(self.axis_chosen)
        self._windows.textActivated.connect(self.window_chosen)
        self.table.removal_requested.connect(self._on_removal_requested)

    def _on_project_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Open a folder of images as a project")
        if chosen:
            self.project_requested.emit(Path(chosen))

    def _on_removal_requested(self, value: int) -> None:
        label_class = next(one for one in self._classes if one.value == value)
        if value not in self._painted or self.confirm_removal(label_class):
            self.class_removed.emit(value)
