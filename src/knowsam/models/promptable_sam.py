"""The interface of a SAM that is prompted by clicks, boxes and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from knowsam.models.sam_prompting import Prompts


class PromptableSam(Protocol):
    """Sees images on the planes of the compact SAM, and answers prompts with masks."""

    @property
    def sam(self) -> nn.Module:
        """Its networks."""

    def embed(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W), in [0, 1], to an embedding: (B, ...), one tensor."""

    def image(self, embedding: Tensor) -> Tensor:
        """Return the image part of an embedding, at the places of the compact SAM: (B, E, H / 4, W / 4)."""

    def masks(self, embedding: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W), and the quality that the SAM predicts for them (B,)."""
