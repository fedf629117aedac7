"""A volume for which finished ones propose a mask, which counts less and less where something is annotated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from knowsam.atlas.proposal import propose
from knowsam.data.annotation import class_indices
from knowsam.training.events import (
    Applied,
    Notice,
    PredictedSlice,
    PredictionReady,
    PredictionsGone,
    Proposed,
    Shown,
    Source,
    Stage,
    StageChanged,
)
from knowsam.training.interruption import Interrupted
from knowsam.training.propagation_session import PropagationSession, has_some_to_propagate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from knowsam.atlas.proposal import Atlas
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.events import Event


class ProposalSession(PropagationSession):
    """Brings the masks of finished volumes to one volume, says `Proposed` and `Applied`, and goes on as its base does.

    Parameters
    ----------
    case : the volume with what is annotated by now, if anything.
    atlases : the finished volumes.
    """

    def __init__(self, case: Case, config: Config, atlases: Sequence[Atlas]) -> None:
        super().__init__(case, config)
        self._atlases = tuple(atlases)

    def _run(self) -> Iterator[Event]:
        yield StageChanged(Stage.PROPOSING)
        (case,) = self._cases
        try:
            proposal = propose(case.volume, self._atlases, lambda _: self._interruption.check())
        except Interrupted:
            yield Applied(stopped=True, outdated=case.volume.shape[case.annotation.axis])
            return
        for atlas, similarity in zip(self._atlases, proposal.similarities, strict=True):
            if similarity is None:
                yield Notice(
                    f"{atlas.image.name} could not be registered to this volume, and has no part in the proposal."
                )
        mask = proposal.mask
        self._cases[0] = replace(case, proposal=mask)
        yield Proposed(mask)
        yield self._proposed(mask)
        yield Applied(stopped=False)
        for event in super()._run():
            # Where too little is annotated to propagate it, the proposal is all there is.
            yield self._proposed(mask) if isinstance(event, PredictionsGone) else event

    def _prepare(self) -> None:
        # There is no region round what was painted before anything is.
        if has_some_to_propagate(self._cases[0]):
            super()._prepare()

    def _proposed(self, mask: ProposedMask) -> PredictionReady:
        """Return the proposal for all slices; classes that are not those of the volume are background."""
        annotation = self._cases[0].annotation
        known = [one.value for one in annotation.classes]
        indices = class_indices(np.where(np.isin(mask.labels, known), mask.labels, 0), annotation.classes)
        uncertainty = np.rint(100 * (1 - mask.agreement)).astype(np.uint8)
        planes = zip(*(np.moveaxis(one, annotation.axis, 0) for one in (indices, uncertainty)), strict=True)
        slices = tuple(PredictedSlice(index, *plane) for index, plane in enumerate(planes))
        return PredictionReady(0, slices, annotation.classes, 0, Shown(Source.PROPOSAL, 0.0))
