"""A SAM of any variant, prompted on the planes of the compact one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional as F

from knowsam.models.sam import VARIANTS, SamVariant, build_sam, load_resized
from knowsam.models.sam_prompting import decode, drawn, embed, point_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from knowsam.models.sam_prompting import Prompts

STUDENT = "compact"


class PromptedSam:
    """Gives embeddings with the places of the compact SAM, and masks with the pixels of the plane.

    A SAM with larger patches sees the plane enlarged for that: one of 16 px fourfold. This is also nearer to the scale
    of the images that official weights were made from.

    Parameters
    ----------
    sam : its networks.
    variant : their dimensions.
    """

    def __init__(self, sam: Any, variant: SamVariant) -> None:
        self.sam, self._corrects = sam, variant.corrects_masks
        self.width = variant.prompt_dim
        self._enlarged = variant.patch_px / VARIANTS[STUDENT].patch_px

    @classmethod
    def loaded(cls, name: str, weights: Mapping[str, Tensor], plane: tuple[int, int]) -> PromptedSam:
        """Build a variant with its weights, frozen.

        Parameters
        ----------
        plane : (H, W) of the slices in px, multiples of 4.

        Raises
        ------
        CheckpointError
            If the weights are those of another variant.
        """
        variant = VARIANTS[name]
        enlarged = variant.patch_px // VARIANTS[STUDENT].patch_px
        sam = build_sam(variant, (enlarged * plane[0], enlarged * plane[1]))
        load_resized(sam, weights)
        return cls(sam.eval().requires_grad_(False), variant)

    def embed(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W), in [0, 1], to embeddings (B, E, H / 4, W / 4)."""
        if self._enlarged != 1:
            images = F.interpolate(images, scale_factor=self._enlarged, mode="bilinear", align_corners=False)
        return embed(self.sam, images)

    def image(self, embedding: Tensor) -> Tensor:
        """Return embeddings (B, E, H / 4, W / 4) as they are."""
        return embedding

    def masks(self, embedding: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, H, W), and their predicted quality (B,)."""
        height, width = prompts.masks.shape[-2:]
        sparse = point_tokens(self.sam, prompts.points, prompts.kinds, (height, width))
        prompts = drawn(prompts) if self._corrects else prompts
        masks, quality = decode(self.sam, embedding, sparse, prompts.masks, prompts.has_mask, corrects=self._corrects)
        return masks.float(), quality.float()
