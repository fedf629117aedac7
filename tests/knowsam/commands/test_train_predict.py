from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import nibabel as nib
import numpy as np
import pytest

from knowsam import jobs
from knowsam.data.annotation import LabelClass
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels, write_labels
from knowsam.training.trained_model import load_model

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


def test_masks_that_call_one_value_by_different_names_are_refused_before_training(
    two_images: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(two_images / "image.nii.gz", two_images / "third.nii.gz")
    named = (("image", "liver", "spleen"), ("third", "class 2", "class 7"), ("other", "spleen", "Liver"))
    for name, two, seven in named:
        volume, labels = read_image(two_images / f"{name}.nii.gz"), read_labels(two_images / "labels.nii.gz")
        classes = [LabelClass(2, two, (1, 2, 3)), LabelClass(7, seven, (1, 2, 3))]
        write_labels(two_images / f"{name}_mask.nii.gz", labels.array, volume.grid, classes)
    images, masks = (" ".join(f"{{f}}/{name}{end}.nii.gz" for name, *_ in named) for end in ("", "_mask"))
    assert knowsam(f"train {images} --labels {masks} -o {{f}}/model") == 1
    assert "value 2 is “liver” here, but “spleen” in other_mask. Give a value the same" in capsys.readouterr().err
    assert not (two_images / "model").exists()


def test_a_volume_without_a_label_of_the_others_is_reported(
    two_images: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    labels = nib.load(two_images / "labels.nii.gz")
    only_2 = np.where(np.asarray(labels.dataobj) == 2, 2, 0).astype(np.uint8)
    nib.Nifti1Image(only_2, labels.affine).to_filename(two_images / "only_2.nii.gz")
    images, masks = "{f}/image.nii.gz {f}/other.nii.gz", "{f}/labels.nii.gz {f}/only_2.nii.gz"
    assert knowsam(f"train {images} --labels {masks} -o {{f}}/model {{quick}}") == 0
    assert caplog.text.count("only_2 holds no label 7, as other volumes do") == 1


@pytest.mark.parametrize("table", ["image.nii.gz", "model/model.safetensors", "masks/image_mask.nii.gz"])
def test_a_table_replaces_nothing_that_is_read_or_written(
    folder: Path, model: Path, knowsam: Callable[[str], int], table: str
) -> None:
    before = (folder / "image.nii.gz").read_bytes()
    words = f"predict {{f}}/model/model.safetensors {{f}}/image.nii.gz -o {{f}}/masks --table {{f}}/{table} --overwrite"
    assert knowsam(words) == 1
    assert (folder / "image.nii.gz").read_bytes() == before
    assert load_model(model)
    assert not (folder / "masks").exists()


def test_segment_saves_a_model_that_predict_takes(two_images: Path, knowsam: Callable[[str], int]) -> None:
    segment = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz --save-model {f}/model {quick}"
    assert knowsam(segment) == 0
    assert knowsam("predict {f}/model {f}/other.nii.gz -o {f} --device cpu") == 0
    assert (two_images / "other_mask.nii.gz").is_file()


@pytest.mark.usefixtures("model")
def test_masks_that_are_there_are_kept_unless_overwriting_is_allowed(
    two_images: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = two_images / "other_mask.nii.gz"
    kept.write_bytes(b"kept")
    predict = "predict {f}/model {f}/image.nii.gz {f}/other.nii.gz -o {f} --device cpu"
    assert knowsam(predict) == 1
    assert "other_mask.nii.gz exists already and is kept" in capsys.readouterr().err
    assert kept.read_bytes() == b"kept"
    assert not (two_images / "image_mask.nii.gz").exists()
    assert knowsam(predict + " --overwrite") == 0
    assert kept.read_bytes() != b"kept"


@pytest.mark.usefixtures("model")
def test_a_folder_given_as_a_dot_lends_the_mask_its_name(
    folder: Path, series: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(series)
    assert knowsam("predict {f}/model . -o {f} --device cpu") == 0
    assert (folder / "Doe_Jane_mask.nii.gz").is_file()


@pytest.mark.usefixtures("model")
def test_one_image_that_cannot_be_used_costs_no_other_and_stands_in_the_table(
    two_images: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    (two_images / "damaged.nii.gz").write_bytes(b"no image")
    images = "{f}/damaged.nii.gz {f}/ct.nii.gz {f}/other.nii.gz"
    values = np.random.default_rng(0).normal(50, 20, (24, 20, 8))
    values[:8] = -1000
    nib.Nifti1Image(values.astype(np.int16), nib.load(two_images / "image.nii.gz").affine).to_filename(
        two_images / "ct.nii.gz"
    )
    predict = "predict {f}/model " + images + " -o {f}/masks --table {f}/masks/volumes.csv --device cpu"
    assert knowsam(predict) == 1
    assert "2 of 3 images were not predicted" in capsys.readouterr().err
    with (two_images / "masks" / "volumes.csv").open(encoding="utf-8-sig", newline="") as file:
        damaged, ct, other = csv.DictReader(file)
    assert damaged["problem"]
    assert damaged["mask"] == damaged["2 class 2: ml"] == ""
    assert "ct is CT, but the model has learnt from images that are MR or others" in ct["problem"]
    assert other["mask"] == "other_mask.nii.gz"
    assert other["problem"] == other["unlike"] == ""
    mask, voxel_ml = np.asarray(nib.load(two_images / "masks" / "other_mask.nii.gz").dataobj), 1.0 * 1.5 * 3 / 1000
    for value in (2, 7):
        assert float(other[f"{value} class {value}: ml"]) == pytest.approx((mask == value).sum() * voxel_ml, abs=0.006)
    assert knowsam(predict.replace("-o {f}/masks", "-o {f}/again")) == 1
    assert "volumes.csv exists already and is kept" in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_an_image_for_which_the_memory_does_not_suffice_costs_no_other(
    two_images: Path, knowsam: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apply = jobs.applied_model
    monkeypatch.setattr(jobs, "applied_model", Mock(side_effect=[MemoryError(), DEFAULT], wraps=apply))
    assert knowsam("predict {f}/model {f}/image.nii.gz {f}/other.nii.gz -o {f}/masks --device cpu") == 1
    assert "image.nii.gz: The memory of this computer ran out. Close other programs" in caplog.text
    assert [path.name for path in (two_images / "masks").iterdir()] == ["other_mask.nii.gz"]


@pytest.mark.usefixtures("model")
def test_an_image_unlike_those_of_the_training_is_reported(
    two_images: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    image = nib.load(two_images / "image.nii.gz")
    nib.Nifti1Image(image.get_fdata() ** 8, image.affine @ np.diag([1, 1, 4, 1])).to_filename(
        two_images / "unlike.nii.gz"
    )
    assert knowsam("predict {f}/model {f}/other.nii.gz -o {f} --device cpu") == 0
    assert "is unlike" not in caplog.text
    assert knowsam("predict {f}/model {f}/unlike.nii.gz -o {f} --device cpu") == 0
    assert "unlike is unlike the images that the model has learnt from" in caplog.text
    assert "its slices are 12 mm apart, not 3 mm" in caplog.text


def test_a_model_is_checked_in_each_volume_that_it_has_not_learnt_from(
    two_images: Path, knowsam: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    both = TRAIN.replace("--unlabelled {f}/other.nii.gz", "--check").replace(
        "image.nii.gz ", "image.nii.gz {f}/other.nii.gz "
    )
    checked = both.replace("labels.nii.gz ", "labels.nii.gz {f}/truth.nii.gz ")
    assert knowsam(checked) == 1
    assert not (two_images / "model").exists()
    image = nib.load(two_images / "image.nii.gz")
    nib.Nifti1Image(image.get_fdata() + 1, image.affine).to_filename(two_images / "other.nii.gz")
    assert knowsam(checked) == 0
    for name in ("image", "other"):
        assert f"Without {name}, Dice in it: 2: " in caplog.text
    assert "2 (class 2): Dice" in caplog.text
    assert "probably from" in caplog.text
    expected = load_model(two_images / "model").expected
    assert [(one.value, one.volumes) for one in expected] == [(2, 2), (7, 2)]


def test_a_check_of_one_volume_is_refused_before_training(
    two_images: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam(TRAIN + " --check") == 2
    assert "Give two or more masks" in capsys.readouterr().err
    assert not (two_images / "model").exists()
