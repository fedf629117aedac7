"""The messages that a training session reads, and the events that it yields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from knowsam.data.annotation import LabelArray, LabelClass, LabelSlice
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.dice_estimate import DiceEstimate
    from knowsam.training.plan import TrainingPlan
    from knowsam.training.step import StepLosses
    from knowsam.training.trained_model import TrainedModel


@dataclass(frozen=True)
class SliceAnnotated:
    """To the session: a slice was painted or corrected; training takes it in from the next step."""

    label_slice: LabelSlice
    case: int = 0


@dataclass(frozen=True)
class ClassesChanged:
    """To the session: classes were added, renamed, recoloured or removed; a class is known by its label value."""

    classes: tuple[LabelClass, ...]


@dataclass(frozen=True)
class Watch:
    """To the session: somebody looks at a slice; from the first on, predictions are sent, the watched slice first.

    Parameters
    ----------
    index : the slice; None ends the watching.
    """

    index: int | None
    case: int = 0


@dataclass(frozen=True)
class Pause:
    """To the session: stand still at once; waiting takes nothing from the budget."""


@dataclass(frozen=True)
class Resume:
    """To the session: go on."""


@dataclass(frozen=True)
class Stop:
    """To the session: end training at once and keep what was learnt."""


@dataclass(frozen=True)
class ModelWanted:
    """To a training session: somebody wants the model as it is now."""


@dataclass(frozen=True)
class ProposalLearnt:
    """To a session of a proposed mask: what was learnt meanwhile of how such proposals err.

    Parameters
    ----------
    mask : the corrected proposal, None if it stays as it is.
    text : how good that is, or why nothing was learnt, in a sentence for people.
    """

    mask: ProposedMask | None
    text: str


Message = SliceAnnotated | ClassesChanged | Watch | Pause | Resume | Stop | ModelWanted | ProposalLearnt


class Stage(Enum):
    """What a session is doing."""

    PREPARING = "preparing"
    TRAINING = "training"
    PAUSED = "paused"
    APPLYING = "applying"
    PROPOSING = "proposing"


PREDICTING = (Stage.APPLYING, Stage.PROPOSING)
"""Stages in which nothing is learnt."""


@dataclass(frozen=True)
class Planned:
    """From the session, before the first step: what will run, and why."""

    plan: TrainingPlan


@dataclass(frozen=True)
class Notice:
    """From the session: one sentence a user should read.

    Parameters
    ----------
    by_default : whether it says what of the method the settings leave out by default, which can be seen beside them.
    """

    text: str
    by_default: bool = False


@dataclass(frozen=True)
class Proposed:
    """From the session: what finished volumes propose, to count beside propagated labels from now on."""

    mask: ProposedMask


@dataclass(frozen=True)
class Downloading:
    """Weights are being downloaded, before a session can begin; sent by whoever makes it.

    Parameters
    ----------
    arrived, size : bytes so far and in all, 0 if that is not known.
    """

    arrived: int
    size: int


@dataclass(frozen=True)
class StepDone:
    """From the session: one step was taken.

    Parameters
    ----------
    step : number of the step, from 1.
    progress : share of the budget that is used, in [0, 1].
    seconds : time of training so far, without getting ready and pauses.
    losses : of the step; on CUDA, which is not waited for, of the step before.
    """

    step: int
    progress: float
    seconds: float
    losses: StepLosses


class Source(Enum):
    """What predictions of slices that nobody has painted are made of."""

    PROPAGATION = "propagated labels"
    ENSEMBLE = "propagated labels and students"
    STUDENTS = "students"
    PROPOSAL = "a proposed mask, and propagated labels near annotated slices"


@dataclass(frozen=True)
class Shown:
    """What is shown of a volume.

    Parameters
    ----------
    student_weight : largest weight of the students in any slice, in [0, 1].
    dice : of just this on the held-out slices, mean over the foreground classes that occur there; None if nothing is
        held out, or something has changed since it was measured.
    estimate : of the Dice between annotated slices; None if there is none, or something has changed since.
    """

    source: Source
    student_weight: float
    dice: float | None = None
    estimate: DiceEstimate | None = None


@dataclass(frozen=True)
class Validated:
    """From the session: the students were measured on the held-out slices.

    Parameters
    ----------
    dice : of the students of this step, with the weight they would have; None if nothing is held out.
    adopted : whether these students have a part in predictions from now on.
    shown : what is shown of the first volume from now on, be it by these students or not.
    """

    step: int
    dice: float | None
    adopted: bool
    shown: Shown


@dataclass(frozen=True)
class StageChanged:
    """From the session: it went on to another stage."""

    stage: Stage


@dataclass(frozen=True)
class PredictedSlice:
    """What is predicted of one slice.

    Parameters
    ----------
    labels : (H, W), class indices.
    uncertainty_percent : (H, W), uint8, probability that the label is wrong, 0 to 100.
    """

    index: int
    labels: LabelArray
    uncertainty_percent: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PredictionReady:
    """From the session: slices of the watched volume were predicted anew.

    Parameters
    ----------
    classes : the classes that the indices stand for.
    outdated : slices that still wait for a new prediction, but for those annotated completely, where none is seen.
    shown : what the predictions are made of.
    """

    case: int
    slices: tuple[PredictedSlice, ...]
    classes: tuple[LabelClass, ...]
    outdated: int
    shown: Shown


@dataclass(frozen=True)
class PredictionsGone:
    """From the session: too little is left annotated to say anything of a volume; what was predicted of it is void."""

    case: int


@dataclass(frozen=True)
class Finished:
    """From the session, last of all.

    Parameters
    ----------
    stopped : whether a `Stop` ended it before its budget was used.
    outdated : slices of the watched volume that wait for a new prediction as in `PredictionReady`, of which a
        `PropagationSession` takes care.
    """

    steps: int
    seconds: float
    stopped: bool
    outdated: int = 0


@dataclass(frozen=True)
class Applied:
    """From an `ApplicationSession`: every slice is predicted, or a `Stop` has ended that.

    Parameters
    ----------
    outdated : as in `Finished`.
    is_empty : whether every slice is predicted, and background everywhere.
    """

    stopped: bool
    outdated: int = 0
    is_empty: bool = False


@dataclass(frozen=True)
class ModelReady:
    """From the session: the model that was wanted; training goes on from it."""

    model: TrainedModel


Event = (
    Planned
    | Notice
    | Proposed
    | Downloading
    | StageChanged
    | StepDone
    | Validated
    | PredictionReady
    | PredictionsGone
    | Finished
    | Applied
    | ModelReady
)
