"""CPS, cross pseudo supervision (Chen, Yuan, Zeng, Wang, CVPR 2021, arXiv 2106.01226).

Each student takes the other one's most probable class for the label, on every slice, annotated or not:

    consistency = ( CE(z_u, argmax p_v) + CE(z_v, argmax p_u) ) / 2

with the mean over all pixels of the batch. In the publication both networks are alike and begin differently; here they
are the UNet and the VNet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.propagation.most_probable import most_probable
from knowsam.training.losses import cross_entropy_loss
from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms

if TYPE_CHECKING:
    from knowsam.training.semi_supervised.method import Seen


class CrossPseudoSupervision(SemiSupervisedMethod):
    """Lets each student label all slices for the other one."""

    title = "cross pseudo supervision (Chen et al. 2021)"

    def forward(self, seen: Seen) -> Terms:
        """Return the consistency on all slices."""
        unet, vnet = seen.logits.unet, seen.logits.vnet
        by_vnet = cross_entropy_loss(unet, most_probable(vnet.detach()))
        return Terms((by_vnet + cross_entropy_loss(vnet, most_probable(unet.detach()))) / 2)
