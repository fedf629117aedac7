"""The sessions of the window, each made in the thread it will run in: only here is torch needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_knowsam.training_worker import SessionWorker, leave_a_core

if TYPE_CHECKING:
    from knowsam.atlas.proposal import Atlas
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.document.annotated_volume import AnnotatedVolume
    from knowsam.models.download import Progress
    from knowsam.training.continuation import Continuation
    from knowsam.training.correction import Correction
    from knowsam.training.display import Display
    from knowsam.training.propagation_session import PropagationSession
    from knowsam.training.schedule import Budget
    from knowsam.training.session import TrainingSession
    from knowsam.training.trained_model import TrainedModel

_CLOSING_S = 1.0

Atlases = Callable[[Callable[[], None]], tuple[Sequence["Atlas"], Sequence[str]]]
"""Reads finished volumes, and returns them with the faults of others; calls a check, which may raise, before each."""


@dataclass(frozen=True)
class TrainingSettings:
    """The choices of a person before pressing Train.

    Parameters
    ----------
    teacher : ``none``, ``compact``, the name of a SAM variant or a file of its weights, see `choose_teacher`.
    device : see `resolve_device`.
    continued : start from the model of the last training of the same work, if there is one.
    start_from : a model of other volumes to start from instead, whose networks the training has.
    """

    budget: Budget
    config: Config
    teacher: str = "compact"
    device: str = "auto"
    continued: bool = True
    start_from: TrainedModel | None = None


def training_session(
    case: Case, settings: TrainingSettings, last: Continuation | None, progress: Progress | None = None
) -> TrainingSession:
    """Build a session that trains.

    Parameters
    ----------
    progress : of the download of a teacher, if there is one.
    """
    leave_a_core()
    from knowsam.models.teachers import choose_teacher
    from knowsam.training.session import TrainingSession

    teacher, start_from = choose_teacher(settings.teacher, progress), settings.start_from
    config = settings.config if start_from is None else start_from.config_with_networks(settings.config)
    config = config.with_values(variant=teacher.variant)
    return TrainingSession(
        [case],
        budget=settings.budget,
        config=config,
        device=settings.device,
        sam_weights=teacher.weights,
        start_from=start_from,
        last=last,
    )


def propagation_session(
    work: AnnotatedVolume, config: Config, display: Display | None, before: SessionWorker[Any] | None
) -> PropagationSession:
    """Build a session that propagates, once that before it, which may use the same display, has ended."""
    leave_a_core()
    from knowsam.training.propagation_session import PropagationSession

    if before is not None:
        before.wait(_CLOSING_S)
    return PropagationSession(work.case(), config, display=display)


def proposal_session(
    atlases: Atlases,
    case: Case,
    config: Config,
    earlier: Correction | None,
    keep: Callable[[Correction], object],
    device: str,
    check: Callable[[], None],
) -> PropagationSession:
    """Build a session that begins with the masks of finished volumes, which are read in its thread.

    Parameters
    ----------
    earlier : the correction that was learnt with the last proposal.
    keep : called in a thread with the new correction.
    device : of that training.
    check : called before a volume is read; an exception it raises stops that.
    """
    leave_a_core()
    from knowsam.training.proposal_session import ProposalSession

    return ProposalSession(case, config, *atlases(check), earlier=earlier, keep=keep, device=device)


def application_session(model: TrainedModel, case: Case, device: str) -> PropagationSession:
    """Build a session that begins with a model of other volumes."""
    leave_a_core()
    from knowsam.training.application import ApplicationSession

    return ApplicationSession(model, case, device=device)
