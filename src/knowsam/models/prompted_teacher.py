"""The base of all teachers: a promptable network with adapters and learnable prompts (paper, LPS).

A network is added by a class derived from `PromptedTeacher`, which says how it maps an image to an embedding, and
embedding and prompts to a mask. Adapters, learnable prompts, mask prompts and classes are the same for all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.errors import ConfigError
from knowsam.models.adapters import add_adapters
from knowsam.models.prompts import PromptHeads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from knowsam.config import TeacherConfig


class Embedding(NamedTuple):
    """What a network makes of images.

    Parameters
    ----------
    image : (B, E, h, w), which the mask decoder and the learnable prompts see.
    finer : features at higher resolution, each (B, E', h', w'), for networks that draw masks with them.
    """

    image: Tensor
    finer: tuple[Tensor, ...] = ()

    def repeated(self, times: int) -> Embedding:
        """Return each image as often, one after the other."""
        image, *finer = (one.repeat_interleave(times, dim=0) for one in (self.image, *self.finer))
        return Embedding(image, tuple(finer))


@dataclass(frozen=True)
class Provenance:
    """Where the parameters of a teacher come from.

    Parameters
    ----------
    name : of the network, in words.
    pretrained : whether weights were loaded; the network is frozen then.
    parameters, trainable : how many there are in all, and how many of them are trained.
    loaded : names of the tensors taken from the weights, as they stand there.
    resized : those of them that were interpolated to the plane.
    added : names of the parameters that the network does not have by itself: adapters and prompt heads.
    """

    name: str
    pretrained: bool
    parameters: int
    trainable: int
    loaded: tuple[str, ...]
    resized: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        size = f"{self.name}, {self.parameters / 1e6:.1f} M parameters"
        if not self.pretrained:
            return f"{size}, trained from scratch with the students"
        return (
            f"{size}, pretrained and frozen except {self.trainable / 1e6:.1f} M in adapters and prompt heads; "
            f"{len(self.resized)} of {len(self.loaded)} tensors resized to the plane"
        )


class PromptedTeacher(nn.Module, ABC):
    """A promptable network, adapted, that segments all classes of a batch at once.

    With pretrained weights the network is frozen, and only adapters and prompt heads are trained; without, all is.

    Parameters
    ----------
    classes : C, background included.
    plane : (H, W) of the images in px, multiples of 16.
    config : variant, adapters and prompt tokens.
    learnable_prompts : whether each class has prompt tokens that are read off the image.
    mask_prompts : whether each class is prompted with the students' fused logits.
    weights : pretrained ones of the network; None trains it from scratch.
    adapted : whether blocks get adapters; without any, no block learns.

    Attributes
    ----------
    provenance : where the parameters come from.
    frozen_blocks : encoder blocks before the first that learns; what they give for an image never changes.

    Raises
    ------
    ConfigError
        If there is no such network, or no prompt by which to tell the classes apart.
    CheckpointError
        If weights are needed and not given, or belong to another network.
    """

    def __init__(
        self,
        classes: int,
        plane: tuple[int, int],
        config: TeacherConfig,
        *,
        learnable_prompts: bool = True,
        mask_prompts: bool = True,
        weights: Mapping[str, Tensor] | None = None,
        adapted: bool = True,
    ) -> None:
        super().__init__()
        if not (learnable_prompts or mask_prompts):
            raise ConfigError(
                "Learnable prompts and mask prompts are both off, but SAM needs one of them to tell the classes apart. "
                "Switch one of them on, or set the SAM variant to none."
            )
        self.classes, self.plane, self.mask_prompts = classes, plane, mask_prompts
        name, resized = self._build(config, weights)
        own = set(self.parameters())
        if weights is not None:
            self.requires_grad_(False)
        is_pretrained = weights is not None
        self.frozen_blocks = self._adapt(config, is_pretrained=is_pretrained) if adapted else len(self._blocks())
        self.prompt_heads: PromptHeads | None = None
        if learnable_prompts:
            self.prompt_heads = PromptHeads(classes, config.prompt_tokens, self._no_point())
        self.provenance = Provenance(
            name=name,
            pretrained=weights is not None,
            parameters=sum(p.numel() for p in self.parameters()),
            trainable=sum(p.numel() for p in self.trainable_parameters()),
            loaded=tuple(weights or ()),
            resized=resized,
            added=tuple(name for name, p in self.named_parameters() if p not in own),
        )

    def _adapt(self, config: TeacherConfig, *, is_pretrained: bool) -> int:
        """Put adapters into the last blocks of the encoder; return how many blocks are before them."""
        blocks = self._blocks()
        # A SAM that learns from scratch learns in every block.
        everywhere = not is_pretrained or config.adapted_blocks == 0
        frozen = 0 if everywhere else max(len(blocks) - config.adapted_blocks, 0)
        for block, width in blocks[frozen:]:
            self._add_adapters(block, width, config)
        return frozen

    def _add_adapters(self, block: Any, width: int, config: TeacherConfig) -> None:
        """Put two adapters into a block, in place."""
        add_adapters(block, width, config)

    @classmethod
    def require_packages(cls) -> None:
        """Make sure that the packages the network is made of are there; asked before weights are downloaded.

        Raises
        ------
        ConfigError
            If one is missing.
        """

    # What a network has to bring.

    @abstractmethod
    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        """Build the network for `self.plane` and give it the weights; return its name and the `resized` tensors."""

    @abstractmethod
    def _blocks(self) -> Sequence[tuple[Any, int]]:
        """Return the blocks of the image encoder in their order, each with its width, for `add_adapters`."""

    @abstractmethod
    def _no_point(self) -> Tensor:
        """Return the network's own prompt token (E,) for no point, as which every learnable token begins."""

    @property
    @abstractmethod
    def mask_size(self) -> tuple[int, int]:
        """Height and width of the small masks, 4h and 4w."""

    @abstractmethod
    def trunk(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W), in [0, 1], to what the first block that learns gets: (B, ...), one tensor."""

    @abstractmethod
    def embed(self, tokens: Tensor) -> Embedding:
        """Map what `trunk` gives to embeddings."""

    @abstractmethod
    def draw(self, embedding: Embedding, sparse: Tensor | None, masks: Tensor | None) -> Tensor:
        """Draw one mask for each of N embeddings.

        Parameters
        ----------
        sparse : (N, T, E), prompt tokens, or None for no tokens.
        masks : (N, 1, H, W), mask prompts, logits, or None for no masks.

        Returns
        -------
        Logits (N, 1, 4h, 4w).
        """

    @abstractmethod
    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""

    # What the training asks for.

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters for the optimiser."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def change_classes(self, sources: Sequence[int | None]) -> None:
        """Go on with other classes: for each its index so far, or None for a new one."""
        self.classes = len(sources)
        if self.prompt_heads is not None:
            self.prompt_heads.change_classes(sources)

    def forward(self, x: Tensor, fused_logits: Tensor | None = None) -> Tensor:
        """Segment a batch of slices.

        Parameters
        ----------
        x : (B, 3, H, W), in [0, 1].
        fused_logits : (B, C, H, W), the students' prediction; no gradient flows into it. Not used where mask prompts
            are off; needed where they are the only prompts.

        Returns
        -------
        Logits (B, C, H, W).
        """
        return self.upsampled(self.masks(self.trunk(x), fused_logits))

    def masks(self, tokens: Tensor, fused_logits: Tensor | None = None) -> Tensor:
        """Do what `forward` does from the output of `trunk` on, up to the small masks (B, C, 4h, 4w)."""
        if self.prompt_heads is None and fused_logits is None:
            raise ValueError("fused_logits are the only prompts of this teacher, but none are given")
        embedding = self.embed(tokens)
        sparse = None if self.prompt_heads is None else self.prompt_heads(embedding.image)
        mask_logits = fused_logits.detach() if self.mask_prompts and fused_logits is not None else None
        return self.decode(embedding, sparse, mask_logits)

    def decode(self, embedding: Embedding, sparse: Tensor | None, mask_logits: Tensor | None) -> Tensor:
        """Draw all structures of all images in one batch; background is what none of them is.

        Parameters
        ----------
        embedding : from `embed`.
        sparse : (B, C - 1, T, E), prompt tokens, or None for no tokens.
        mask_logits : (B, C, H, W), mask prompts, or None for the network's own "no mask" embedding.

        Returns
        -------
        Logits (B, C, 4h, 4w), those of background 0.
        """
        structures = self.classes - 1
        masks = self.draw(
            embedding.repeated(structures),
            None if sparse is None else sparse.flatten(0, 1),
            None if mask_logits is None else log_odds(mask_logits)[:, 1:].flatten(0, 1)[:, None],
        )
        found = masks.view(len(embedding.image), structures, *masks.shape[-2:])
        return F.pad(found, (0, 0, 0, 0, 1, 0))

    def upsampled(self, masks: Tensor) -> Tensor:
        """Bring small masks (B, C, 4h, 4w) to the plane: (B, C, H, W)."""
        return F.interpolate(masks, size=self.plane, mode="bilinear", align_corners=False)


def log_odds(logits: Tensor) -> Tensor:
    """Turn logits of classes (B, C, ...) into those of each class against all others together."""
    others = [torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1).logsumexp(dim=1) for c in range(logits.shape[1])]
    return logits - torch.stack(others, dim=1)


def enlarged(plane: tuple[int, int], multiple_px: int, least_px: int) -> tuple[int, int]:
    """Return the size of the image that a network sees of a plane, for networks that small images tell little.

    Parameters
    ----------
    multiple_px : what its sides are a multiple of. least_px : what its longer side has at least.

    >>> enlarged((96, 48), 32, 256)
    (256, 128)
    """
    factor = max(least_px / max(plane), 1.0)
    height, width = (multiple_px * math.ceil(side * factor / multiple_px) for side in plane)
    return height, width
