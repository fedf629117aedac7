"""The compact SAM comes with weights that know something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from knowsam.config import TeacherConfig
from knowsam.errors import CheckpointError
from knowsam.models import compact_sam
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.sam_prompting import BOTTOM_RIGHT, TOP_LEFT, decode, embed, point_tokens
from knowsam.models.sam_teacher import SamTeacher

if TYPE_CHECKING:
    from pathlib import Path

PLANE = (64, 80)


def disc() -> torch.Tensor:
    """(64, 80), true within 14 px of the middle."""
    rows, columns = torch.arange(64.0)[:, None] - 31.5, torch.arange(80.0) - 39.5
    return torch.hypot(rows, columns) < 14


@torch.no_grad()
def test_a_box_round_a_bright_disc_finds_it() -> None:
    teacher = SamTeacher(2, PLANE, TeacherConfig(), weights=compact_sam_weights()).eval()
    image = (0.3 + 0.4 * disc() + 0.03 * torch.randn(PLANE, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    embedding = embed(teacher.sam, image.expand(1, 3, -1, -1))
    corners, kinds = torch.tensor([[[26.0, 18.0], [53.0, 45.0]]]), torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]])
    masks, _ = decode(teacher.sam, embedding, point_tokens(teacher.sam, corners, kinds, PLANE), corrects=True)
    found = teacher.upsampled(masks)[0, 0] > 0
    assert 2 * (found & disc()).sum() / (found.sum() + disc().sum()) > 0.8


def test_everybody_gets_the_same_weights() -> None:
    assert compact_sam_weights() is compact_sam_weights()


@pytest.mark.parametrize("is_missing", [True, False])
def test_weights_that_are_not_the_shipped_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_missing: bool
) -> None:
    damaged = tmp_path / "compact_sam.safetensors"
    if not is_missing:
        damaged.write_bytes(compact_sam.WEIGHTS_FILE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(compact_sam, "WEIGHTS_FILE", damaged)
    with pytest.raises(CheckpointError, match="is missing or damaged"):
        compact_sam_weights.__wrapped__()
