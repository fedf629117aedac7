"""SAM is asked in threads: loaded once, and what it cannot do is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from knowsam.errors import CheckpointError, PredictionError
from knowsam.pretraining.sam_training import untrained_sam
from knowsam.prompting.prompted_volume import PromptedVolume
from knowsam.prompting.slice_prompts import SlicePrompts
from napari_knowsam.slice_asking import SliceAsking, promptable

if TYPE_CHECKING:
    from pathlib import Path

    from knowsam.data.volume import Volume

BOX = SlicePrompts(box=((20, 30), (50, 70)))


def test_a_slice_is_outlined_and_followed_up_to_what_is_annotated(phantom: Volume) -> None:
    asking = SliceAsking(phantom, 0, "compact", "cpu")
    asking.look_at(16)
    mask = asking.outline(16, BOX).mask
    assert mask[20:50, 30:70].any()
    assert np.array_equal(asking.outline(16, BOX).mask, mask)
    found = dict(asking.follow(16, mask, ()))
    assert {15, 17} & found.keys()
    assert not {15, 17} & dict(asking.follow(16, mask, (15, 17))).keys()


def test_a_file_of_weights_that_was_chosen_answers(phantom: Volume, tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    torch.manual_seed(0)
    weights = untrained_sam().state_dict()
    save_file(weights, file)
    answer = SliceAsking(phantom, 0, str(file), "cpu").outline(16, BOX)
    own = PromptedVolume(phantom, 0, "compact", weights, torch.device("cpu")).ask(16, BOX)
    assert np.array_equal(answer.logits, own.logits)
    assert not np.array_equal(answer.logits, SliceAsking(phantom, 0, "compact", "cpu").outline(16, BOX).logits)


def test_a_failure_of_sam_is_reported(phantom: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    asking = SliceAsking(phantom, 0, "compact", "cpu")
    monkeypatch.setattr(PromptedVolume, "ask", fail)
    monkeypatch.setattr(PromptedVolume, "moved", fail)
    with pytest.raises(PredictionError, match=r"CUDA out of memory.*Choose the CPU"):
        asking.outline(16, BOX)
    with pytest.raises(PredictionError, match=r"CUDA out of memory.*Choose the CPU"):
        list(asking.follow(16, np.ones(phantom.shape[1:], bool), ()))


def test_the_chosen_teacher_is_asked_where_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(tmp_path))
    (tmp_path / "mobile_sam.pt").touch()
    folder = tmp_path / "my-sam2"
    folder.mkdir()
    assert promptable(str(folder)) == "compact"
    (folder / "config.json").touch()
    for here in ("mobile_sam", str(tmp_path / "mobile_sam.pt"), str(folder)):
        assert promptable(here) == here
    for elsewhere in ("none", "compact", "vit_b", "sam2.1-hiera-tiny", str(tmp_path / "absent.pt"), "", "/"):
        assert promptable(elsewhere) == "compact"


def test_damaged_official_weights_are_refused_and_not_downloaded_again(
    phantom: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(tmp_path))
    damaged = tmp_path / "sam_vit_b_01ec64.pth"
    damaged.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be read"):
        SliceAsking(phantom, 0, "vit_b", "cpu").outline(16, BOX)
    assert damaged.read_bytes() == b"damaged"
