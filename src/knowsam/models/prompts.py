"""Learnable prompts: SAM's prompt tokens, read off the image instead of clicked by a user."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from knowsam.models.unet import norm_layer


class PromptHeads(nn.Module):
    """For each class, a small network that turns an image embedding into prompt tokens (paper, LPS).

    Parameters
    ----------
    classes : C, background included.
    tokens : T, prompt tokens for each class.
    embed_dim : width of the image embedding and of a token.
    """

    def __init__(self, classes: int, tokens: int = 2, embed_dim: int = 256) -> None:
        super().__init__()
        self.tokens, self.embed_dim = tokens, embed_dim
        self.heads = nn.ModuleList(_prompt_head(tokens, embed_dim) for _ in range(classes))

    def change_classes(self, sources: Sequence[int | None]) -> None:
        """Keep the heads of known classes, given by their indices so far, and add one for each None."""
        device = next(self.parameters()).device
        self.heads = nn.ModuleList(
            _prompt_head(self.tokens, self.embed_dim).to(device) if source is None else self.heads[source]
            for source in sources
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Map an image embedding (B, embed_dim, h, w) of any h, w to sparse prompts (B, C, T, embed_dim)."""
        return torch.stack([head(embedding) for head in self.heads], dim=1)


def _prompt_head(tokens: int, embed_dim: int) -> nn.Sequential:
    hidden = embed_dim // 4
    return nn.Sequential(
        *_conv_pool(embed_dim, hidden),
        *_conv_pool(hidden, hidden),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(hidden, embed_dim),
        nn.GELU(),
        nn.Linear(embed_dim, tokens * embed_dim),
        nn.Unflatten(1, (tokens, embed_dim)),
    )


def _conv_pool(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm_layer("group", out_channels),
        nn.GELU(),
        # Rounding up lets an embedding of a single row or column through.
        nn.MaxPool2d(kernel_size=2, ceil_mode=True),
    )
