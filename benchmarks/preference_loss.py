"""Learning from choices between two masks of a slice: direct preference optimisation (DPO), on the pixels in dispute.

Of a slice x, a person has preferred mask w to mask l. With students p and the frozen students p_ref of the time when
the person was asked, the margin is what p has gained for w and against l:

    m = mean over pixels i with w_i != l_i of
        [ log p(w_i | x) - log p_ref(w_i | x) ] - [ log p(l_i | x) - log p_ref(l_i | x) ]
    L_pref = mean over pairs of  - log sigmoid(beta m)

Sources: DPO is Rafailov et al., NeurIPS 2023 (arXiv 2305.18290), where log p is that of a whole answer. Konwer et al.,
CVPR 2025 (arXiv 2503.04639), use it for masks of SAM; Kalisch et al. 2026 (arXiv 2601.23222) divide by the number of
pixels in dispute, as here. Elsewhere both terms cancel, so that in a mean over all pixels the margin stays near 0 and
the loss near log 2; `over_plane` computes that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from knowsam.models.students import StudentLogits
from knowsam.training.semi_supervised.mutual_consistency import MutualConsistency

if TYPE_CHECKING:
    from knowsam.config import StudentConfig
    from knowsam.models.students import Students
    from knowsam.training.semi_supervised.averaged_students import AveragedStudents
    from knowsam.training.semi_supervised.method import PassLogits, Seen, Terms

_PAIRS_IN_STEP = 2
"""As many as annotated slices."""


def preference_margins(
    logits: Tensor, reference: Tensor, chosen: Tensor, rejected: Tensor, *, over_plane: bool = False
) -> Tensor:
    """Return m of each pair, (B,), with gradient; 0 where both masks are the same.

    Parameters
    ----------
    logits, reference : (B, C, H, W), of the students, and of the frozen ones, which get no gradient.
    chosen, rejected : (B, H, W), class indices; pixels where both are IGNORE are not in dispute.
    over_plane : divide by all pixels instead of those in dispute.
    """
    disputed = chosen != rejected
    gained = logits.float().log_softmax(dim=1) - reference.detach().float().log_softmax(dim=1)
    difference = _at(gained, chosen, disputed) - _at(gained, rejected, disputed)
    pixels = disputed[0].numel() if over_plane else disputed.sum(dim=(1, 2)).clamp(min=1)
    return (difference * disputed).sum(dim=(1, 2)) / pixels


def preference_loss(margins: Tensor, beta: float) -> Tensor:
    """L_pref of the margins (B,) of some pairs."""
    return -F.logsigmoid(beta * margins).mean()


def _at(maps: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Return the value of each pixel's own class, (B, H, W); of any class where it is not `known`."""
    return maps.gather(1, torch.where(known, labels, 0).long()[:, None])[:, 0]


class Pairs(NamedTuple):
    """What was preferred to what.

    Parameters
    ----------
    images : (P, 3 + K, H, W), the slices as students see them.
    reference : what the students said of them when the person was asked.
    chosen, rejected : (P, H, W), class indices.
    """

    images: Tensor
    reference: StudentLogits
    chosen: Tensor
    rejected: Tensor

    def rows(self, rows: Tensor) -> Pairs:
        """Return some of the pairs."""
        reference = StudentLogits(*(maps[rows] for maps in self.reference))
        return Pairs(self.images[rows], reference, self.chosen[rows], self.rejected[rows])


class PreferenceSettings(NamedTuple):
    """Weight and beta of L_pref, and whether it is a mean over the plane."""

    weight: float
    beta: float
    over_plane: bool


class Preferring(MutualConsistency):
    """Mutual consistency, and L_pref of some pairs in every step: (L_u + L_v) / 2 + L_fused, as all supervised terms.

    The other terms of the step are what keeps the students at what was painted.
    """

    def __init__(
        self,
        classes: int,
        config: StudentConfig,
        averaged: AveragedStudents,
        *,
        pairs: Pairs,
        settings: PreferenceSettings,
    ) -> None:
        super().__init__(classes, config, averaged)
        self._pairs, self._settings = pairs, settings

    def forward(self, seen: Seen) -> Terms:
        """Return the terms of mutual consistency, with L_pref beside them."""
        count = len(self._pairs.images)
        rows = seen.random.choice(count, min(_PAIRS_IN_STEP, count), replace=False)
        pairs = self._pairs.rows(torch.from_numpy(rows))
        unet, vnet, fused = losses(seen.students(pairs.images), pairs, self._settings)
        return super().forward(seen)._replace(supervised=self._settings.weight * ((unet + vnet) / 2 + fused))


def losses(logits: PassLogits, pairs: Pairs, settings: PreferenceSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Return L_pref of UNet, VNet and fusion."""
    unet, vnet, fused = (
        preference_loss(
            preference_margins(one, before, pairs.chosen, pairs.rejected, over_plane=settings.over_plane), settings.beta
        )
        for one, before in zip((logits.unet, logits.vnet, logits.fused), pairs.reference, strict=True)
    )
    return unet, vnet, fused


@torch.no_grad()
def share_followed(students: Students, pairs: Pairs) -> float:
    """Return in how many of the pairs the fused prediction has moved towards what was chosen."""
    fused = students.eval()(pairs.images).fused
    margins = preference_margins(fused, pairs.reference.fused, pairs.chosen, pairs.rejected)
    return float((margins > 0).float().mean())
