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
    from knowsam.models.class_heads import Sources
    from knowsam.models.students import Students
    from knowsam.training.learner import Learner
    from knowsam.training.referee import Referee
    from knowsam.training.slices import TrainingSlices


class AdoptedStudents:
    """Students good enough to predict with, and what they are asked for.

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
        self._learner, self._referee = learner, referee
        self._config, self._device = config, device
        self._point_at(cases, slices)
        self.live = LiveRefresh(self.predictors, cases[0].annotation.classes, share=config.training.refresh_share)

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
        self._referee.adopt(self._referee.measure(self.predictors, cases))
        self.have_learnt = True

    def judge(self, cases: Sequence[Case], step: int) -> Validated:
        """Measure the learning students on the held-out slices and adopt them if they are not worse.

        Raises
        ------
        Interrupted
            If somebody asked for it; nothing has changed then.
        """
        dice = self._referee.measure(self._candidates, cases)
        adopted = self._referee.adopt(dice)
        if adopted:
            self.students.load_state_dict(self._learner.averaged.state_dict())
            self.have_learnt = True
            self.live.outdate()
        return Validated(step, dice, adopted)

    def _point_at(self, cases: Sequence[Case], slices: TrainingSlices) -> None:
        self.predictors = self._predictors_of(self.students, cases, slices)
        self._candidates = self._predictors_of(self._learner.averaged, cases, slices)

    def _predictors_of(self, students: Students, cases: Sequence[Case], slices: TrainingSlices) -> list[Predictor]:
        return [
            Predictor(
                students,
                case.volume,
                axis=case.annotation.axis,
                window=window,
                config=self._config,
                device=self._device,
                planes=planes,
            )
            for case, window, planes in zip(cases, slices.windows, slices.planes, strict=True)
        ]
