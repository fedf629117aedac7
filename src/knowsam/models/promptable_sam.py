"""What a SAM is to whoever asks it for structures by clicks, boxes and masks, whatever it is made of."""

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
        """Map images (B, 3, H, W), in [0, 1], to all that is needed to answer prompts: (B, ...), one tensor."""

    def image(self, embedding: Tensor) -> Tensor:
        """Return what an embedding says at each place of the compact SAM: (B, E, H / 4, W / 4)."""

    def masks(self, embedding: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W), and how good they are in the SAM's own view (B,)."""
