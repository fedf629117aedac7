from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from knowsam.errors import CheckpointError
from knowsam.models.checkpoints import load_sam_weights, variant_of
from knowsam.models.sam import VARIANTS, build_sam

WEIGHTS = {"image_encoder.pos_embed": torch.arange(8.0).view(1, 2, 2, 2), "mask_decoder.bias": torch.ones(3)}


@pytest.mark.parametrize("content", [WEIGHTS, {"model": WEIGHTS}, {"state_dict": WEIGHTS}])
def test_weights_are_read_wrapped_or_not(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sam.pth")
    weights = load_sam_weights(tmp_path / "sam.pth")
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "sam.safetensors")
    weights = load_sam_weights(tmp_path / "sam.safetensors")
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


class _Touch:
    """Creates a file when it is unpickled by a reader that executes what it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": _Touch(tmp_path / "executed")}, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match="it holds more than tensors, or is no file of PyTorch") as error:
        load_sam_weights(tmp_path / "sam.pth")
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "absent"])
def test_a_damaged_file_is_refused_with_a_remedy(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"sam{suffix}"
    if suffix == ".pth":
        torch.save(WEIGHTS, path)
    else:
        save_file(WEIGHTS, path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"not found", "empty": b""}.get(damage, whole))
    if damage == "absent":
        path.unlink()
    with pytest.raises(CheckpointError, match="Give an undamaged file"):
        load_sam_weights(path)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "legacy"])
def test_a_flipped_bit_in_a_pickled_file_raises_nothing_but_our_own_error(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=packed)
    good, refused = path.read_bytes(), 0
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            weights = load_sam_weights(path)
        except CheckpointError:
            refused += 1
        else:
            # Only a packed file has checksums by which a changed weight shows.
            assert not packed or all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)
    assert refused > len(good) / 9


@pytest.mark.parametrize(
    ("content", "found"),
    [({"epoch": 3} | WEIGHTS, "entries of type int"), (torch.ones(2), "a Tensor"), ([1], "a list")],
)
def test_a_file_of_other_things_is_refused(content: Any, found: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match=f"holds {found}, expected named tensors only"):
        load_sam_weights(tmp_path / "sam.pth")


@pytest.mark.parametrize("name", ["compact", "vit_b", "vit_l", "vit_h", "mobile_sam"])
def test_a_variant_is_recognised_by_its_image_encoder(name: str) -> None:
    with torch.device("meta"):
        weights = build_sam(VARIANTS[name], (64, 64)).state_dict()
    assert variant_of(weights) == name


def test_weights_of_no_variant_are_refused() -> None:
    other = {"image_encoder.pos_embed": torch.zeros(1, 2, 2, 384), "image_encoder.blocks.0.norm1.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"width 384 with 1 blocks, expected 96 and 2 \(compact\), 768 and 12"):
        variant_of(other)
    with pytest.raises(CheckpointError, match="width 0 with 0 blocks"):
        variant_of({"weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="width 0 with 0 blocks"):
        variant_of({"image_encoder.pos_embed": torch.tensor(1.0)})
