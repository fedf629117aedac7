"""The teacher: SAM with adapters, learnable prompts and the students' prediction as mask prompt (paper, LPS)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.prompts import PromptHeads
from knowsam.models.sam import VARIANTS, build_sam, load_resized
from knowsam.models.sam_prompting import decode, patches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from knowsam.config import TeacherConfig


_DIGESTED_VALUES = 64
"""Of each tensor; training that changed a network leaves none of its tensors as it was."""


@dataclass(frozen=True)
class TeacherOrigin:
    """What a teacher is built from; what one has learnt is of use only to another of the same origin.

    Parameters
    ----------
    variant : name of the SAM variant.
    weights : digest of its pretrained weights; empty if it is trained from scratch.
    adapted_blocks, adapter_ratio, mlp_adapter_scale, prompt_tokens : as in `TeacherConfig`.
    """

    variant: str
    weights: str
    adapted_blocks: int
    adapter_ratio: float
    mlp_adapter_scale: float
    prompt_tokens: int

    @classmethod
    def of(cls, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> TeacherOrigin:
        """Return the origin of the teacher that these settings and weights make."""
        return cls(
            config.variant,
            "" if weights is None else _digest(weights),
            config.adapted_blocks,
            config.adapter_ratio,
            config.mlp_adapter_scale,
            config.prompt_tokens,
        )


@dataclass(frozen=True)
class SamProvenance:
    """Where the parameters of a teacher come from.

    Parameters
    ----------
    variant : name of the variant.
    pretrained : whether weights were loaded; SAM is frozen then.
    parameters, trainable : how many there are in all, and how many of them are trained.
    loaded : names of the tensors taken from the weights, as they stand there.
    resized : those of them that were interpolated to the plane.
    added : names of the parameters that SAM does not have: adapters and prompt heads.
    """

    variant: str
    pretrained: bool
    parameters: int
    trainable: int
    loaded: tuple[str, ...]
    resized: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        size = f"SAM {self.variant}, {self.parameters / 1e6:.1f} M parameters"
        if not self.pretrained:
            return f"{size}, trained from scratch with the students"
        return (
            f"{size}, pretrained and frozen except {self.trainable / 1e6:.1f} M in adapters and prompt heads; "
            f"{len(self.resized)} of {len(self.loaded)} tensors resized to the plane"
        )


class Adapter(nn.Sequential):
    """A bottleneck that starts as zero: before it is trained, SAM is exactly as it was."""

    def __init__(self, width: int, ratio: float) -> None:
        bottleneck = max(round(width * ratio), 1)
        last = nn.Linear(bottleneck, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, bottleneck), nn.GELU(), last)


class AdaptedAttention(nn.Module):
    """An attention layer with an adapter behind it, with residual."""

    def __init__(self, attention: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.attention, self.adapter = attention, adapter

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, h, w, E) to tokens (B, h, w, E)."""
        attended: Tensor = self.attention(x)
        refinement: Tensor = self.adapter(attended)
        return attended + refinement


