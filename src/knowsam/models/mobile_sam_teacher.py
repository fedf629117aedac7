"""MobileSAM as a teacher: SAM with a TinyViT as its image encoder, a sixtieth of the size of ViT-H."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from torch.nn import functional as F

from knowsam.models.prompted_teacher import Embedding, enlarged
from knowsam.models.sam_prompting import normalised
from knowsam.models.sam_teacher import SamTeacher
from knowsam.models.tiny_vit import TinyVitBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.config import TeacherConfig

_STRIDE_PX = 16
LEAST_SIDE_PX = 224
"""Images are enlarged until their longer side has so many pixels, as TinyViT has first seen them: then its widest
windows, of 14 x 14 places, just hold the plane. Not measured, since no official weights were at hand."""


class MobileSamTeacher(SamTeacher):
    """MobileSAM; prompts and masks are SAM's, adapters are in the last blocks with attention."""

    def _seen(self) -> tuple[int, int]:
        return enlarged(self.plane, _STRIDE_PX, LEAST_SIDE_PX)

    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        _, resized = super()._build(config, weights)
        return "MobileSAM", resized

    def train(self, mode: bool = True) -> Self:
        """Let all but the encoder train: what its normalisation layers have seen is frozen like its weights."""
        super().train(mode)
        self.sam.image_encoder.eval()
        return self

    def _blocks(self) -> list[tuple[Any, int]]:
        steps = self.sam.image_encoder.steps().values()
        return [(step, step.width) for step in steps if isinstance(step, TinyVitBlock)]

    def _frozen_steps(self) -> int:
        first, _ = self._blocks()[self.frozen_blocks]
        return list(self.sam.image_encoder.steps().values()).index(first)

    def trunk(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to feature maps (B, E, h, w), as the first block that learns gets them."""
        x = F.interpolate(x, size=self._seen(), mode="bilinear", align_corners=False)
        return self._through(0, self._frozen_steps(), normalised(self.sam, x))

    def _through(self, start: int, end: int | None, features: Tensor) -> Tensor:
        for step in islice(self.sam.image_encoder.steps().values(), start, end):
            features = step(features)
        return features

    def embed(self, tokens: Tensor) -> Embedding:
        """Map feature maps (B, E, h, w) of `trunk` to embeddings (B, 256, h', w')."""
        return Embedding(self.sam.image_encoder.neck(self._through(self._frozen_steps(), None, tokens)))

    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""
        frozen = islice(self.sam.image_encoder.steps(), self._frozen_steps())
        parts = ("pixel_", *(f"image_encoder.{name}." for name in frozen))
        state = {"pixel_mean": self.sam.pixel_mean, "pixel_std": self.sam.pixel_std} | dict(self.sam.state_dict())
        return {name: tensor for name, tensor in state.items() if name.startswith(parts)}
