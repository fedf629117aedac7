"""One of several images in a file or folder, picked on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from knowsam.io.sample import sample_folder


@pytest.fixture
def several(folder: Path) -> Path:
    """Beside the other files, moving.nii.gz with two frames and study/ with two series, of 4 and of 3 slices."""
    image = nib.load(folder / "image.nii.gz")
    voxels = np.asarray(image.dataobj)
    nib.Nifti1Image(np.stack([voxels[::-1], voxels], axis=-1), image.affine).to_filename(folder / "moving.nii.gz")
    slices = [pydicom.dcmread(path) for path in (sample_folder() / "phantom_dicom").iterdir()]
    slices.sort(key=lambda found: float(found.ImagePositionPatient[2]))
    (folder / "study").mkdir()
    for number, dataset in enumerate(slices[:7]):
        first = number < 4
        dataset.SeriesInstanceUID, dataset.SeriesNumber = ("1.2.3", 1) if first else ("1.2.4", 2)
        dataset.SeriesDescription = "T1 axial" if first else "T2 axial"
        dataset.save_as(folder / "study" / f"{number}.dcm")
    return folder


def test_info_lists_several_images_and_describes_the_one_that_is_picked(
    several: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("info {f}/study") == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "2 images; --pick one of them by its number in brackets or by its words:",
        "[1] T1 axial (series 1), 4 slices of 80 x 96, 6 mm apart",
        "[2] T2 axial (series 2), 3 slices of 80 x 96, 6 mm apart",
    ]
    for pick in ("2", "T2"):
        assert knowsam("info {f}/study --pick " + pick) == 0
        assert capsys.readouterr().out.splitlines()[3].split()[:2] == ["2", "3"]


def test_without_a_pick_several_images_are_refused_with_their_list(
    several: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("segment {f}/moving.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz {quick}") == 1
    assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()] == [
        "knowsam segment: There are 2 images:",
        "[1] frame 1 of 2",
        "[2] frame 2 of 2",
        "One is needed. Pick it with --pick on the command line: by the number in brackets in front of it, or by what "
        "follows it or a part of that.",
    ]


def test_every_command_takes_the_image_that_is_picked(several: Path, knowsam: Callable[[str], int]) -> None:
    segment = "segment {f}/IMAGE --labels {f}/labels.nii.gz -o {f}/OUT.nii.gz {quick}"
    assert knowsam(segment.replace("IMAGE", "image.nii.gz").replace("OUT", "expected")) == 0
    assert knowsam(segment.replace("IMAGE", "moving.nii.gz").replace("OUT", "picked") + " --pick 2") == 0
    expected, picked = (np.asarray(nib.load(several / f"{name}.nii.gz").dataobj) for name in ("expected", "picked"))
    assert np.array_equal(expected, picked)

    shutil.copy(several / "moving.nii.gz", several / "other.nii.gz")
    train = "train {f}/moving.nii.gz --labels {f}/labels.nii.gz --unlabelled {f}/other.nii.gz -o {f}/model {quick}"
    assert knowsam(train) == 1
    assert knowsam(train + " --pick 2") == 0
    assert knowsam("predict {f}/model {f}/moving.nii.gz -o {f}/masks --device cpu") == 1
    assert knowsam("predict {f}/model {f}/moving.nii.gz -o {f}/masks --device cpu --pick 2") == 0
