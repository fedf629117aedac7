from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from knowsam.models.compact_sam import WEIGHTS_FILE
from knowsam.models.weights_file import is_compact_sam


def test_a_compact_sam_is_known_by_its_tensors() -> None:
    assert is_compact_sam(WEIGHTS_FILE)


@pytest.mark.parametrize("content", ["other weights", "damaged", "absent", "folder"])
def test_no_other_file_is_one(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    if content == "other weights":
        save_file({"image_encoder.pos_embed": torch.ones(1)}, path)
    elif content == "damaged":
        path.write_bytes(WEIGHTS_FILE.read_bytes()[:100])
    elif content == "folder":
        path.mkdir()
    assert not is_compact_sam(path)
