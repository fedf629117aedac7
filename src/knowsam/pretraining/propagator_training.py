"""Pretrains the propagator: where are propagated labels wrong?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.models.propagator import Propagator
from knowsam.pretraining.episode_pool import EpisodePool
from knowsam.pretraining.episodes import Episode, episodes
from knowsam.pretraining.mask_loss import mask_loss
from knowsam.pretraining.training_run import PretrainingTask
from knowsam.propagation.evidence import MAPS, POSITION_VALUES, propagated_logit

if TYPE_CHECKING:
    from torch import Tensor

_DICE_WEIGHT = 0.5
_DICE_SMOOTHING_PX = 20.0


def propagator_loss(propagator: Propagator, batch: Episode) -> Tensor:
    """Return the loss of corrected propagated labels."""
    logits = propagated_logit(batch.maps) + propagator(batch.maps, batch.position)
    return mask_loss(logits, batch.target, dice_weight=_DICE_WEIGHT, smoothing_px=_DICE_SMOOTHING_PX)


PROPAGATOR_TASK = PretrainingTask(
    lambda: Propagator(MAPS + POSITION_VALUES), episodes, EpisodePool, propagator_loss, 1e-3
)
