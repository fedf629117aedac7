"""The two students and the fusion of their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from knowsam.models.entropy import entropy
from knowsam.models.unet import UNet, norm_layer
from knowsam.models.vnet import VNet

if TYPE_CHECKING:
    from knowsam.config import StudentConfig


class StudentLogits(NamedTuple):
    """Logits of one pass, each (B, C, H, W)."""

    unet: Tensor
    vnet: Tensor
    fused: Tensor


class Fusion(nn.Module):
    """Hybrid aggregation: fuse both students by their agreement, certainty and evidence (paper).

    It ends in a plain convolution: a nonlinearity there would squash negative logits.
    """

    def __init__(self, classes: int, norm: str = "batch") -> None:
        super().__init__()
        self.agreement = _branch(classes, 16, norm)
        self.certainty = _branch(2, 16, norm)
        self.evidence = _branch(2 * classes, 32, norm)
        self.head = nn.Sequential(*_conv_norm_act(64, 64, 3, norm), nn.Conv2d(64, classes, kernel_size=3, padding=1))

    def forward(self, unet: Tensor, vnet: Tensor) -> Tensor:
        """Map the logits of both students, each (B, C, H, W), to fused logits (B, C, H, W)."""
        p_unet, p_vnet = unet.softmax(dim=1), vnet.softmax(dim=1)
        agreement = ((p_unet > 0.5) == (p_vnet > 0.5)).to(unet.dtype)
        certainty = 1 - torch.stack([entropy(p_unet), entropy(p_vnet)], dim=1)
        evidence = torch.cat([unet, vnet], dim=1)
        seen = [self.agreement(agreement), self.certainty(certainty), self.evidence(evidence)]
        fused: Tensor = self.head(torch.cat(seen, dim=1))
        return fused


def _branch(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        *_conv_norm_act(in_channels, out_channels, 3, norm), *_conv_norm_act(out_channels, out_channels, 1, norm)
    )


def _conv_norm_act(in_channels: int, out_channels: int, kernel: int, norm: str) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        norm_layer(norm, out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    )


IMAGE_CHANNELS = 3
"""Channels of a slice that are grey values; any further ones are propagated labels."""

PRIOR_MAPS = 4
"""Maps of propagated labels for each class, see `PropagatedLabels.channels`."""

_PRIOR_FEATURES = 8


class Students(nn.Module):
    """UNet and VNet on the same slice, and their fusion.

    Parameters
    ----------
    classes : C, background included.
    config : width, normalisation and dropout of the students.
    prior : whether propagated labels are a part of their input.
    """

    def __init__(self, classes: int, *, config: StudentConfig, prior: bool = False) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        # Only this layer depends on the number of classes, so that the networks behind it need not.
        self.prior = nn.Conv2d(PRIOR_MAPS * classes, _PRIOR_FEATURES, kernel_size=1, bias=False) if prior else None
        in_channels = IMAGE_CHANNELS + (_PRIOR_FEATURES if prior else 0)
        self.unet = UNet(in_channels, classes, config.width, config.norm, config.dropout)
        self.vnet = VNet(in_channels, classes, config.width, config.norm, config.dropout)
        self.fusion = Fusion(classes, config.norm)

    @property
    def prior_channels(self) -> int:
        """Channels of propagated labels, behind those of the image."""
        return 0 if self.prior is None else self.prior.in_channels

    def forward(self, x: Tensor) -> StudentLogits:
        """Segment a batch of slices.

        Parameters
        ----------
        x : (B, 3, H, W), in [0, 1]; H and W multiples of 16. Students that know propagated labels are given
            (B, 3 + 4 C, H, W), those in [-1, 1], and zeros where nothing is propagated.
        """
        centred = 2 * x[:, :IMAGE_CHANNELS] - 1
        if self.prior is not None:
            centred = torch.cat([centred, self.prior(x[:, IMAGE_CHANNELS:])], dim=1)
        unet, vnet = self.unet(centred), self.vnet(centred)
        return StudentLogits(unet, vnet, self.fusion(unet, vnet))
