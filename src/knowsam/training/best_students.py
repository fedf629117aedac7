"""The students that predict: a copy of the learning ones, renewed when validation finds nothing against it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam.inference.ensemble import STUDENTS_ALONE, EnsembleWeight, StudentWeight, proxy_variance
from knowsam.inference.predictor import Predictor
from knowsam.training.display import Display
from knowsam.training.events import Validated
from knowsam.training.interruption import Interruption
from knowsam.training.transfer import student_score, transfer_weight
from knowsam.training.validation import agreement, holdout_dice

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.sampling import SliceKey
    from knowsam.models.students import Students
    from knowsam.training.learner import Learner
    from knowsam.training.model_selection import ModelSelection
    from knowsam.training.network_volumes import NetworkVolumes
    from knowsam.training.volume_propagation import VolumePropagation

_PROXY_SLICES = 8
"""Slices beside annotated ones on which the students' proxy error is measured."""

_LARGEST_ERROR = 0.4
"""Students that err more than this where structures are nearly known get no weight. Of 13 organs they confuse some:
with an error of 0.5 to 0.9 they made propagated labels worse, with one below 0.37 better, as those of one organ did."""

_LIMIT_BEYOND = 0.3
"""Largest weight of students beyond the outermost annotated slices: they continue structures that go on there, and some
that have ended."""

_SHARED_VARIANCE = 0.1
"""How much of the variance of the error of propagated labels students have as well, since these are what they see.

With three annotated slices, a left atrium lost 0.016 of Dice in its wide gaps without this.
"""


