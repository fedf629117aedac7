"""Ask where to save a model and what it is for, which one to open, and what becomes of one that was not saved."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from knowsam.io.image_file import file_name
from knowsam.io.kept_models import MODEL_SUFFIX, models_folder, place_of_model
from napari_knowsam.panels.export_dialog import confirm_overwrite
from napari_knowsam.panels.wrapped_label import WrappedLabel

_FILTER = f"KnowSAM models (*{MODEL_SUFFIX})"
_LINES_ABOUT = 3


class ModelTarget(NamedTuple):
    """Where a model is to be saved, and what a person says of it."""

    path: Path
    about: str


class Unsaved(Enum):
    """What is to become of a model that was not saved."""

    SAVE = "save"
    DISCARD = "discard"
    CANCEL = "cancel"


def ask_model_target(parent: QWidget | None, suggested: ModelTarget, elsewhere: Path) -> ModelTarget | None:
    """Let the user name a model and say what it is for; None if the dialog is cancelled.

    Parameters
    ----------
    suggested : the name of its file, wherever that lies, and what was said of it before.
    elsewhere : file to suggest to somebody who does not want it among the kept models.
    """
    dialog = SaveModelDialog(suggested, elsewhere, parent)
    return dialog.target if dialog.exec() else None


def ask_model_to_train(
    parent: QWidget | None, suggested: ModelTarget, question: str
) -> tuple[ModelTarget, bool] | None:
    """Let the user name a model that is to be trained, and answer a question; None if the dialog is cancelled."""
    dialog = SaveModelDialog(suggested, Path(suggested.path.name), parent, question)
    return (dialog.target, dialog.is_agreed) if dialog.exec() and dialog.target is not None else None


class SaveModelDialog(QDialog):
    """Name and description of a model; it is saved among the kept ones, or in a file that is chosen.

    Parameters
    ----------
    elsewhere : file to suggest to somebody who does not want it among the kept models.
    question : something else to agree to where the model is to be trained first; none by default.

    Attributes
    ----------
    target : what was chosen; None before.
    """

    def __init__(
        self, suggested: ModelTarget, elsewhere: Path, parent: QWidget | None = None, question: str = ""
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Train a model" if question else "Save model")
        self.target: ModelTarget | None = None
        self._elsewhere = elsewhere
        self._name = QLineEdit(suggested.path.stem)
        self._about = QPlainTextEdit(suggested.about)
        self._about.setPlaceholderText("Optional: the structure, the kind of image, the scanner ...")
        self._about.setTabChangesFocus(True)
        # napari draws none.
        self._about.setStyleSheet("QPlainTextEdit { border: 1px solid palette(mid); }")
        self._about.setFixedHeight((_LINES_ABOUT + 1) * self._about.fontMetrics().lineSpacing())
        rows = QFormLayout()
        rows.addRow("Name", self._name)
        rows.addRow("What it is for", self._about)
        self._agreed = QCheckBox(question)
        self._agreed.setVisible(bool(question))
        column = QVBoxLayout(self)
        column.addLayout(rows)
        column.addWidget(self._agreed)
        column.addWidget(
            WrappedLabel(
                f"It is kept in {models_folder()}, and found again under Model > Kept models. The file holds nothing "
                "of the image; do not name a patient in it either."
            )
        )
        column.addWidget(self._buttons())
        self._name.selectAll()

    @property
    def is_agreed(self) -> bool:
        """Whether the question was answered with yes."""
        return self._agreed.isChecked()

    def _buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel, parent=self)
        self._save = buttons.addButton(
            "Train" if self._agreed.text() else "Save", QDialogButtonBox.ButtonRole.AcceptRole
        )
        self._save.setDefault(True)
        self._save_elsewhere = buttons.addButton("Save elsewhere…", QDialogButtonBox.ButtonRole.ActionRole)
        self._save.clicked.connect(self._on_save)
        self._save_elsewhere.clicked.connect(self._on_save_elsewhere)
        buttons.rejected.connect(self.reject)
        self._name.textChanged.connect(lambda text: self._save.setEnabled(bool(text.strip())))
        return buttons

    def _on_save(self) -> None:
        path = place_of_model(file_name(self._name.text().strip()))
        if not path.exists() or confirm_overwrite(self, path):
            self._choose(path)

    def _on_save_elsewhere(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save model", str(self._elsewhere), _FILTER)
        if not name:
            return
        path = Path(name) if name.endswith(MODEL_SUFFIX) else Path(f"{name}{MODEL_SUFFIX}")
        # The dialog has asked about the name as typed, not about the one with a suffix.
        if path == Path(name) or not path.exists() or confirm_overwrite(self, path):
            self._choose(path)

    def _choose(self, path: Path) -> None:
        self.target = ModelTarget(path, self._about.toPlainText().strip())
        self.accept()


def ask_model_file(parent: QWidget | None) -> Path | None:
    """Let the user choose the file of a model; None if the dialog is cancelled."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open model", "", f"{_FILTER};;All files (*)")
    return Path(name) if name else None


def ask_folders(parent: QWidget | None) -> tuple[Path, Path] | None:
    """Let the user choose a folder of images and one for their masks; None if the dialog is cancelled."""
    images = QFileDialog.getExistingDirectory(parent, "Folder of the images")
    if not images:
        return None
    masks = QFileDialog.getExistingDirectory(parent, "Folder for the masks", images)
    return (Path(images), Path(masks)) if masks else None


def ask_unsaved(parent: QWidget | None, volumes: Sequence[str]) -> Unsaved:
    """Ask what is to become of the models of some volumes, which were not saved."""
    box = QMessageBox(parent)
    box.setWindowTitle("Save the model?")
    box.setIcon(QMessageBox.Icon.Question)
    models, were = ("models", "were") if len(volumes) > 1 else ("model", "was")
    box.setText(f"The {models} trained on {' and '.join(volumes)} {were} not saved and would be lost.")
    box.setInformativeText("What you painted is kept, whatever you choose.")
    save = box.addButton("Save the model…", QMessageBox.ButtonRole.AcceptRole)
    discard = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(save)
    box.exec()
    return {save: Unsaved.SAVE, discard: Unsaved.DISCARD}.get(box.clickedButton(), Unsaved.CANCEL)
