from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sam2_folder import save_silently, tiny_sam2

from knowsam.models.download import sha256_of
from knowsam.models.published_weights import OFFICIAL, PublishedFile


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights; ViT-B is a small file that no server has."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(folder))
    monkeypatch.setenv("KNOWSAM_MODELS", str(tmp_path / "models"))
    sha256 = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    file = PublishedFile("http://127.0.0.1:9/sam_vit_b.pth", sha256)
    monkeypatch.setitem(OFFICIAL, "vit_b", replace(OFFICIAL["vit_b"], files=(file,)))
    return folder


def test_weights_that_are_added_are_listed_checked_and_found(
    weights: Path, folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("models list") == 0
    listed = capsys.readouterr().out
    assert [line.split()[-1] for line in listed.splitlines()[1 : 1 + len(OFFICIAL)]] == ["no"] * len(OFFICIAL)
    assert str(weights) in listed
    assert "375 MB  0.4 GiB    0.2 s" in listed
    assert "sam2 is sam2.1-hiera-tiny" in listed
    assert "Apache 2.0" in listed
    assert all(found.source in listed for found in OFFICIAL.values())
    assert knowsam("models show vit_b") == 0
    assert hashlib.sha256(b"weights").hexdigest() in capsys.readouterr().out
    (folder / "stick.pth").write_bytes(b"weights")
    assert knowsam("models add {f}/stick.pth") == 0
    assert capsys.readouterr().out.strip() == str(weights / "sam_vit_b.pth")
    assert knowsam("models get vit_b") == 0
    assert knowsam("models check") == 0
    assert "is the published file" in capsys.readouterr().out
    assert knowsam("models list") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("yes")


def test_a_folder_that_is_added_is_listed_checked_and_teaches(
    weights: Path,
    folder: Path,
    knowsam: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stick = save_silently(tiny_sam2(), folder / "stick")
    files = tuple(replace(file, sha256=sha256_of(stick / file.name)) for file in OFFICIAL["sam2.1-hiera-tiny"].files)
    published = replace(OFFICIAL["sam2.1-hiera-tiny"], files=files)
    monkeypatch.setitem(OFFICIAL, "sam2.1-hiera-tiny", published)
    assert knowsam("models add {f}/stick") == 0
    place = weights / "sam2.1-hiera-tiny"
    assert capsys.readouterr().out.strip() == str(place)
    assert knowsam("models show sam2") == 0
    assert f"{place}: on this computer" in capsys.readouterr().out
    assert knowsam("models check") == 0
    assert f"{place} is the published folder" in capsys.readouterr().out
    segment = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/mask.nii.gz --report {f}/report.json"
    assert knowsam(segment + " {quick} --teacher sam2") == 0
    assert "SAM-2, 0.2 M parameters, pretrained" in " ".join(
        json.loads((folder / "report.json").read_text())["notices"]
    )
    (place / "config.json").write_text("{}")
    assert knowsam("models check") == 1
    assert f"{place} is NOT the published folder" in capsys.readouterr().out


def test_damaged_weights_are_named(
    weights: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("models check") == 0
    assert "There are no weights" in capsys.readouterr().out
    weights.mkdir()
    (weights / "sam_vit_b.pth").write_bytes(b"weigh")
    assert knowsam("models check") == 1
    output = capsys.readouterr()
    assert "is NOT the published file" in output.out
    assert "1 of these files cannot be used" in output.err


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("models get", 2, "needs the NAME of weights"),
        ("models add", 2, "needs a FILE"),
        ("models list vit_b", 2, "needs nothing more"),
        ("models show", 2, "needs the NAME of weights or of a model"),
        ("models show atrium", 1, "There is no model.safetensors in atrium"),
        ("models get vit_x", 1, "There are no official weights for vit_x"),
        ("models get vit_b", 1, "the server could not be reached"),
        ("models add {f}/image.nii.gz", 1, "which none of sam_vit_b.pth, sam_vit_l_0b3195.pth"),
        (
            "models get sam2",
            1,
            "the server could not be reached. Download config.json (https://huggingface.co/facebook",
        ),
    ],
)
def test_an_impossible_action_is_reported(
    command: str,
    code: int,
    sentence: str,
    weights: Path,
    knowsam: Callable[[str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert knowsam(command) == code
    assert sentence in capsys.readouterr().err


def test_a_model_that_is_added_is_listed_shown_checked_and_used_by_its_name(
    weights: Path, folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    segment = "segment {f}/image.nii.gz --labels {f}/labels.nii.gz -o {f}/mask.nii.gz {quick}"
    assert knowsam(segment + " --save-model {f}/boxes --about Boxes.") == 0
    assert knowsam("models add {f}/boxes") == 0
    kept = folder / "models" / "boxes.safetensors"
    assert capsys.readouterr().out.strip() == str(kept)
    assert knowsam("models list") == 0
    assert "boxes                Boxes." in capsys.readouterr().out
    assert knowsam("models show boxes") == 0
    assert capsys.readouterr().out.startswith("Boxes.\nSegments 2 (class 2), 7 (class 7) in axial slices")
    assert knowsam("models check") == 0
    assert "is intact" in capsys.readouterr().out
    assert knowsam("predict boxes {f}/image.nii.gz -o {f}/predicted --device cpu") == 0
    assert knowsam("models add {f}/boxes") == 1
    assert "is kept already, in" in capsys.readouterr().err
    kept.write_bytes(kept.read_bytes()[:-1])
    assert knowsam("models check") == 1
    assert "is not a usable KnowSAM model" in capsys.readouterr().out
