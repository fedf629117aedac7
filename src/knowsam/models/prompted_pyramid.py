"""A SAM-2 or an EdgeTAM, prompted on the planes of the compact SAM."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from knowsam.config import TeacherConfig
from knowsam.models.prompted_teacher import Embedding
from knowsam.models.sam_prompting import NO_POINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.models.pyramid_teacher import PyramidTeacher
    from knowsam.models.sam_prompting import Prompts

_PLACES_PX, _ENLARGED = 4, 4
"""The compact SAM has a place for 4 x 4 px, and these networks one for 16 x 16 px, of a plane enlarged for that."""


class PromptedPyramid:
    """Gives embeddings and masks as `PromptedSam` does; an embedding is a row of the image and both finer features.

    Parameters
    ----------
    network : its kind. weights : of it.
    plane : (H, W) of the slices in px, multiples of 4.

    Raises
    ------
    ConfigError, CheckpointError
        See `PyramidTeacher`.
    """

    def __init__(self, network: type[PyramidTeacher], weights: Mapping[str, Tensor], plane: tuple[int, int]) -> None:
        seen = _ENLARGED * plane[0], _ENLARGED * plane[1]
        teacher = network(2, seen, TeacherConfig(), learnable_prompts=False, weights=weights, adapted=False)
        self.sam = teacher.eval().requires_grad_(False)
        self._plane = plane

    def embed(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W), in [0, 1], to rows (B, N)."""
        image, finer = self.sam.embed(self.sam.trunk(images))
        return torch.cat([part.flatten(1) for part in (image, *finer)], dim=1)

    def _unpacked(self, rows: Tensor) -> Embedding:
        shapes = self.sam.embedding_shapes()
        parts = rows.split([math.prod(shape) for shape in shapes], dim=1)
        image, *finer = (part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True))
        return Embedding(image, tuple(finer))

    def image(self, embedding: Tensor) -> Tensor:
        """Return the image part (B, E, H / 4, W / 4) of rows (B, N)."""
        size = self._plane[0] // _PLACES_PX, self._plane[1] // _PLACES_PX
        return F.interpolate(self._unpacked(embedding).image, size=size, mode="bilinear", align_corners=False)

    def masks(self, embedding: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W), and their predicted quality (B,)."""
        points, kinds = _ended(prompts)
        sparse = self.sam.point_tokens(points, kinds, self._plane)
        small, quality = self.sam.answer(self._unpacked(embedding), sparse, prompts.masks, prompts.has_mask)
        logits = F.interpolate(small, size=self._plane, mode="bilinear", align_corners=False)
        return logits.float(), quality.float()


def _ended(prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Return points and kinds with what these networks expect after the last point, and instead of none."""
    count = 1 if prompts.kinds.shape[1] else 2
    return F.pad(prompts.points, (0, 0, 0, count)), F.pad(prompts.kinds, (0, count), value=NO_POINT)
