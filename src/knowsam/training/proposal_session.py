"""A volume for which finished ones propose a mask, which counts less and less where something is annotated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.atlas.proposal import propose
from knowsam.training.events import (
    Applied,
    Notice,
    Proposed,
    Stage,
    StageChanged,
)
from knowsam.training.interruption import Interrupted
from knowsam.training.propagation_session import PropagationSession, has_some_to_propagate, shown_proposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from knowsam.atlas.proposal import Atlas
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.events import Event


class ProposalSession(PropagationSession):
    """Brings the masks of finished volumes to one volume, says `Proposed` and `Applied`, and goes on as its base does.

    Parameters
    ----------
    case : the volume with what is annotated by now, if anything.
    atlases : the finished volumes.
    notices : what is to be known of other ones.
    """

    def __init__(self, case: Case, config: Config, atlases: Sequence[Atlas], notices: Sequence[str] = ()) -> None:
        super().__init__(case, config)
        self._atlases, self._notices = tuple(atlases), tuple(notices)

    def _run(self) -> Iterator[Event]:
        yield StageChanged(Stage.PROPOSING)
        yield from map(Notice, self._notices)
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
        yield shown_proposal(mask, case.annotation)
        yield Applied(stopped=False)
        yield from super()._run()

    def _prepare(self) -> None:
        # There is no region round what was painted before anything is.
        if has_some_to_propagate(self._cases[0]):
            super()._prepare()
