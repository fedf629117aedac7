"""Kept models are found by their names, and a file that is none costs no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from knowsam.io.kept_models import FOLDER_VARIABLE, found_model, kept_models, models_folder, place_of_model


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def keep(folder: Path, name: str, description: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({"w": np.zeros(2)}, path, metadata={"knowsam": json.dumps(description)})
    return path


def test_without_a_folder_no_model_is_kept() -> None:
    assert kept_models() == []


def test_models_are_listed_by_name_with_their_cards(kept: Path) -> None:
    keep(kept, "b", {"card": "Spleens."})
    keep(kept, "a", {})
    (kept / "c.safetensors").write_bytes(b"no model")
    (kept / "notes.txt").write_text("no model either")
    cards = {one.name: one.card for one in kept_models()}
    assert list(cards) == ["a", "b", "c"]
    assert cards["b"] == "Spleens."
    assert "without a card" in cards["a"]
    assert "not a usable KnowSAM model" in cards["c"]


@pytest.mark.parametrize("description", [[], "text", None])
def test_a_file_that_describes_something_else_is_no_model(kept: Path, description: object) -> None:
    keep(kept, "a", description)
    assert "not a usable KnowSAM model" in kept_models()[0].card


def test_a_name_stands_for_a_kept_model_unless_a_file_or_folder_is_called_so(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert found_model(Path("atrium")) == Path("atrium")
    path = keep(kept, "atrium", {})
    assert found_model(Path("atrium")) == path == place_of_model("atrium")
    assert found_model(tmp_path / "atrium") == tmp_path / "atrium"
    (tmp_path / "atrium").mkdir()
    assert found_model(Path("atrium")) == Path("atrium")


def test_by_default_they_lie_among_the_data_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert models_folder().name == "models"
    assert "napari-knowsam" in models_folder().parts
