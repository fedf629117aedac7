"""The corrector: a small network that learns how proposals of finished volumes err in one kind of structure.

Corrective learning: H. Wang et al., "A learning-based wrapper method to correct systematic errors in automatic image
segmentation", NeuroImage 55, 2011; here the classifier is a UNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from knowsam.models.unet import UNet

NEIGHBOURS = 3
"""The slice below, the slice and the one above."""

_WIDTH = 8
_DROPOUT = 0.5
_LEAST_PROBABILITY = 2e-3
_GREY_MEAN, _GREY_DEVIATION = 0.3, 0.2
"""Of the images, about."""


class Corrector(nn.Module):
    """A UNet that says by how much the logits of what is proposed are to be changed; by zero before any training.

    Instance normalisation: the prediction of a volume does not depend on the statistics of others.

    Parameters
    ----------
    classes : C, background included.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.unet = UNet(NEIGHBOURS * (1 + classes), classes, _WIDTH, norm="instance", dropout=_DROPOUT)
        nn.init.zeros_(self.unet.head.weight)
        if self.unet.head.bias is not None:
            nn.init.zeros_(self.unet.head.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Correct what is proposed for some slices.

        Parameters
        ----------
        maps : (B, 3 + 3C, H, W), see `knowsam.inference.proposed_slices.ProposedSlices.maps`.

        Returns
        -------
        Logits (B, C, H, W).
        """
        grey, proposed = maps[:, :NEIGHBOURS], maps[:, NEIGHBOURS:]
        change: Tensor = self.unet(torch.cat([(grey - _GREY_MEAN) / _GREY_DEVIATION, proposed], dim=1))
        own = proposed[:, self.classes : 2 * self.classes]
        return own.clamp_min(_LEAST_PROBABILITY).log() + change
