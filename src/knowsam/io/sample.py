"""The sample data."""

from __future__ import annotations

from pathlib import Path

import knowsam
from knowsam.errors import InputError


def sample_folder() -> Path:
    """Return the folder with ``phantom.nii.gz``, ``phantom_labels.nii.gz`` and the series ``phantom_dicom``.

    Raises
    ------
    InputError
        If this installation came without the sample data.
    """
    package = Path(knowsam.__file__).parent
    installed, checkout = package / "sample_data", package.parents[1] / "sample_data"
    for folder in (installed, checkout):
        if (folder / "phantom.nii.gz").is_file():
            return folder
    raise InputError(
        f"The sample data were expected in {installed} or {checkout}, but are in neither. "
        "Install napari-knowsam again, or run `make sample-data` in its checkout."
    )
