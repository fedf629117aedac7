"""Bottleneck adapters in the blocks of a frozen image encoder (paper, LPS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from knowsam.config import TeacherConfig


class Adapter(nn.Sequential):
    """A bottleneck that starts as zero: before it is trained, SAM is exactly as it was."""

    def __init__(self, width: int, ratio: float) -> None:
        bottleneck = max(round(width * ratio), 1)
        last = nn.Linear(bottleneck, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, bottleneck), nn.GELU(), last)


class ChannelAdapter(Adapter):
    """An adapter of feature maps (B, E, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps (B, E, h, w) to feature maps (B, E, h, w)."""
        adapted: Tensor = super().forward(x.movedim(1, -1))  # type: ignore[no-untyped-call]
        return adapted.movedim(-1, 1)


class AdaptedAttention(nn.Module):
    """An attention layer with an adapter behind it, with residual."""

    def __init__(self, attention: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.attention, self.adapter = attention, adapter

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Map what the layer takes, tokens (B, h, w, E) first, to tokens (B, h, w, E)."""
        attended: Tensor = self.attention(*args, **kwargs)
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


def add_adapters(block: Any, width: int, config: TeacherConfig) -> None:
    """Put two adapters into a block of an image encoder, in place.

    Parameters
    ----------
    block : has an attention layer `attn` and an `mlp`, both of which give tokens of E = `width`.
    """
    block.attn = AdaptedAttention(block.attn, Adapter(width, config.adapter_ratio))
    block.mlp = AdaptedMLP(block.mlp, Adapter(width, config.adapter_ratio), config.mlp_adapter_scale)
