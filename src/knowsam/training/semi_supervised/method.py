"""What a semi-supervised method is: what it is given of a step, and the terms that it adds to the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from knowsam.models.students import StudentLogits

if TYPE_CHECKING:
    import numpy as np

    from knowsam.config import StudentConfig
    from knowsam.training.semi_supervised.averaged_students import AveragedStudents


class PassLogits(Protocol):
    """Logits of one pass, each (B, C, H, W), and whatever else a method lets the students tell."""

    @property
    def unet(self) -> Tensor:
        """Of the first student."""

    @property
    def vnet(self) -> Tensor:
        """Of the second one."""

    @property
    def fused(self) -> Tensor:
        """Of both."""


Pass = Callable[[Tensor], PassLogits]
"""A pass of the students: images (B, 3 + K, H, W) to logits."""


class Seen(NamedTuple):
    """What a method is given of a step.

    Parameters
    ----------
    images : (B + U, 3 + K, H, W), augmented, the annotated ones first.
    labels : (B, H, W), with IGNORE.
    logits : what the students say of the images.
    students : for another pass.
    progress : share of the training that is done, in [0, 1].
    random : random numbers of this step, the same in all processes that train together.
    """

    images: Tensor
    labels: Tensor
    logits: PassLogits
    students: Pass
    progress: float
    random: np.random.Generator

    @property
    def unlabelled(self) -> slice:
        """Rows of the unlabelled slices."""
        return slice(len(self.labels), None)


class Terms(NamedTuple):
    """Terms of the loss, scalars; None where a method has none of the kind.

    Parameters
    ----------
    consistency : times the ramp `w(f)`.
    entropy : times `LossConfig.entropy_weight`.
    supervised : as it is, for whatever the method adds to the students.
    """

    consistency: Tensor | None = None
    entropy: Tensor | None = None
    supervised: Tensor | None = None


class SemiSupervisedMethod(nn.Module):
    """Lets the students learn from slices without labels; parameters of its own learn with the students.

    Parameters
    ----------
    classes : C, background included.
    config : of the students.
    averaged : the running average of the students, for methods that ask it; it does not learn here.
    """

    title: ClassVar[str]
    """What people call it, and where it was published."""

    def __init__(self, classes: int, config: StudentConfig, averaged: AveragedStudents) -> None:
        super().__init__()
        self.averaged = averaged

    def network(self, students: nn.Module) -> Pass:
        """Return how the students are run in a step; by default as they are."""
        return students

    @abstractmethod
    def forward(self, seen: Seen) -> Terms:
        """Return the terms of a step."""

    def mixed(self, logits: PassLogits, labelled: int) -> Terms:
        """Return the terms of the mixed phase beside its supervised ones; by default none.

        Parameters
        ----------
        logits : what the students say of mixed slices, the `labelled` labelled ones first.
        """
        return Terms()


def rows_of(logits: PassLogits, rows: slice) -> StudentLogits:
    """Return the logits of some slices of a batch."""
    return StudentLogits(logits.unet[rows], logits.vnet[rows], logits.fused[rows])
