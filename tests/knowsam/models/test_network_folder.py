"""Folders that hold no network we know are refused, and say why."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sam2_folder import save_silently, tiny_sam2

from knowsam.errors import CheckpointError, ConfigError, KnowSAMError
from knowsam.models.network_folder import DescribedWeights
from knowsam.models.teachers import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_silently(tiny_sam2(), tmp_path)


def describe(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json that names a model type.* Give a folder"):
        read_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", "\udcff"])
def test_a_damaged_description_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"no config\.json that names a model type"):
        read_folder(folder)


def test_another_network_is_refused_by_its_name(folder: Path) -> None:
    describe(folder, model_type="bert")
    with pytest.raises(CheckpointError, match="is of the model type bert, expected one of sam2, sam2_video"):
        read_folder(folder)


def test_weights_that_may_hold_programs_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"config\.json, pytorch_model\.bin, but no model\.safetensors.* download"
    ):
        read_folder(folder)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {"left_out": "vision_encoder.neck.convs.0.weight"},
            "1 tensors are missing .vision_encoder.neck.convs.0.weight",
        ),
        ({"added": "vision_encoder.neck.convs.9.weight"}, "1 are unknown .vision_encoder.neck.convs.9.weight"),
    ],
)
def test_weights_of_another_network_are_refused(folder: Path, changes: dict[str, str], found: str) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(changes.get("left_out", ""), None)
    if "added" in changes:
        tensors[changes["added"]] = torch.zeros(1)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=found):
        read_folder(folder)


def test_a_description_of_other_dimensions_is_refused(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    description["mask_decoder_config"]["mlp_dim"] = 64
    describe(folder, **description)
    with pytest.raises(CheckpointError, match=r"Give a folder whose config\.json and weights belong together"):
        read_folder(folder)


def test_a_description_with_nonsense_in_it_is_refused(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    description["vision_config"]["backbone_config"]["blocks_per_stage"] = "many"
    describe(folder, **description)
    with pytest.raises(KnowSAMError, match="cannot be read as a Sam2Model"):
        read_folder(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read as a Sam2Model"):
        read_folder(folder)


def test_reading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    describe(folder, model_type="sam2_video")
    read_folder(folder)
    assert capfd.readouterr() == ("", "")


def test_without_transformers_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"not installed \(transformers\).* \"napari-knowsam\[sam2\]\""):
        read_folder(folder)


def test_without_timm_the_extra_of_edgetam_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(folder, model_type="edgetam")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"EdgeTAM needs timm, .* \"napari-knowsam\[edgetam\]\""):
        read_folder(folder)


def test_described_weights_reach_another_process_whole() -> None:
    weights = DescribedWeights({"one": torch.ones(2)}, {"model_type": "sam2"})
    arrived = pickle.loads(pickle.dumps(weights))
    assert isinstance(arrived, DescribedWeights)
    assert arrived.description == weights.description
    assert torch.equal(arrived["one"], weights["one"])
