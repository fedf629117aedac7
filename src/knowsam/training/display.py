"""What is shown of the slices nobody has painted: propagated labels, and the students as far as they have a weight."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from knowsam.data.annotation import class_sources
from knowsam.inference.predictor import Predictor
from knowsam.training.dice_estimate import estimated_dice
from knowsam.training.events import Shown, Source

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.annotation import LabelClass
    from knowsam.data.case import Case
    from knowsam.inference.ensemble import EnsembleWeight
    from knowsam.models.students import Students
    from knowsam.training.dice_estimate import DiceEstimate
    from knowsam.training.network_volumes import NetworkVolumes

NEVER, URGENT = -1, -2
"""Versions of slices that were never predicted, and of those that other labels are propagated to."""


class Display:
    """Makes the predictions that are shown, and says what they are made of.

    Parameters
    ----------
    volumes : their slices and propagated labels.
    cases : the volumes with the annotation that is propagated; kept up to date by whoever annotates.
    students : None shows propagated labels alone.

    Attributes
    ----------
    weight : of the students where labels are propagated; None gives them none.
    has_learnt : whether the students have been trained.
    dice : held-out Dice of what is shown, see `Shown`.
    estimates : of the Dice in each volume, by its number, as far as `measure` was asked for them.
    version : grows whenever other students, weights, planes or classes make all predictions outdated.
    made_by : of each volume, the version that predicted each slice last, or `NEVER`, or `URGENT`.
    """

    def __init__(
        self,
        volumes: NetworkVolumes,
        config: Config,
        cases: list[Case],
        students: Students | None = None,
    ) -> None:
        self.volumes, self.config, self.cases, self.students = volumes, config, cases, students
        self.weight: EnsembleWeight | None = None
        self.has_learnt = False
        self.dice: float | None = None
        self.estimates: dict[int, DiceEstimate | None] = {}
        self.version = 0
        self.made_by = [np.full(len(own.planes), NEVER, np.int64) for own in volumes.slices]
        self.outdate_propagated()

    def outdate_propagated(self) -> None:
        """Note that other labels are propagated to all slices of the volumes in which labels are propagated."""
        for case, made_by in enumerate(self.made_by):
            if self.volumes.can_propagate(case):
                made_by[:] = URGENT

    def show_students(self, weight: EnsembleWeight | None, dice: float | None) -> None:
        """Show what the students know from now on, with another weight."""
        self.weight, self.dice = weight, dice
        self.has_learnt = True
        self.version += 1

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Background first."""
        return self.cases[0].annotation.classes

    def change_classes(self, classes: tuple[LabelClass, ...]) -> list[int | None] | None:
        """Predict other classes; relabel the volumes afterwards.

        Returns
        -------
        For each class its index so far, None for a new one; None if only names or colours have changed.
        """
        sources = class_sources(self.classes, classes)
        is_renamed_only = sources == list(range(len(self.classes)))
        self.cases[:] = [case.with_classes(classes) for case in self.cases]
        if is_renamed_only:
            return None
        if self.students is not None:
            # Imported here, so that no network is loaded before a training.
            from knowsam.models.class_heads import students_with_classes

            self.students = students_with_classes(self.students, sources)
        self.turn_to(self.volumes)
        return sources

    def turn_to(self, volumes: NetworkVolumes) -> None:
        """Predict on other planes, or other classes, from now on."""
        self.volumes, self.dice = volumes, None
        self.estimates.clear()
        self.version += 1

    def waiting(self, case: int) -> int:
        """Return how many slices of a volume wait for a new prediction that would be seen."""
        return int(np.count_nonzero((self.made_by[case] < self.version) & ~self.unseen(case)))

    def unseen(self, case: int) -> npt.NDArray[np.bool_]:
        """Return (N,), in which slices no prediction is seen, since they are annotated completely."""
        unseen = np.zeros(len(self.made_by[case]), bool)
        propagation = self.volumes.propagations[case]
        if propagation is not None:
            unseen[list(propagation.outlined)] = True
        return unseen

    def can_predict(self, case: int) -> bool:
        """Return whether there is anything to show of a volume."""
        return self.has_learnt or self.volumes.can_propagate(case)

    def predictor(self, case: int) -> Predictor:
        """Return the predictor of one volume as it is now."""
        propagation = self.volumes.propagations[case]
        return Predictor(
            self.volumes.slices[case],
            self.config,
            len(self.classes),
            self.students,
            None if propagation is None else propagation.for_display,
            self.weight,
            self.cases[case].annotation.extents,
        )

    def measure(self, case: int) -> None:
        """Estimate the Dice in a volume by the annotation as it is now."""
        propagation = self.volumes.propagations[case]
        if propagation is None or not propagation.can_propagate:
            self.estimates[case] = None
            return
        left_out = replace(self.predictor(case), propagate=propagation.for_estimate, weight=None)
        self.estimates[case] = estimated_dice(left_out, propagation.for_display, self.cases[case].annotation)

    def shown(self, case: int) -> Shown:
        """Return the sources of the predictions of a volume."""
        if not self.volumes.can_propagate(case):
            return Shown(Source.STUDENTS, 1.0, self.dice)
        estimate = self.estimates.get(case)
        if self.weight is None:
            source = Source.PROPAGATION if self.cases[case].proposal is None else Source.PROPOSAL
            return Shown(source, 0.0, self.dice, estimate)
        return Shown(Source.ENSEMBLE, self.weight.limit, self.dice, estimate)
