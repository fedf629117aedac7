"""The second student: V-Net (Milletari, Navab, Ahmadi, 3DV 2016, arXiv 1606.04797) in 2D."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.models.unet import DROPOUT_RATES, norm_layer

CONVS_DOWN = (1, 2, 3, 3, 3)
CONVS_UP = (3, 3, 2, 1)


class ResidualStage(nn.Module):
    """A chain of 3x3 convolutions with normalisation and LeakyReLU that learns a residual of its input."""

    def __init__(self, in_channels: int, out_channels: int, convs: int, norm: str, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in [in_channels] + [out_channels] * (convs - 1):
            layers += [
                nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
                norm_layer(norm, out_channels),
                nn.LeakyReLU(inplace=True),
            ]
        # The last nonlinearity follows the sum with the shortcut, as in V-Net.
        self.convs = nn.Sequential(*layers[:-1])
        same_width = in_channels == out_channels
        self.shortcut = nn.Identity() if same_width else nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        out: Tensor = self.dropout(F.leaky_relu(self.convs(x) + self.shortcut(x)))
        return out


def _resample(conv: type[nn.Conv2d] | type[nn.ConvTranspose2d], fan_in: int, fan_out: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        conv(fan_in, fan_out, kernel_size=2, stride=2, bias=False),
        norm_layer(norm, fan_out),
        nn.LeakyReLU(inplace=True),
    )


class VNet(nn.Module):
    """Five residual levels, strided convolution down, transposed convolution up, skips by addition.

    Parameters
    ----------
    in_channels : channels of the input.
    classes : C, background included.
    width : channels of the finest level; each coarser level has twice as many.
    norm : normalisation layer, see `norm_layer`.
    dropout : factor on `DROPOUT_RATES`; 0 switches dropout off.
    """

    def __init__(
        self, in_channels: int, classes: int, width: int = 16, norm: str = "batch", dropout: float = 1.0
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(len(CONVS_DOWN))]
        self.stem = ResidualStage(in_channels, width, CONVS_DOWN[0], norm, dropout * DROPOUT_RATES[0])
        self.downsample = nn.ModuleList(_resample(nn.Conv2d, fine, coarse, norm) for fine, coarse in pairwise(widths))
        self.down = nn.ModuleList(
            ResidualStage(channels, channels, convs, norm, dropout * rate)
            for channels, convs, rate in zip(widths[1:], CONVS_DOWN[1:], DROPOUT_RATES[1:], strict=True)
        )
        self.upsample = nn.ModuleList(
            _resample(nn.ConvTranspose2d, coarse, fine, norm) for coarse, fine in pairwise(reversed(widths))
        )
        self.up = nn.ModuleList(
            ResidualStage(channels, channels, convs, norm)
            for channels, convs in zip(reversed(widths[:-1]), CONVS_UP, strict=True)
        )
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W), H and W multiples of 16, to logits (B, C, H, W)."""
        x = self.stem(x)
        skips: list[Tensor] = []
        for downsample, stage in zip(self.downsample, self.down, strict=True):
            skips.append(x)
            x = stage(downsample(x))
        for upsample, stage in zip(self.upsample, self.up, strict=True):
            x = stage(upsample(x) + skips.pop())
        logits: Tensor = self.head(x)
        return logits