class AdaptedMLP(nn.Module):
    """An MLP with a weighted adapter beside it."""

    def __init__(self, mlp: nn.Module, adapter: Adapter, scale: float) -> None:
        super().__init__()
        self.mlp, self.adapter, self.scale = mlp, adapter, scale

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, h, w, E) to tokens (B, h, w, E)."""
        out: Tensor = self.mlp(x) + self.scale * self.adapter(x)
        return out


def add_adapters(blocks: Iterable[Any], config: TeacherConfig) -> None:
    """Put two adapters into each of some blocks of an image encoder, in place."""
    for block in blocks:
        width = block.mlp.lin1.in_features
        block.attn = AdaptedAttention(block.attn, Adapter(width, config.adapter_ratio))
        block.mlp = AdaptedMLP(block.mlp, Adapter(width, config.adapter_ratio), config.mlp_adapter_scale)


class SamTeacher(nn.Module):
    """SAM, adapted, that segments all classes of a batch at once.

    With pretrained weights SAM is frozen, and only adapters and prompt heads are trained; without, all of it is.

    Parameters
    ----------
    classes : C, background included.
    plane : (H, W) of the images in px, multiples of 16.
    config : variant, adapters and prompt tokens.
    learnable_prompts : whether each class has prompt tokens that are read off the image.
    mask_prompts : whether each class is prompted with the students' fused logits.
    weights : state of an official SAM of the same variant, see `knowsam.models.checkpoints.load_sam_weights`.

    Attributes
    ----------
    provenance : where the parameters come from.
    frozen_blocks : encoder blocks before the first that learns; what they give for an image never changes.

    Raises
    ------
    ConfigError
        If there is no variant to build, or no prompt by which to tell the classes apart.
    CheckpointError
        If weights are needed and not given, or belong to another variant.
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
    ) -> None:
        super().__init__()
        _check_buildable(config.variant, learnable_prompts or mask_prompts, weights is not None)
        self.classes, self.plane, self.mask_prompts = classes, plane, mask_prompts
        variant = VARIANTS[config.variant]
        self.sam, self._corrects = build_sam(variant, plane), variant.corrects_masks
        official = set(self.sam.parameters())
        resized: tuple[str, ...] = ()
        if weights is not None:
            resized = load_resized(self.sam, weights)
            self.sam.requires_grad_(False)
        blocks = self.sam.image_encoder.blocks
        # A SAM that learns from scratch learns in every block.
        everywhere = weights is None or config.adapted_blocks == 0
        self.frozen_blocks = 0 if everywhere else max(len(blocks) - config.adapted_blocks, 0)
        add_adapters(blocks[self.frozen_blocks :], config)
        self.prompt_heads: PromptHeads | None = None
        if learnable_prompts:
            start = self.sam.prompt_encoder.not_a_point_embed.weight[0]
            self.prompt_heads = PromptHeads(classes, config.prompt_tokens, start)
        self.provenance = SamProvenance(
            variant=config.variant,
            pretrained=weights is not None,
            parameters=sum(p.numel() for p in self.parameters()),
            trainable=sum(p.numel() for p in self.trainable_parameters()),
            loaded=tuple(weights or ()),
            resized=resized,
            added=tuple(name for name, p in self.named_parameters() if p not in official),
        )

    @property
    def mask_size(self) -> tuple[int, int]:
        """Height and width of the small masks, 4h and 4w."""
        height, width = self.sam.prompt_encoder.mask_input_size
        return height, width

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
        sparse = None if self.prompt_heads is None else self.prompt_heads(embedding)
        mask_logits = fused_logits.detach() if self.mask_prompts and fused_logits is not None else None
        return self.decode(embedding, sparse, mask_logits)

    def upsampled(self, masks: Tensor) -> Tensor:
        """Bring small masks (B, C, 4h, 4w) to the plane: (B, C, H, W)."""
        return F.interpolate(masks, size=self.plane, mode="bilinear", align_corners=False)

    def trunk(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to tokens (B, h, w, E), as the first block that learns gets them."""
        tokens = patches(self.sam, x)
        for block in self.sam.image_encoder.blocks[: self.frozen_blocks]:
            tokens = block(tokens)
        return tokens

    def embed(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, h, w, E) of `trunk` to embeddings (B, 256, h, w)."""
        encoder = self.sam.image_encoder
        for block in encoder.blocks[self.frozen_blocks :]:
            tokens = block(tokens)
        embedding: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2))
        return embedding

    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""
        parts = ("image_encoder.patch_embed.", "image_encoder.pos_embed", "pixel_")
        blocks = tuple(f"image_encoder.blocks.{index}." for index in range(self.frozen_blocks))
        state = {"pixel_mean": self.sam.pixel_mean, "pixel_std": self.sam.pixel_std} | dict(self.sam.state_dict())
        return {name: tensor for name, tensor in state.items() if name.startswith(parts + blocks)}

    def decode(self, embedding: Tensor, sparse: Tensor | None, mask_logits: Tensor | None) -> Tensor:
        """Run SAM's mask decoder once for all structures of all images; background is what none of them is.

        Parameters
        ----------
        embedding : (B, E, h, w), from `embed`.
        sparse : (B, C - 1, T, E), prompt tokens, or None for no tokens.
        mask_logits : (B, C, H, W), mask prompts, or None for SAM's own "no mask" embedding.

        Returns
        -------
        Logits (B, C, 4h, 4w), those of background 0.
        """
        structures = self.classes - 1
        masks, _ = decode(
            self.sam,
            embedding.repeat_interleave(structures, dim=0),
            None if sparse is None else sparse.flatten(0, 1),
            None if mask_logits is None else log_odds(mask_logits)[:, 1:].flatten(0, 1)[:, None],
            corrects=self._corrects,
        )
        found = masks.view(len(embedding), structures, *masks.shape[-2:])
        return F.pad(found, (0, 0, 0, 0, 1, 0))


def log_odds(logits: Tensor) -> Tensor:
    """Turn logits of classes (B, C, ...) into those of each class against all others together."""
    others = [torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1).logsumexp(dim=1) for c in range(logits.shape[1])]
    return logits - torch.stack(others, dim=1)


def _digest(weights: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 by which weights are told apart, from the beginning of each tensor: ViT-H has 2.6 GB."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1)[:_DIGESTED_VALUES].double().cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_buildable(variant: str, prompted: bool, weighted: bool) -> None:
    if variant not in VARIANTS:
        raise ConfigError(
            f"The SAM variant is {variant}, but must be one of {', '.join(VARIANTS)}. Choose one of these."
        )
    if not prompted:
        raise ConfigError(
            "Learnable prompts and mask prompts are both off, but SAM needs one of them to tell the classes apart. "
            "Switch one of them on, or set the SAM variant to none."
        )
    if variant != "compact" and not weighted:
        raise CheckpointError(
            f"SAM {variant} was given no weights, but only the compact variant is trained from scratch. "
            f"Give the official weights of {variant}, or choose compact."
        )
