"""Pretrains the propagator: where are propagated labels wrong?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.models.propagator import Propagator
from knowsam.pretraining.episode_pool import EpisodePool
from knowsam.pretraining.episodes import Episode, episodes
from knowsam.pretraining.mask_loss import mask_loss
from knowsam.pretraining.training_run import Lesson
from knowsam.propagation.evidence import MAPS, POSITION_VALUES, propagated_logit

if TYPE_CHECKING:
    from torch import Tensor


def propagator_loss(propagator: Propagator, batch: Episode) -> Tensor:
    """Return the loss of corrected propagated labels."""
    return mask_loss(propagated_logit(batch.maps) + propagator(batch.maps, batch.position), batch.target)


PROPAGATOR_LESSON = Lesson(lambda: Propagator(MAPS + POSITION_VALUES), episodes, EpisodePool, propagator_loss, 1e-3)
