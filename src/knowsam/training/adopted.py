"""The students that predict: a copy of the learning ones, renewed when the referee finds nothing against it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from knowsam.inference.predictor import Predictor
from knowsam.models.class_heads import students_with_classes
from knowsam.training.events import Validated
from knowsam.training.live_refresh import LiveRefresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.inference.predictor import Prior
    from knowsam.models.class_heads import Sources
    from knowsam.models.students import Students
    from knowsam.training.learner import Learner
    from knowsam.training.referee import Referee
    from knowsam.training.slices import TrainingSlices


_RIPE = 0.5
"""Training progress from which on students count in full beside carried shapes; before, in proportion."""


class AdoptedStudents:
    """Students good enough to predict with, what annotated slices say beside them, and what both are asked for.

    Where shapes are carried to a slice, these are the prediction until the students are found to add to them, on slices
    that have no part in what is carried: the held-out ones, or the annotated ones in turn while none is held out.

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
    ) -> None:
        self.students = copy.deepcopy(learner.averaged)
        self.have_learnt = False
        self._share = 0.0
        self._learner, self._referee = learner, referee
        self._config, self._device = config, device
        self._point_at(cases, slices)
        self.live = LiveRefresh(self.predictors, cases[0].annotation.classes, share=config.training.refresh_share)
        for number, prior in enumerate(slices.priors):
            if prior is not None and prior.says_something:
                self.live.outdate_slices(number, range(len(slices.planes[number])))

    def can_predict(self, case: int) -> bool:
        """Tell whether there is anything to show of a volume."""
        prior = self._priors[case]
        return self.have_learnt or (prior is not None and prior.says_something)

    def change_classes(self, cases: Sequence[Case], slices: TrainingSlices, sources: Sources) -> None:
        """Predict other classes from now on, with what was learnt of the known ones."""
        self.students = students_with_classes(self.students, sources)
        self.change_planes(cases, slices)

    def change_planes(self, cases: Sequence[Case], slices: TrainingSlices) -> None:
        """Predict on other network planes from now on; a score on the old ones says nothing of these."""
        self._referee.forget()
        self._point_at(cases, slices)
        self.live.predict_with(self.predictors, cases[0].annotation.classes)

    def start_from_here(self, cases: Sequence[Case]) -> None:
        """Take the students for ones that have learnt: what is not better than they are is no progress.

        Raises
        ------
        Interrupted
            If somebody asked for it.
        """
        dice = self._referee.measure(self._candidates, cases)
        self._referee.adopt(dice)
        self.have_learnt = True
        self._listen(1.0 if self._add_to_prior(cases) else 0.0)

    def judge(self, cases: Sequence[Case], step: int, progress: float) -> Validated:
        """Measure the learning students on the held-out slices and adopt them if they are not worse.

        Parameters
        ----------
        progress : share of the training that is done, in [0, 1].

        Raises
        ------
        Interrupted
            If somebody asked for it; nothing has changed then.
        """
        dice = self._referee.measure(self._candidates, cases)
        ripe = max(min(progress / _RIPE, 1.0), self._share)
        share = ripe if self._add_to_prior(cases) else 0.0
        adopted = self._referee.adopt(dice)
        if adopted:
            self.students.load_state_dict(self._learner.averaged.state_dict())
            self.have_learnt = True
            self._listen(share)
            self.live.outdate()
        return Validated(step, dice, adopted and share > 0)

    def _add_to_prior(self, cases: Sequence[Case]) -> bool:
        """Tell whether the learning students make carried shapes better, or at least not worse, where that is known."""
        if not any(prior is not None and prior.says_something for prior in self._priors):
            return True
        measure = self._referee.measure if self._referee.holdout else self._referee.measure_seen
        together, alone = measure(self._candidates, cases), measure(self._carried_alone, cases)
        return together is None or alone is None or together >= alone

    def _listen(self, share: float) -> None:
        self._share = share
        for predictor in self.predictors:
            predictor.student_share = share

    def _point_at(self, cases: Sequence[Case], slices: TrainingSlices) -> None:
        self._priors = slices.priors
        shown = [None if prior is None else prior.shown for prior in slices.priors]
        learnt = [None if prior is None else prior.learnt for prior in slices.priors]
        self.predictors = self._predictors(self.students, cases, slices, shown)
        self._candidates = self._predictors(self._learner.averaged, cases, slices, learnt)
        self._carried_alone = self._predictors(self._learner.averaged, cases, slices, learnt, student_share=0.0)
        self._listen(self._share)

    def _predictors(
        self,
        students: Students,
        cases: Sequence[Case],
        slices: TrainingSlices,
        priors: Sequence[Prior | None],
        student_share: float = 1.0,
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
                student_share=student_share,
            )
            for case, window, planes, prior in zip(cases, slices.windows, slices.planes, priors, strict=True)
        ]
