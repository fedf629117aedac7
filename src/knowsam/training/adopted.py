"""The students that predict: a copy of the learning ones, renewed when the referee finds nothing against it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from knowsam.inference.ensemble import STUDENTS_ALONE, EnsembleWeight
from knowsam.inference.predictor import Predictor
from knowsam.models.class_heads import students_with_classes
from knowsam.training.events import Validated
from knowsam.training.live_refresh import LiveRefresh
from knowsam.training.validation import agreement, holdout_dice

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import torch

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.sampling import SliceKey
    from knowsam.inference.predictor import Prior
    from knowsam.models.class_heads import Sources
    from knowsam.models.students import Students
    from knowsam.training.interruption import Interruption
    from knowsam.training.learner import Learner
    from knowsam.training.referee import Referee
    from knowsam.training.slices import TrainingSlices


_JUDGED_SLICES = 8
"""Slices beside annotated ones on which the students' error is measured."""

_LARGEST_ERROR = 0.4
"""Students that err more than this where structures are nearly known get no weight. Of 13 organs they confuse some:
with an error of 0.5 to 0.9 they made propagated labels worse, with one below 0.37 better, as those of one organ did."""


class AdoptedStudents:
    """Students good enough to predict with, what annotated slices say beside them, and what both are asked for.

    Where shapes are carried to a slice, these are the prediction at first. The students are listened to as far as they
    agree with what is carried to slices right beside annotated ones, where that is nearly exact, and not at all while
    they make it worse on held-out slices, which have no part in it then. Those of an earlier model have not learnt from
    what is annotated in a new volume: there their error is no guess.

    Attributes
    ----------
    students : in evaluation mode; renewed in place.
    have_learnt : whether they know anything yet, of this training or of an earlier one.
    predictors : one for each case.
    live : the predictions for whoever watches.
    """

    def __init__(
        self,
        learner: Learner,
        referee: Referee,
        cases: Sequence[Case],
        slices: TrainingSlices,
        *,
        config: Config,
        device: torch.device,
        interruption: Interruption,
    ) -> None:
        self.students = copy.deepcopy(learner.averaged)
        self.have_learnt = False
        self._listening: EnsembleWeight | None = None
        self._last_error = 1.0
        self._learner, self._referee = learner, referee
        self._config, self._device, self._interruption = config, device, interruption
        self._point_at(cases, slices)
        self.live = LiveRefresh(self.predictors, cases[0].annotation.classes, share=config.training.refresh_share)
        for number, prior in enumerate(slices.propagations):
            if prior is not None and prior.can_propagate:
                self.live.outdate_slices(number, range(len(slices.planes[number])))

    def can_predict(self, case: int) -> bool:
        """Tell whether there is anything to show of a volume."""
        prior = self._priors[case]
        return self.have_learnt or (prior is not None and prior.can_propagate)

    def change_classes(self, cases: Sequence[Case], slices: TrainingSlices, sources: Sources) -> None:
        """Predict other classes from now on, with what was learnt of the known ones."""
        self.students = students_with_classes(self.students, sources)
        self.change_planes(cases, slices)

    def change_planes(self, cases: Sequence[Case], slices: TrainingSlices) -> None:
        """Predict on other network planes from now on; a score on the old ones says nothing of these."""
        self._referee.forget()
        self._point_at(cases, slices)
        self.live.predict_with(self.predictors, cases[0].annotation.classes)

    def start_from_here(self, cases: Sequence[Case], unseen: Collection[SliceKey]) -> None:
        """Take the students for ones that have learnt: what is not better than they are is no progress.

        Parameters
        ----------
        unseen : annotated slices that they have not learnt from.

        Raises
        ------
        Interrupted
            If somebody asked for it.
        """
        self._last_error = 0.0
        listening = self._guessed(self._measure_error())
        proven_dice = holdout_dice(self._students_alone, cases, self._with_neighbours(unseen), self._interruption)
        if proven_dice is not None:
            listening = self._proven(1 - proven_dice)
        dice, worse_than_prior = self._score(cases, listening)
        self._referee.adopt(dice)
        self.have_learnt = True
        self._listen(None if worse_than_prior else listening)

    def judge(self, cases: Sequence[Case], step: int) -> Validated:
        """Measure the learning students on the held-out slices and adopt them if they are not worse.

        Raises
        ------
        Interrupted
            If somebody asked for it; nothing has changed then.
        """
        listening = self._guessed(self._measure_error())
        dice, worse_than_prior = self._score(cases, listening)
        adopted = self._referee.adopt(dice)
        if adopted:
            self.students.load_state_dict(self._learner.averaged.state_dict())
            self.have_learnt = True
            self._listen(None if worse_than_prior else listening)
            self.live.outdate()
        return Validated(step, dice, adopted and not worse_than_prior)

    def _measure_error(self) -> float:
        """Return how wrong the learning students are beside annotated slices.

        Of the last two measurements the worse one counts, and until there are two, students are taken to know nothing:
        on a few slices they can look good by chance.
        """
        beside = [[] if prior is None else prior.next_to_annotated(_JUDGED_SLICES) for prior in self._priors]
        found = agreement(self._students_alone, self._carried_alone, beside, self._interruption)
        measured = 0.0 if found is None else 1 - found
        error, self._last_error = max(measured, self._last_error), measured
        return error

    def _guessed(self, error: float) -> EnsembleWeight | None:
        """Return how students are listened to that have learnt from slices of these volumes."""
        prior = self._config.prior
        known = error < _LARGEST_ERROR
        return EnsembleWeight(error, prior.student_share, prior.trust_slices, prior.caution) if known else None

    def _proven(self, error: float) -> EnsembleWeight:
        """Return how students are listened to that have not."""
        return EnsembleWeight(error, 1.0, self._config.prior.proven_trust_slices, 1.0, is_held_out=True)

    def _with_neighbours(self, keys: Collection[SliceKey]) -> Collection[SliceKey]:
        """Leave the outermost annotated slices out, small and with shapes on one side only, if there are others."""
        priors = self._priors
        return [key for key in keys if (own := priors[key.case]) and own.lies_between(key.slice_index)] or keys

    def _score(self, cases: Sequence[Case], listening: EnsembleWeight | None) -> tuple[float | None, bool]:
        """Return the learning students' Dice on held-out slices, and whether what is carried does better alone."""
        for candidate in self._candidates:
            candidate.listening = listening
        dice = self._referee.measure(self._candidates, cases)
        alone = self._referee.measure(self._carried_alone, cases) if self._carries else None
        return dice, dice is not None and alone is not None and dice < alone

    @property
    def _carries(self) -> bool:
        return any(prior is not None and prior.can_propagate for prior in self._priors)

    def _listen(self, listening: EnsembleWeight | None) -> None:
        self._listening = listening
        for predictor in self.predictors:
            predictor.listening = listening

    def _point_at(self, cases: Sequence[Case], slices: TrainingSlices) -> None:
        self._priors = slices.propagations
        shown = [None if prior is None else prior.for_display for prior in slices.propagations]
        learnt = [None if prior is None else prior.for_validation for prior in slices.propagations]
        self.predictors = self._predictors(self.students, cases, slices, shown)
        self._candidates = self._predictors(self._learner.averaged, cases, slices, learnt)
        self._carried_alone = self._predictors(self._learner.averaged, cases, slices, learnt)
        self._students_alone = self._predictors(self._learner.averaged, cases, slices, learnt, STUDENTS_ALONE)
        self._listen(self._listening)

    def _predictors(
        self,
        students: Students,
        cases: Sequence[Case],
        slices: TrainingSlices,
        priors: Sequence[Prior | None],
        listening: EnsembleWeight | None = None,
    ) -> list[Predictor]:
        return [
            Predictor(
                students,
                case.volume,
                axis=case.annotation.axis,
                window=window,
                config=self._config,
                device=self._device,
                planes=planes,
                prior=prior,
                listening=listening,
            )
            for case, window, planes, prior in zip(cases, slices.windows, slices.planes, priors, strict=True)
        ]
