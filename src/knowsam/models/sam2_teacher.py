"""SAM-2 as a teacher (Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024, arXiv 2408.00714)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch.nn import functional as F

from knowsam.models.pyramid_teacher import PyramidTeacher

if TYPE_CHECKING:
    from torch import Tensor, nn


class Sam2Teacher(PyramidTeacher):
    """SAM-2 of the package transformers, whose encoder is a Hiera."""

    title = "SAM-2"
    network_class = "Sam2Model"

    def _multiple_px(self) -> int:
        """Return what the sides of an image must be a multiple of, for its windows and the levels of the pyramid."""
        levels = len(self._encoder.stage_ends)
        return self._stride_px * math.lcm(self._encoder.pos_embed_window.shape[-1], 2 ** (levels - 1))

    @property
    def _stride_px(self) -> int:
        return _side(self._encoder.config.patch_stride)

    def _blocks(self) -> list[tuple[Any, int]]:
        return [(block, block.dim_out) for block in self._encoder.blocks]

    def _steps(self) -> tuple[dict[str, nn.Module], set[int]]:
        steps = {f"blocks.{index}": block for index, block in enumerate(self._encoder.blocks)}
        return steps, set(self._encoder.stage_ends)

    def _frozen_steps(self) -> int:
        return self.frozen_blocks

    def _first(self, images: Tensor) -> Tensor:
        """Map images to tokens (B, h, w, E) with their positions: coarse ones interpolated, and those in a window."""
        encoder = self._encoder
        tokens: Tensor = encoder.patch_embed(images)
        height, width = tokens.shape[1:3]
        window = encoder.pos_embed_window
        coarse = F.interpolate(encoder.pos_embed, size=(height, width), mode="bicubic")
        fine = window.tile(1, 1, height // window.shape[-2], width // window.shape[-1])
        placed: Tensor = tokens + (coarse + fine).permute(0, 2, 3, 1)
        return placed

    def _first_parts(self) -> tuple[str, ...]:
        return "patch_embed.", "pos_embed"

    def _shapes(self) -> list[tuple[int, int, int]]:
        encoder = self._encoder
        height, width = (side // self._stride_px for side in self._size)
        shapes = [(height, width, encoder.config.hidden_size)]
        for index, block in enumerate(encoder.blocks[: self.frozen_blocks]):
            if block.query_stride:
                height, width = height // _side(block.query_stride), width // _side(block.query_stride)
            kept = shapes if index - 1 in encoder.stage_ends else shapes[:-1]
            shapes = [*kept, (height, width, block.dim_out)]
        return shapes


def _side(sides: int | list[int]) -> int:
    """Return the side of a square that transformers gives as one number or as two."""
    return sides if isinstance(sides, int) else sides[0]
