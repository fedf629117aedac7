"""Bad input: one clear error, the right exit code, nothing written and no time spent on training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam import jobs

SEGMENT = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz"


def image_with(name: str) -> str:
    return f"segment {{f}}/{name} --labels {{f}}/labels.nii.gz -o {{f}}/out.nii.gz"


def labels_with(name: str) -> str:
    return f"segment {{f}}/image.nii.gz --labels {{f}}/{name} -o {{f}}/out.nii.gz"


def output_to(name: str) -> str:
    return f"segment {{f}}/image.nii.gz --labels {{f}}/labels.nii.gz -o {{f}}/{name}"


def distil(teacher: str, image: str) -> str:
    return f"distil {teacher} {{f}}/{image} -o {{f}}/small.safetensors"


REFUSALS = [
    (image_with("missing.nii.gz"), 1, r"There is no file .*missing.nii.gz. Check the path."),
    (image_with("text.nii.gz"), 1, "text.nii.gz is not a readable NIfTI file"),
    (image_with("text.txt"), 1, "text.txt is no image file by its name. Give a .nii.gz, .* file, or the folder"),
    (image_with("truncated.nii.gz"), 1, "truncated.nii.gz is damaged or cut off"),
    (image_with("one_slice.nii.gz"), 1, "at least two slices along every axis are needed"),
    (image_with("nan.nii.gz"), 1, "1 of [0-9]+ voxels of nan.nii.gz are NaN or infinite"),
    (image_with("infinite.nii.gz"), 1, "1 of [0-9]+ voxels of infinite.nii.gz are NaN or infinite"),
    (image_with("constant.nii.gz"), 1, "All voxels of constant have the value 5.* Give the image"),
    (image_with("no_dicom"), 1, "No DICOM images were found. Give the folder in which all slices"),
    (image_with("x" * 300), 1, "File name too long"),
    (labels_with("missing.nii.gz"), 1, "There is no file"),
    (labels_with("no_dicom"), 1, "no_dicom is a folder, but a file is needed"),
    (labels_with("elsewhere.nii.gz"), 1, "None of the .* labelled voxels of elsewhere lies in the image. Load the lab"),
    (labels_with("empty.nii.gz"), 1, "empty holds no label, but one painted slice at least is needed. Paint it"),
    (labels_with("negative.nii.gz"), 1, "values that are no labels, such as -1,.* Give a label file"),
    (labels_with("fractional.nii.gz"), 1, "values that are no labels, such as 0.5,.* Give a label file"),
    (labels_with("nan.nii.gz"), 1, "NaN or infinite"),
    (labels_with("four_d.nii.gz"), 1, r"holds 2 images, but one is needed"),
    (SEGMENT + " --axis 2 --annotated-slices 0,7", 1, "The annotated slices hold background only"),
    (output_to("no_folder/out.nii.gz"), 1, "no_folder does not exist. Make it"),
    (output_to("text.txt/out.nii.gz"), 1, "text.txt does not exist"),
    (output_to("out.png"), 1, "out.png, but must end in .nii.gz, .nii, .seg.nrrd, .nrrd or .mha. Change the name"),
    (output_to("truth.nii.gz"), 1, "truth.nii.gz exists already and is kept"),
    (output_to("x" * 300 + ".nii.gz"), 1, "File name too long. Choose another name or folder"),
    (output_to("image.nii.gz --overwrite"), 1, "image.nii.gz is an input, but is named as the result as well"),
    (output_to("no_dicom/../labels.nii.gz --overwrite"), 1, "is an input, but is named as the result as well"),
    ("segment {f}/labels.nii.gz --labels {f}/labels.nii.gz -o {f}/out.nii.gz", 1, "as an image and as its labels"),
    (SEGMENT + " --report {f}/no_folder/report.json", 1, "no_folder does not exist"),
    (SEGMENT + " --report {f}/report.txt", 1, "report.txt, but must end in .json or .html"),
    (SEGMENT + " --report {f}/old.json", 1, "old.json exists already and is kept. .* --overwrite"),
    (SEGMENT + " --report {f}/folder.json --overwrite", 1, "folder.json is a folder"),
    (
        SEGMENT + " --save-model {f}/text.txt",
        1,
        "Nothing can be written to .*text.txt/model.safetensors: Not a directory",
    ),
    (SEGMENT + " --save-model {f}/text.txt/model", 1, "Nothing can be written to .*: Not a directory"),
    (SEGMENT + " --save-model {f}/old_model", 1, "model.safetensors exists already and is kept"),
    (SEGMENT + " --teacher {f}/text.txt", 1, "text.txt cannot be read as weights"),
    (SEGMENT + " --teacher vit_x", 2, "The teacher 'vit_x' is neither a file nor a folder nor one of auto, none"),
    (SEGMENT + " --device gpu", 2, "There is no device 'gpu'. Choose one of auto, cpu, cuda, mps"),
    (SEGMENT + " --device cuda:99", 2, "The device 'cuda:99' is not available on this machine"),
    (SEGMENT + " --axis 2 --annotated-slices 2,8", 2, "slice 8, but labels has slices 0 to 7 along axis 2"),
    (SEGMENT + " --annotated-slices 2;3", 2, "'2;3' is neither auto nor all nor slice numbers such as 3,10,20"),
    (SEGMENT + " --axis 3", 2, "'3' is none of auto, 0, 1, 2"),
    (SEGMENT + " --budget soon", 2, "The budget is 'soon', but a duration such as 60s, 5m or 1h was expected"),
    (SEGMENT + " --budget 60s --steps 5", 2, "--steps: not allowed with argument --budget"),
    (SEGMENT + " --steps 0", 2, "'0' is no whole number from 1"),
    (SEGMENT + " --seed -1", 2, "'-1' is no whole number from 0"),
    (SEGMENT + " --width 1", 2, "width is 1, but must lie between 4 and 64"),
    (SEGMENT + " --learning-rate nan", 2, "learning_rate is nan, but must lie between"),
    (SEGMENT + " --norm none", 2, "invalid choice: 'none'"),
    ("segment {f}/image.nii.gz -o {f}/out.nii.gz", 2, "required: --labels"),
    (
        "train {f}/image.nii.gz {f}/truth.nii.gz --labels {f}/labels.nii.gz -o {f}/m",
        2,
        "There are 2 images and 1 masks",
    ),
    ("train {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/old_model", 1, "exists already and is kept"),
    ("train {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/text.txt", 1, "Nothing can be written to"),
    ("predict {f}/no_dicom {f}/image.nii.gz -o {f}/masks", 1, "There is no model.safetensors in"),
    ("predict {f}/old_model {f}/image.nii.gz -o {f}/masks", 1, "model.safetensors is not a usable KnowSAM model"),
    ("predict {f}/old_model {f}/image.nii.gz -o {f}/text.txt", 1, "Nothing can be written to"),
    ("predict {f}/old_model {f}/image.nii.gz {f}/image.nii.gz -o {f}/masks", 1, "Two images have the same name"),
    ("predict {f}/old_model {f}/image.nii.gz -o {f}/masks --device gpu", 2, "There is no device 'gpu'"),
    (distil("compact", "missing.nii.gz"), 1, r"There is no file .*missing.nii.gz. Check the path."),
    (distil("none", "image.nii.gz"), 2, "The teacher 'none' has learnt nothing, so it has nothing to teach. Choose"),
    (distil("scratch", "image.nii.gz"), 2, "The teacher 'scratch' has learnt nothing"),
    (distil("vit_x", "image.nii.gz"), 2, "The teacher 'vit_x' is neither a file nor a folder nor one of"),
    (distil("compact", "image.nii.gz --budget 0"), 2, "The budget is 0, in which nothing is learnt. Give a duration"),
    (distil("compact", "image.nii.gz --report {f}/report.txt"), 1, "report.txt, but must end in .json"),
    ("distil compact {f}/image.nii.gz -o {f}/old_model", 1, "model.safetensors exists already and is kept"),
    ("distil compact -o {f}/m", 2, "required: IMAGE"),
    ("train {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/m --budget 0", 2, "A budget of 0 trains nothing"),
    ("evaluate {f}/missing.nii.gz {f}/labels.nii.gz", 1, "There is no file"),
    ("evaluate {f}/shifted.nii.gz {f}/labels.nii.gz", 1, "does not lie on the grid of the reference labels,"),
    ("info {f}/text.nii.gz", 1, "not a readable NIfTI file"),
    ("demo -o {f}/text.txt", 1, "text.txt cannot be made"),
    ("paint {f}/image.nii.gz", 2, "invalid choice: 'paint'"),
    ("", 2, "required: COMMAND"),
]


@pytest.fixture
def bad_files(folder: Path) -> Path:
    image, labels = (nib.load(folder / name) for name in ("image.nii.gz", "labels.nii.gz"))
    voxels, painted = np.asarray(image.dataobj).astype(np.float32), np.asarray(labels.dataobj).astype(np.float32)
    shifted = image.affine.copy()
    shifted[0, 3] += 0.0045
    elsewhere = image.affine.copy()
    elsewhere[1, 3] += 400

    def save(name: str, array: np.ndarray, affine: np.ndarray = image.affine) -> None:
        nib.Nifti1Image(array, affine).to_filename(folder / f"{name}.nii.gz")

    def save_with(name: str, array: np.ndarray, value: float) -> None:
        changed = array.copy()
        changed[0, 0, 0] = value
        save(name, changed)

    save("four_d", np.stack([voxels, voxels], axis=-1))
    save("one_slice", voxels[..., :1])
    save("constant", np.full_like(voxels, 5))
    save("elsewhere", painted, elsewhere)
    save("shifted", painted, shifted)
    save("empty", np.zeros_like(painted))
    save_with("nan", voxels, np.nan)
    save_with("infinite", voxels, np.inf)
    save_with("negative", painted, -1)
    save_with("fractional", painted, 0.5)
    whole = (folder / "image.nii.gz").read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("text.txt", "text.nii.gz", "old.json"):
        (folder / name).write_text("no image")
    for name in ("no_dicom", "folder.json", "old_model"):
        (folder / name).mkdir()
    (folder / "old_model" / "model.safetensors").write_bytes(b"no model")
    return folder


@pytest.mark.parametrize(("text", "status", "message"), REFUSALS, ids=[message for _, _, message in REFUSALS])
def test_bad_input_is_refused_with_one_clear_error_before_training_and_leaves_nothing(
    bad_files: Path,
    knowsam: Callable[[str], int],
    text: str,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begin_training(*_: object, **__: object) -> None:
        pytest.fail("Training has begun.")

    monkeypatch.setattr(jobs, "TrainingSession", begin_training)
    before = sorted(bad_files.rglob("*"))
    assert knowsam(text) == status
    written = capsys.readouterr()
    *usage, error = written.err.splitlines()
    assert re.search(message, error)
    assert error.startswith(" ".join(["knowsam", *text.split()[:1]]).replace(" paint", ""))
    assert not usage or usage[0].startswith("usage: knowsam")
    assert written.out == ""
    assert sorted(bad_files.rglob("*")) == before
