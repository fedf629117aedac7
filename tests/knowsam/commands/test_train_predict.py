from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

TRAIN = "train {f}/image.nii.gz --labels {f}/labels.nii.gz --unlabelled {f}/other.nii.gz -o {f}/model {quick}"


@pytest.fixture
def two_images(folder: Path) -> Path:
    shutil.copy(folder / "image.nii.gz", folder / "other.nii.gz")
    return folder


def test_a_model_trained_on_several_volumes_predicts_a_mask_for_each_image(
    two_images: Path, knowsam: Callable[[str], int]
) -> None:
    assert knowsam(TRAIN + " --report {f}/report.json") == 0
    assert knowsam("predict {f}/model {f}/image.nii.gz {f}/other.nii.gz -o {f}/new/masks --device cpu") == 0
    masks = sorted((two_images / "new" / "masks").iterdir())
    assert [path.name for path in masks] == ["image_mask.nii.gz", "other_mask.nii.gz"]
    for path in masks:
        mask = nib.load(path)
        assert mask.shape == nib.load(two_images / "image.nii.gz").shape
        assert set(np.unique(mask.dataobj)) <= {0, 2, 7}


def test_segment_saves_a_model_that_predict_takes(two_images: Path, knowsam: Callable[[str], int]) -> None:
    segment = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --save-model {f}/model {quick}"
    assert knowsam(segment) == 0
    assert knowsam("predict {f}/model {f}/other.nii.gz -o {f} --device cpu") == 0
    assert (two_images / "other_mask.nii.gz").is_file()


def test_masks_that_are_there_are_kept_unless_overwriting_is_allowed(
    two_images: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(TRAIN) == 0
    kept = two_images / "other_mask.nii.gz"
    kept.write_bytes(b"kept")
    predict = "predict {f}/model {f}/image.nii.gz {f}/other.nii.gz -o {f} --device cpu"
    assert knowsam(predict) == 1
    assert "other_mask.nii.gz exists already and is kept" in capsys.readouterr().err
    assert kept.read_bytes() == b"kept"
    assert not (two_images / "image_mask.nii.gz").exists()
    assert knowsam(predict + " --overwrite") == 0
    assert kept.read_bytes() != b"kept"


def test_a_folder_given_as_a_dot_lends_the_mask_its_name(
    folder: Path, series: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert knowsam(TRAIN.replace("--unlabelled {f}/other.nii.gz", "")) == 0
    monkeypatch.chdir(series)
    assert knowsam("predict {f}/model . -o {f} --device cpu") == 0
    assert (folder / "Doe_Jane_mask.nii.gz").is_file()
