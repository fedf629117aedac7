"""TinyViT as the image encoder of MobileSAM, for images of any size.

TinyViT: Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022, arXiv 2207.10666.
MobileSAM: Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications", 2023, arXiv
2306.14289. Parameters have the names that they have in `mobile_sam.pt`. `docs/decisions.md` says why this is our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST_PARAMETER = "patch_embed.seq.0.c.weight"
"""A tensor of this name shows that weights are those of a TinyViT."""

CLASSIFIER = ("norm_head.", "head.")
"""Beginnings of the names of what the published file has besides: the head that classified photographs."""

_WIDTHS, _DEPTHS, _HEADS, _WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
_STRIDES = (2, 2, 1)
"""Between two stages. The last one is MobileSAM's: it leaves a place for each 16 x 16 px, as SAM's encoder does."""

_EXPANSION = 4


class TinyVit(nn.Module):
    """The TinyViT of five million parameters: a stage of convolutions and three of attention within windows.

    It has no absolute positions.

    Parameters
    ----------
    embed_dim : E of the embedding.
    norm : makes a normalisation of feature maps of so many channels; SAM's `LayerNorm2d`.
    """

    def __init__(self, embed_dim: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbedding(_WIDTHS[0])
        self.layers = nn.ModuleList(_Stage(index) for index in range(len(_WIDTHS)))
        self.neck = nn.Sequential(
            nn.Conv2d(_WIDTHS[-1], embed_dim, kernel_size=1, bias=False),
            norm(embed_dim),
            nn.Conv2d(embed_dim, embed_dim, kernel_size=3, padding=1, bias=False),
            norm(embed_dim),
        )

    def steps(self) -> dict[str, nn.Module]:
        """Return all that feature maps pass before the neck, by its name, in its order."""
        kinds = _PatchEmbedding, _InvertedBottleneck, TinyVitBlock, _Merging
        return {name: module for name, module in self.named_modules() if isinstance(module, kinds)}

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to embeddings (B, E, H / 16, W / 16)."""
        features = images
        for step in self.steps().values():
            features = step(features)
        embedding: Tensor = self.neck(features)
        return embedding


class TinyVitBlock(nn.Module):
    """Attention within windows, a convolution in each channel, and an MLP.

    Parameters
    ----------
    width : E. window : side of a window, in places.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.width, self._window = width, window
        self.attn = _WindowAttention(width, heads, window)
        self.local_conv = _Convolution(width, width, side=3, groups=width)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps (B, E, h, w) to feature maps of the same shape."""
        places = x.permute(0, 2, 3, 1)
        x = self.local_conv((places + self._attended(places)).permute(0, 3, 1, 2))
        places = x.permute(0, 2, 3, 1)
        mixed: Tensor = places + self.mlp(places)
        return mixed.permute(0, 3, 1, 2)

    def _attended(self, places: Tensor) -> Tensor:
        """Let places (B, h, w, E) attend within windows; at the lower and right border zeros fill them up."""
        b, h, w, e = places.shape
        side = self._window
        padded = F.pad(places, (0, 0, 0, -w % side, 0, -h % side))
        rows, columns = padded.shape[1] // side, padded.shape[2] // side
        windows = padded.view(b, rows, side, columns, side, e).transpose(2, 3).reshape(-1, side * side, e)
        attended: Tensor = self.attn(windows).view(b, rows, columns, side, side, e).transpose(2, 3)
        return attended.reshape(padded.shape)[:, :h, :w]


class _WindowAttention(nn.Module):
    """Attention between the places of a window, with a learnt bias for each distance of two places."""

    distances: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window * window)
        row, column = place // window, place % window
        distances = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        self.register_buffer("distances", distances, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (N, P, E) to windows of the same shape."""
        n, p, e = x.shape
        # Query, key and value of each head lie side by side.
        query, key, value = self.qkv(self.norm(x)).view(n, p, self._heads, -1).transpose(1, 2).chunk(3, dim=-1)
        bias = self.attention_biases[:, self.distances].to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed: Tensor = self.proj(attended.transpose(1, 2).reshape(n, p, e))
        return mixed


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, _EXPANSION * width)
        self.fc2 = nn.Linear(_EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return mapped


class _Stage(nn.Module):
    """The blocks of a stage, and what leads to the next one."""

    def __init__(self, index: int) -> None:
        super().__init__()
        width = _WIDTHS[index]
        self.blocks = nn.ModuleList(
            TinyVitBlock(width, _HEADS[index], _WINDOWS[index]) if index else _InvertedBottleneck(width)
            for _ in range(_DEPTHS[index])
        )
        is_last = index == len(_WIDTHS) - 1
        self.downsample = None if is_last else _Merging(width, _WIDTHS[index + 1], _STRIDES[index])


class _Convolution(nn.Sequential):
    """A convolution and a batch normalisation, under the names of the published file."""

    def __init__(self, inputs: int, outputs: int, *, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))


class _PatchEmbedding(nn.Module):
    """Two convolutions that leave a place for each 4 x 4 px."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = _Convolution(3, width // 2, side=3, stride=2)
        self.seq = nn.Sequential(first, nn.GELU(), _Convolution(width // 2, width, side=3, stride=2))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.seq(images)
        return features


class _InvertedBottleneck(nn.Module):
    """The block of MobileNetV2: a convolution in each of many channels, between two that mix channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = _EXPANSION * width
        self.conv1 = _Convolution(width, hidden)
        self.conv2 = _Convolution(hidden, hidden, side=3, groups=hidden)
        self.conv3 = _Convolution(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class _Merging(nn.Module):
    """From one stage to the next: other channels, and a place for `stride` x `stride` of them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(inputs, outputs)
        self.conv2 = _Convolution(outputs, outputs, side=3, stride=stride, groups=outputs)
        self.conv3 = _Convolution(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return merged