class BestStudents:
    """Chooses the students that predict, and their weight beside propagated labels.

    Where labels are propagated to a slice, these are the prediction at first. The students get a weight as far as they
    agree with what is propagated to slices right beside annotated ones, where that is nearly exact, and none while they
    make it worse on held-out slices, which have no part in it then. Those of an earlier model have not learnt from what
    is annotated in a new volume: there their error is a held-out one.

    Parameters
    ----------
    students : those that predict at first; by default a copy of the learning ones.

    Attributes
    ----------
    display : what is shown of them.
    """

    def __init__(
        self,
        students: Students | None,
        learner: Learner,
        selection: ModelSelection,
        cases: list[Case],
        volumes: NetworkVolumes,
        *,
        config: Config,
        interruption: Interruption,
    ) -> None:
        self._learner, self._selection = learner, selection
        self._config, self._interruption = config, interruption
        self._last_error = 1.0
        self.display = Display(volumes, config, cases, students or copy.deepcopy(learner.averaged))

    @property
    def students(self) -> Students:
        """In evaluation mode; renewed in place."""
        assert self.display.students is not None
        return self.display.students

    def forget_score(self) -> None:
        """Forget the best score, which was measured with other annotations, held-out slices or planes."""
        self._selection.forget()
        self.display.dice = None

    def start_from_here(self, unseen: Collection[SliceKey]) -> None:
        """Measure students that were trained before, so that later ones are compared with them.

        Parameters
        ----------
        unseen : annotated slices that they have not learnt from and that are references, see `LabelSlice.is_reference`.

        Raises
        ------
        Interrupted
            If an interruption was requested; nothing has changed then.
        """
        error = self._proxy_error(self.students)
        weight: EnsembleWeight | None = self._weight_by_proxy(error or 0.0)
        score = student_score(self._unaided(), self.display.cases, unseen, self._propagations, self._interruption)
        if score is not None:
            weight = transfer_weight(score)
        dice, propagated = self._scores(self.students, weight)
        self._last_error = error or 0.0
        self._adopt(dice, error)
        self._show(weight, dice, propagated)

    def validate(self, step: int) -> Validated:
        """Measure the learning students on the held-out slices, and let them predict if they are not worse.

        Raises
        ------
        Interrupted
            If an interruption was requested; nothing has changed then.
        """
        error = self._proxy_error(self._learner.averaged)
        # The worse of the last two measurements counts, and until there are two, students are taken to know
        # nothing: on a few slices they can look good by chance.
        weight = self._weight_by_proxy(max(error or 0.0, self._last_error))
        dice, propagated = self._scores(self._learner.averaged, weight)
        self._last_error = error or 0.0
        adopted = self._adopt(dice, error)
        if adopted:
            self.students.load_state_dict(self._learner.averaged.state_dict())
            self._show(weight, dice, propagated)
        shown = self.display.shown(0)
        return Validated(step, dice, adopted and shown.student_weight > 0, shown)

    def unaided_dice(self) -> float | None:
        """Return the Dice of the students that predict where nothing is propagated, as in a volume nobody has painted.

        It is measured right beside annotated slices, by what is propagated there, or else in held-out slices.

        Returns
        -------
        None where there are neither.
        """
        aided, unaided = self._predictors(self.students, None), self._unaided()
        # A session that was stopped needs it, too.
        uninterrupted = Interruption()
        found = agreement(unaided, aided, self._beside_annotated(), uninterrupted)
        if found is None:
            found = holdout_dice(unaided, self.display.cases, self._selection.holdout, uninterrupted)
        return found

    def _adopt(self, dice: float | None, error: float | None) -> bool:
        """Decide by held-out slices, or by the proxy error where there are none, whether the students may predict."""
        if dice is not None or error is None:
            return self._selection.adopt(dice)
        return self._selection.adopt(1 - error, _PROXY_SLICES)

    def _show(self, weight: EnsembleWeight | None, dice: float | None, propagated: float | None) -> None:
        """Show the students, or propagated labels alone where these do better."""
        is_worse = dice is not None and propagated is not None and dice < propagated
        self.display.show_students(None if is_worse else weight, propagated if is_worse else dice)

    def _proxy_error(self, students: Students) -> float | None:
        """Return how wrong students are beside annotated slices; None if there are none."""
        alone, propagated = (self._predictors(students, weight) for weight in (STUDENTS_ALONE, None))
        found = agreement(alone, propagated, self._beside_annotated(), self._interruption)
        return None if found is None else 1 - found

    def _beside_annotated(self) -> list[list[int]]:
        return [[] if one is None else one.next_to_annotated(_PROXY_SLICES) for one in self._propagations]

    def _weight_by_proxy(self, error: float) -> StudentWeight | None:
        """Return the weight of students that have learnt from slices of these volumes."""
        if error >= _LARGEST_ERROR:
            return None
        config = self._config.propagation
        limits = config.student_weight, min(config.student_weight, _LIMIT_BEYOND)
        return StudentWeight(proxy_variance(error), *limits, config.half_distance_slices, _SHARED_VARIANCE)

    def _scores(self, students: Students, weight: EnsembleWeight | None) -> tuple[float | None, float | None]:
        """Return the Dice on held-out slices of students, and of propagated labels alone if any are."""
        volumes, cases = self.display.volumes, self.display.cases
        dice = self._selection.measure(self._predictors(students, weight), cases)
        propagates = any(volumes.can_propagate(number) for number in range(len(volumes.slices)))
        return dice, self._selection.measure(self._predictors(students, None), cases) if propagates else None

    @property
    def _propagations(self) -> Sequence[VolumePropagation | None]:
        return self.display.volumes.propagations

    def _unaided(self) -> list[Predictor]:
        """Return predictors by the students that predict, which see nothing of what is propagated."""
        return [replace(predictor, propagate=None) for predictor in self._predictors(self.students, None)]

    def _predictors(self, students: Students, weight: EnsembleWeight | None) -> list[Predictor]:
        """Return predictors by some students, of which held-out slices are no part."""
        return [
            Predictor(
                slices,
                self._config,
                len(self.display.classes),
                students,
                None if propagation is None else propagation.for_validation,
                weight,
            )
            for slices, propagation in zip(self.display.volumes.slices, self._propagations, strict=True)
        ]
