"""A volume for which finished ones propose a mask, which counts less and less where something is annotated."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from knowsam.atlas.proposal import propose
from knowsam.errors import KnowSAMError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import fault_sentence
from knowsam.training.corrective_learning import FEWEST_FINISHED, learn_correction
from knowsam.training.device_check import working_device
from knowsam.training.events import (
    Applied,
    Notice,
    ProposalLearnt,
    Proposed,
    Stage,
    StageChanged,
)
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.propagation_session import PropagationSession, has_some_to_propagate, shown_proposal
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from knowsam.atlas.proposal import Atlas
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.correction import Correction
    from knowsam.training.events import Event

logger = logging.getLogger(__name__)

CORRECTION_BUDGET = Budget(seconds=300.0)
"""How long is learnt how proposals err."""

_THREAD = "KnowSAM correction"


class ProposalSession(PropagationSession):
    """Brings the masks of finished volumes to one volume, says `Proposed` and `Applied`, and goes on as its base does.

    Of three or more finished volumes it learns meanwhile, in a thread of its own, how such proposals err, and then says
    `Proposed` again.

    Parameters
    ----------
    case : the volume with what is annotated by now, if anything.
    atlases : the finished volumes.
    notices : what is to be known of other ones.
    earlier : what was learnt when a mask of another volume was proposed, to go on from.
    keep : called in a thread with what was learnt.
    device : where to learn, see `working_device`.
    """

    def __init__(
        self,
        case: Case,
        config: Config,
        atlases: Sequence[Atlas],
        notices: Sequence[str] = (),
        *,
        earlier: Correction | None = None,
        keep: Callable[[Correction], object] = lambda _: None,
        device: str = "auto",
    ) -> None:
        super().__init__(case, config)
        self._atlases, self._notices = tuple(atlases), tuple(notices)
        self._earlier, self._keep, self._correction_device = earlier, keep, device

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
        if len(self._atlases) < FEWEST_FINISHED:
            yield from super()._run()
            return
        yield Notice("Meanwhile the finished volumes teach how such proposals err.")
        with self._learning(mask):
            yield from super()._run()

    @contextmanager
    def _learning(self, mask: ProposedMask) -> Iterator[None]:
        """Learn in a thread for as long as the block lasts."""
        cpu_threads = CpuThreads()
        interruption = Interruption(cpu_threads.adapt)
        arguments = mask, interruption, cpu_threads, torch.get_num_threads()
        thread = threading.Thread(target=self._learn, args=arguments, name=_THREAD, daemon=True)
        thread.start()
        try:
            yield
        finally:
            interruption.request()
            thread.join()

    def _learn(
        self, mask: ProposedMask, interruption: Interruption, cpu_threads: CpuThreads, most_threads: int
    ) -> None:
        """Learn how proposals err, and leave a message of it."""
        (case,) = self._cases
        torch.set_num_threads(most_threads)
        device = torch.device("cpu")
        try:
            device, notice = working_device(self._correction_device)
            with cpu_threads:
                correction = learn_correction(
                    self._atlases,
                    [one.value for one in case.annotation.classes],
                    case.annotation.axis,
                    CORRECTION_BUDGET,
                    config=self._config.plane,
                    device=device,
                    interruption=interruption,
                    earlier=self._earlier,
                )
                self._keep(correction)
                corrected = correction.corrected(case.volume, mask, interruption.check) if correction.helps else None
            self.submit(ProposalLearnt(corrected, f"{notice} {correction.sentence}".strip()))
        except Interrupted:
            return
        except KnowSAMError as error:
            self.submit(ProposalLearnt(None, str(error)))
        except Exception as error:  # whatever it is, a notice says so, and the proposal stays
            logger.exception("Learning how proposals err has failed.")
            fault = fault_sentence(error, device) if isinstance(error, RuntimeError) else repr(error)
            self.submit(ProposalLearnt(None, f"How proposals err could not be learnt: {fault} The proposal stays."))

    def _prepare(self) -> None:
        # There is no region round what was painted before anything is.
        if has_some_to_propagate(self._cases[0]):
            super()._prepare()
