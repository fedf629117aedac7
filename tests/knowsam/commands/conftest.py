"""A folder with a small image, its labels, and everything that can be wrong with either."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from knowsam.cli import main
from knowsam.io.sample import sample_folder

Words = Callable[..., list[str]]

SHAPE = (24, 20, 8)
AFFINE = np.array([[-1.0, 0.0, 0.0, 11.0], [0.0, 1.5, 0.0, -4.0], [0.0, 0.0, 3.0, 7.5], [0.0, 0.0, 0.0, 1.0]])


QUICK = "--steps 1 --teacher none --width 4 --max-side-px 32 --precision float32 --device cpu"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds image.nii.gz, with two bright boxes, and labels.nii.gz: 2 and 7 in them, painted in slices 2, 4 and 5."""
    write_sample(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that has learnt from that image in no time."""
    folder = tmp_path_factory.mktemp("trained")
    write_sample(folder)
    words = f"train {folder}/image.nii.gz --labels {folder}/labels.nii.gz -o {folder}/model {QUICK}"
    assert main(words.split()) == 0
    return folder / "model"


@pytest.fixture
def model(folder: Path, trained_once: Path) -> Path:
    """The same in the folder."""
    return Path(shutil.copytree(trained_once, folder / "model"))


def write_sample(folder: Path) -> None:
    """Write the image, its labels, and truth.nii.gz, in which all slices are painted."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[4:12, 5:15, 1:7], truth[14:20, 5:15, 1:7] = 2, 7
    noise = np.random.default_rng(0).normal(scale=5, size=SHAPE)
    image = nib.Nifti1Image((100 + 20 * truth + noise).astype(np.int16), AFFINE)
    image.set_sform(AFFINE, code=4)
    image.set_qform(AFFINE, code=1)
    image.to_filename(folder / "image.nii.gz")
    painted = np.zeros_like(truth)
    painted[..., [2, 4, 5]] = truth[..., [2, 4, 5]]
    nib.Nifti1Image(painted, AFFINE).to_filename(folder / "labels.nii.gz")
    nib.Nifti1Image(truth, AFFINE).to_filename(folder / "truth.nii.gz")


@pytest.fixture
def series(folder: Path) -> Path:
    """Doe_Jane, a folder with four neighbouring slices of the DICOM sample under a patient's name."""
    dicom = folder / "Doe_Jane"
    dicom.mkdir()
    slices = [pydicom.dcmread(path) for path in (sample_folder() / "phantom_dicom").iterdir()]
    slices.sort(key=lambda found: float(found.ImagePositionPatient[2]))
    for number, found in enumerate(slices[:4]):
        found.PatientName, found.PatientID = "Doe^Jane", "4711-secret"
        found.save_as(dicom / f"{number}.dcm")
    return dicom


@pytest.fixture
def words(folder: Path) -> Words:
    """Make the words of a command line from a text in which {f} is the folder and {quick} is a training in no time."""

    def make(text: str) -> list[str]:
        return [word.format(f=folder) for word in text.replace("{quick}", QUICK).split()]

    return make


@pytest.fixture
def knowsam(words: Words) -> Callable[[str], int]:
    """Run such a command line and return its exit code."""

    def run(text: str) -> int:
        try:
            return main(words(text))
        except SystemExit as end:
            return int(end.code or 0)

    return run
