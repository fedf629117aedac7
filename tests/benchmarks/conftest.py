"""Benchmarks are scripts beside each other, which import one another by their names."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# Behind all packages, none of which they are to take the place of.
sys.path.append(str(BENCHMARKS))


@pytest.fixture
def hearts(tmp_path: Path) -> Path:
    """Five patients in the folders of ACDC, with two frames each: three structures, one round another or beside it."""
    folder = tmp_path / "hearts"
    for number in range(1, 6):
        patient = folder / f"patient{number:03}"
        patient.mkdir(parents=True)
        for frame in (1, 12):
            _write_heart(patient / f"{patient.name}_frame{frame:02}", seed=100 * number + frame)
        (patient / "Info.cfg").write_text("ED: 1\nES: 12\n")
    return folder


def _write_heart(path: Path, *, seed: int) -> None:
    random = np.random.default_rng(seed)
    i, j = np.indices((40, 36)) - np.array([22, 18])[:, None, None]
    distance = np.hypot(i, j)[..., None] + np.linspace(0, 2, 5) + random.uniform(-1, 1)
    labels = np.select([distance < 6, distance < 9, (distance < 14) & (i[..., None] < -4)], [3, 2, 1], 0)
    grey = np.array([40, 160, 80, 220])[labels] + random.normal(scale=15, size=labels.shape)
    affine = np.diag([1.5, 1.5, 10.0, 1.0])
    nib.Nifti1Image(grey.astype(np.int16), affine).to_filename(f"{path}.nii.gz")
    nib.Nifti1Image(labels.astype(np.uint8), affine).to_filename(f"{path}_gt.nii.gz")
