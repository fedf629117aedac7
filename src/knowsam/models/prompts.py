"""Learnable prompts: SAM's prompt tokens, read off the image instead of clicked by a user."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from knowsam.data.annotation import BACKGROUND
from knowsam.models.unet import norm_layer


class PromptHeads(nn.Module):
    """For each class but background, a small network that turns an image embedding into prompt tokens (paper, LPS).

    Parameters
    ----------
    classes : C, background included.
    tokens : T, prompt tokens for each class.
    start : (E,), what every token is before it is learnt.
    """

    start: Tensor

    def __init__(self, classes: int, tokens: int, start: Tensor) -> None:
        super().__init__()
        self.tokens = tokens
        self.register_buffer("start", start.detach().clone(), persistent=False)
        self.heads = nn.ModuleDict({str(index): _prompt_head(tokens, start) for index in range(1, classes)})

    def change_classes(self, sources: Sequence[int | None]) -> None:
        """Keep the heads of known classes, given by their indices so far, and add one for each None."""
        known = dict(self.heads.items())
        self.heads = nn.ModuleDict(
            {
                str(index): known.get(str(source)) or _prompt_head(self.tokens, self.start).to(self.start.device)
                for index, source in enumerate(sources)
                if index != BACKGROUND
            }
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Map an image embedding (B, E, h, w) of any h, w to prompt tokens (B, C - 1, T, E)."""
        return torch.stack([head(embedding) for head in self.heads.values()], dim=1)


def _prompt_head(tokens: int, start: Tensor) -> nn.Sequential:
    embed_dim = len(start)
    hidden = max(embed_dim // 4, 16)
    last = nn.Linear(embed_dim, tokens * embed_dim)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(start.repeat(tokens))
    return nn.Sequential(
        *_conv_pool(embed_dim, hidden),
        *_conv_pool(hidden, hidden),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(hidden, embed_dim),
        nn.GELU(),
        last,
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
