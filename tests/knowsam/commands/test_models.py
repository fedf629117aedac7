from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from knowsam.models.official_weights import OFFICIAL, OfficialWeights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights; ViT-B is a small file that no server has."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(folder))
    monkeypatch.setenv("KNOWSAM_MODELS", str(tmp_path / "models"))
    sha256 = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setitem(
        OFFICIAL, "vit_b", OfficialWeights("SAM ViT-B", "http://127.0.0.1:9/sam_vit_b.pth", sha256, 375, 94, 0.4, 0.2)
    )
    return folder


def test_weights_that_are_added_are_listed_checked_and_found(
    weights: Path, folder: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("models list") == 0
    listed = capsys.readouterr().out
    assert [line.split()[-1] for line in listed.splitlines()[1:4]] == ["no", "no", "no"]
    assert str(weights) in listed
    assert "375 MB  0.4 GiB    0.2 s" in listed
    assert hashlib.sha256(b"weights").hexdigest() in listed
    (folder / "stick.pth").write_bytes(b"weights")
    assert knowsam("models add {f}/stick.pth") == 0
    assert capsys.readouterr().out.strip() == str(weights / "sam_vit_b.pth")
    assert knowsam("models get vit_b") == 0
    assert knowsam("models check") == 0
    assert "is the published file" in capsys.readouterr().out
    assert knowsam("models list") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("yes")


def test_damaged_weights_are_named(
    weights: Path, knowsam: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert knowsam("models check") == 0
    assert "There are no weights" in capsys.readouterr().out
    weights.mkdir()
    (weights / "sam_vit_b.pth").write_bytes(b"weigh")
    assert knowsam("models check") == 1
    told = capsys.readouterr()
    assert "is NOT the published file" in told.out
    assert "1 of these files cannot be used" in told.err


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("models get", 2, "needs the NAME of weights"),
        ("models add", 2, "needs a FILE"),
        ("models list vit_b", 2, "needs nothing more"),
        ("models show", 2, "needs the NAME of a model"),
        ("models show atrium", 1, "There is no model.safetensors in atrium"),
        ("models get vit_x", 1, "There are no official weights for vit_x"),
        ("models get vit_b", 1, "the server could not be reached"),
        ("models add {f}/image.nii.gz", 1, "none of the published files"),
    ],
)
def test_what_cannot_be_done_is_said(
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
    assert "exists already and is kept" in capsys.readouterr().err
    kept.write_bytes(kept.read_bytes()[:-1])
    assert knowsam("models check") == 1
    assert "is not a usable KnowSAM model" in capsys.readouterr().out
