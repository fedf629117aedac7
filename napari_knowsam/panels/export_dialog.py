"""Ask where to write the mask, and as what kind of file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

_FORMATS: dict[str, tuple[str, ...]] = {
    "NIfTI (*.nii.gz *.nii)": (".nii.gz", ".nii"),
    "3D Slicer segmentation, NRRD (*.seg.nrrd *.nrrd)": (".seg.nrrd", ".nrrd"),
    "MetaImage (*.mha)": (".mha",),
    "Surface of each class, STL (*.stl)": (".stl",),
    "Surfaces of all classes, OBJ (*.obj)": (".obj",),
    "Report with pictures and measurements (*.html)": (".html",),
}
_DICOM_FORMATS: dict[str, tuple[str, ...]] = {
    "DICOM segmentation (*.dcm)": (".dcm",),
    "DICOM structure set for radiotherapy (*.rtstruct.dcm)": (".rtstruct.dcm",),
}
"""What the dialog offers, and the endings of a name; the first is given to a name without any."""


def ask_mask_path(parent: QWidget | None, suggested_name: str, *, dicom: bool = False) -> Path | None:
    """Let the user choose a file to write; None if they think better of it.

    Parameters
    ----------
    dicom : offer what refers to a DICOM series as well.
    """
    formats = _FORMATS | (_DICOM_FORMATS if dicom else {})
    name, chosen = QFileDialog.getSaveFileName(parent, "Export mask", suggested_name, ";;".join(formats))
    if not name:
        return None
    path = _with_suffix(Path(name), formats, chosen)
    # The dialog has asked about the name as typed, not about the one with a suffix.
    if path != Path(name) and path.exists() and not confirm_overwrite(parent, path):
        return None
    return path


def confirm_overwrite(parent: QWidget | None, path: Path) -> bool:
    """Ask whether an existing file may be replaced."""
    answer = QMessageBox.question(parent, "Replace the file?", f"{path.name} exists already. Replace it?")
    return bool(answer == QMessageBox.StandardButton.Yes)


def _with_suffix(path: Path, formats: dict[str, tuple[str, ...]], chosen: str) -> Path:
    """Return the path with an ending of the chosen format; one that was typed counts if the first was left chosen."""
    first = next(iter(formats))
    wanted = formats.get(chosen, formats[first])
    known = (e for endings in formats.values() for e in endings if path.name.lower().endswith(e))
    ending = max(known, key=len, default="")
    if ending in wanted:
        return path
    if ending and formats.get(chosen) in (None, formats[first]):
        return path
    return path.with_name(path.name[: len(path.name) - len(ending)] + wanted[0])
