"""MC, mutual consistency: what the students of KnowSAM do (Huang et al., IEEE TMI 2025).

Each student agrees with the other one on every slice, annotated or not, and both are to be sure:

    L_cons(z, sg[q]) = - mean over classes and pixels of  q log p + (1 - q) log(1 - p),   p = softmax(z)
    consistency      = ( L_cons(z_u, sg[p_v]) + L_cons(z_v, sg[p_u]) ) / 2
    entropy          = ( L_ent(p_u) + L_ent(p_v) ) / 2,   L_ent(p) = mean of H(p) / log C

On mixed slices the same, and the fused prediction labels the mixed unlabelled ones for both students:

    consistency of the mixed phase = the above + ( L_sup(z_u, argmax z_fuse) + L_sup(z_v, argmax z_fuse) ) / 2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.propagation.most_probable import most_probable
from knowsam.training.losses import consistency_loss, entropy_loss, supervised_loss
from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms, rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.training.semi_supervised.method import PassLogits, Seen


class MutualConsistency(SemiSupervisedMethod):
    """Lets both students agree with each other, and be sure."""

    title = "mutual consistency (KnowSAM, Huang et al. 2025)"

    def forward(self, seen: Seen) -> Terms:
        """Return consistency and entropy on all slices."""
        return Terms(_consistency(seen.logits), _entropy(seen.logits))

    def mixed(self, logits: PassLogits, labelled: int) -> Terms:
        """Return consistency and entropy on all mixed slices, with pseudo-labels on the unlabelled ones."""
        unlabelled = rows_of(logits, slice(labelled, None))
        pseudo_labels = most_probable(unlabelled.fused.detach())
        unet_taught = supervised_loss(unlabelled.unet, pseudo_labels)
        vnet_taught = supervised_loss(unlabelled.vnet, pseudo_labels)
        return Terms(_consistency(logits) + (unet_taught + vnet_taught) / 2, _entropy(logits))


def _consistency(logits: PassLogits) -> Tensor:
    p_unet, p_vnet = logits.unet.float().softmax(1), logits.vnet.float().softmax(1)
    return (consistency_loss(logits.unet, p_vnet) + consistency_loss(logits.vnet, p_unet)) / 2


def _entropy(logits: PassLogits) -> Tensor:
    return (entropy_loss(logits.unet.float().softmax(1)) + entropy_loss(logits.vnet.float().softmax(1))) / 2
