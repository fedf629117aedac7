"""The compact SAM comes with weights that know something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from knowsam.errors import CheckpointError
from knowsam.models import compact_sam
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.prompted_sam import PromptedSam
from knowsam.models.sam_prompting import BOTTOM_RIGHT, TOP_LEFT, Prompts

if TYPE_CHECKING:
    from pathlib import Path

PLANE = (64, 80)
ROWS, COLUMNS = torch.arange(64.0)[:, None] - 31.5, torch.arange(80.0) - 39.5

DISC = torch.hypot(ROWS, COLUMNS) < 14
FALLING, RISING = (torch.hypot((ROWS + way * COLUMNS) / 25.5, (ROWS - way * COLUMNS) / 12.7) < 1 for way in (1, -1))
"""Two ellipses across the diagonals of the same box as the disc."""


@torch.no_grad()
def boxed(structure: torch.Tensor) -> torch.Tensor:
    """Return what SAM outlines in the box round a structure that is bright."""
    sam = PromptedSam.loaded("compact", compact_sam_weights(), PLANE)
    noise = torch.randn(PLANE, generator=torch.Generator().manual_seed(0))
    image = (0.3 + 0.4 * structure + 0.03 * noise).clamp(0, 1).expand(1, 3, -1, -1)
    rows, columns = structure.nonzero(as_tuple=True)
    corners = torch.tensor([[(columns.min(), rows.min()), (columns.max(), rows.max())]], dtype=torch.float32)
    kinds = torch.tensor([[TOP_LEFT, BOTTOM_RIGHT]])
    prompts = Prompts(corners, kinds, torch.zeros(1, 1, *PLANE), torch.zeros(1, 1, 1, 1))
    return sam.masks(sam.embed(image), prompts)[0][0, 0] > 0


def dice(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_a_box_round_a_bright_disc_finds_it() -> None:
    assert dice(boxed(DISC), DISC) > 0.85


def test_the_same_box_finds_what_the_image_shows() -> None:
    assert dice(boxed(FALLING), FALLING) > dice(boxed(RISING), FALLING) + 0.1
    assert dice(boxed(RISING), RISING) > dice(boxed(FALLING), RISING) + 0.1


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
