"""SAM as a teacher: the compact one, ViT-B, ViT-L and ViT-H, and other weights of their layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.prompted_teacher import Embedding, PromptedTeacher
from knowsam.models.sam import VARIANTS, build_sam, load_resized
from knowsam.models.sam_prompting import decode, patches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.config import TeacherConfig


class SamTeacher(PromptedTeacher):
    """SAM of the package segment-anything; only the compact one may be trained from scratch."""

    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        _check_buildable(config.variant, weights is not None)
        variant = VARIANTS[config.variant]
        self.sam, self._corrects = build_sam(variant, self._seen()), variant.corrects_masks
        return f"SAM {config.variant}", () if weights is None else load_resized(self.sam, weights)

    def _seen(self) -> tuple[int, int]:
        """Return the height and width of what the network sees of a plane, in px."""
        return self.plane

    def _blocks(self) -> list[tuple[Any, int]]:
        return [(block, block.mlp.lin1.in_features) for block in self.sam.image_encoder.blocks]

    def _no_point(self) -> Tensor:
        token: Tensor = self.sam.prompt_encoder.not_a_point_embed.weight[0]
        return token

    @property
    def mask_size(self) -> tuple[int, int]:
        """Height and width of the small masks, 4h and 4w."""
        height, width = self.sam.prompt_encoder.mask_input_size
        return height, width

    def trunk(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to tokens (B, h, w, E), as the first block that learns gets them."""
        tokens = patches(self.sam, x)
        for block in self.sam.image_encoder.blocks[: self.frozen_blocks]:
            tokens = block(tokens)
        return tokens

    def embed(self, tokens: Tensor) -> Embedding:
        """Map tokens (B, h, w, E) of `trunk` to embeddings (B, 256, h, w)."""
        encoder = self.sam.image_encoder
        for block in encoder.blocks[self.frozen_blocks :]:
            tokens = block(tokens)
        return Embedding(encoder.neck(tokens.permute(0, 3, 1, 2)))

    def draw(self, embedding: Embedding, sparse: Tensor | None, masks: Tensor | None) -> Tensor:
        """Draw one mask (N, 1, 4h, 4w) for each of N embeddings."""
        return decode(self.sam, embedding.image, sparse, masks, corrects=self._corrects)[0]

    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""
        parts = ("image_encoder.patch_embed.", "image_encoder.pos_embed", "pixel_")
        blocks = tuple(f"image_encoder.blocks.{index}." for index in range(self.frozen_blocks))
        state = {"pixel_mean": self.sam.pixel_mean, "pixel_std": self.sam.pixel_std} | dict(self.sam.state_dict())
        return {name: tensor for name, tensor in state.items() if name.startswith(parts + blocks)}


def _check_buildable(variant: str, weighted: bool) -> None:
    if variant not in VARIANTS:
        raise ConfigError(
            f"The SAM variant is {variant}, but must be one of {', '.join(VARIANTS)}. Choose one of these."
        )
    if variant != "compact" and not weighted:
        raise CheckpointError(
            f"SAM {variant} was given no weights, but only the compact variant is trained from scratch. "
            f"Give the official weights of {variant}, or choose compact."
        )
