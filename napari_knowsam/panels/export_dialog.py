"""Ask where to write the mask."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from knowsam.io.nifti import with_nifti_suffix


def ask_nifti_path(parent: QWidget, suggested_name: str) -> Path | None:
    """Let the user choose a NIfTI file to write; None if they think better of it."""
    name, _ = QFileDialog.getSaveFileName(parent, "Export mask as NIfTI", suggested_name, "NIfTI (*.nii.gz *.nii)")
    if not name:
        return None
    path = with_nifti_suffix(Path(name))
    # The dialog has asked about the name as typed, not about the one with a suffix.
    if path != Path(name) and path.exists() and not confirm_overwrite(parent, path):
        return None
    return path


def confirm_overwrite(parent: QWidget, path: Path) -> bool:
    """Ask whether an existing file may be replaced."""
    answer = QMessageBox.question(parent, "Replace the file?", f"{path.name} exists already. Replace it?")
    return bool(answer == QMessageBox.StandardButton.Yes)
