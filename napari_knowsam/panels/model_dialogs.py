"""Ask where to save a model, which one to open, and what becomes of one that was not saved."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_knowsam.panels.export_dialog import confirm_overwrite

_SUFFIX = ".safetensors"
_FILTER = f"KnowSAM models (*{_SUFFIX})"


class Unsaved(Enum):
    """What is to become of a model that was not saved."""

    SAVE = "save"
    DISCARD = "discard"
    CANCEL = "cancel"


def ask_model_target(parent: QWidget | None, suggested: str) -> Path | None:
    """Let the user choose where to save a model; None if they think better of it."""
    name, _ = QFileDialog.getSaveFileName(parent, "Save model", suggested, _FILTER)
    if not name:
        return None
    path = Path(name) if name.endswith(_SUFFIX) else Path(f"{name}{_SUFFIX}")
    # The dialog has asked about the name as typed, not about the one with a suffix.
    return path if path == Path(name) or not path.exists() or confirm_overwrite(parent, path) else None


def ask_model_file(parent: QWidget | None) -> Path | None:
    """Let the user choose the file of a model; None if they think better of it."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open model", "", f"{_FILTER};;All files (*)")
    return Path(name) if name else None


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
