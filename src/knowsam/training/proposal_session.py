"""A volume for which finished ones propose a mask, and in which what is annotated takes its place by and by."""

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
    Shown,
    Source,
    Stage,
    StageChanged,
)
from knowsam.training.interruption import Interrupted
from knowsam.training.propagation_session import PropagationSession, has_some_to_propagate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from knowsam.atlas.proposal import Atlas
    from knowsam.config import Config
    from knowsam.data.annotation import LabelClass
    from knowsam.data.case import Case
    from knowsam.training.events import Event

_SHOWN = Shown(Source.ATLASES, 0.0)


class ProposalSession(PropagationSession):
    """Brings the masks of finished volumes to one volume, says `Applied`, and then goes on as its base does.

    Labels are propagated between the outermost annotated slices only: beyond them the proposal stays.

    Parameters
    ----------
    case : the volume with what is annotated by now, if anything.
    atlases : the finished volumes.
    """

    def __init__(self, case: Case, config: Config, atlases: Sequence[Atlas]) -> None:
        super().__init__(case, config)
        self._atlases = tuple(atlases)
        self._proposed: dict[int, PredictedSlice] = {}
        self._classes: tuple[LabelClass, ...] = ()
        self._propagated: set[int] = set()

    def _run(self) -> Iterator[Event]:
        yield StageChanged(Stage.PROPOSING)
        (case,) = self._cases
        try:
            sentences = self._propose(case)
        except Interrupted:
            yield Applied(stopped=True, outdated=case.volume.shape[case.annotation.axis])
            return
        yield from map(Notice, sentences)
        yield self._ready(self._proposed)
        yield Applied(stopped=False)
        for event in super()._run():
            match event:
                case PredictionReady():
                    yield from self._beside_proposal(event)
                case PredictionsGone():
                    yield from self._take_back(set())
                case _:
                    yield event

    def _propose(self, case: Case) -> list[str]:
        """Make the proposal; return what is to be said of it."""
        proposal = propose(case.volume, self._atlases, lambda _: self._interruption.check())
        self._classes = case.annotation.classes
        axis, known = case.annotation.axis, [one.value for one in self._classes]
        indices = class_indices(np.where(np.isin(proposal.labels, known), proposal.labels, 0), self._classes)
        uncertainty = np.rint(100 * (1 - proposal.agreement)).astype(np.uint8)
        planes = zip(np.moveaxis(indices, axis, 0), np.moveaxis(uncertainty, axis, 0), strict=True)
        self._proposed = {index: PredictedSlice(index, *plane) for index, plane in enumerate(planes)}
        return [
            f"{atlas.image.name} could not be registered to this volume, and has no part in the proposal."
            for atlas, similarity in zip(self._atlases, proposal.similarities, strict=True)
            if similarity is None
        ]

    def _prepare(self) -> None:
        # There is no region round what was painted before anything is.
        if has_some_to_propagate(self._cases[0]):
            super()._prepare()

    def _beside_proposal(self, ready: PredictionReady) -> Iterator[PredictionReady]:
        """Keep propagated labels to slices between annotated ones; bring back what is no longer between them."""
        annotated = self._cases[0].annotation.annotated
        between = range(annotated[0], annotated[-1] + 1) if annotated else range(0)
        yield from self._take_back(set(between))
        own = tuple(one for one in ready.slices if one.index in between)
        self._propagated.update(one.index for one in own)
        yield replace(ready, slices=own)

    def _take_back(self, between: set[int]) -> Iterator[PredictionReady]:
        gone = self._propagated - between
        self._propagated -= gone
        if gone:
            yield self._ready(gone)

    def _ready(self, indices: Iterable[int]) -> PredictionReady:
        return PredictionReady(0, tuple(self._proposed[i] for i in sorted(indices)), self._classes, 0, _SHOWN)
