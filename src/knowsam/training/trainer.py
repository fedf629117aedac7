"""The networks and their data: training steps, validation and the students that predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from knowsam.data.image_statistics import ImageStatistics
from knowsam.data.sampling import SliceKey
from knowsam.errors import InputError, TrainingError
from knowsam.inference.device import is_out_of_memory
from knowsam.training.batch_sizes import BatchSizes
from knowsam.training.best_students import BestStudents
from knowsam.training.network_volumes import common_windows, wider_windows
from knowsam.training.processes import Processes
from knowsam.training.slices import TrainingSlices
from knowsam.training.start import best_so_far, start_learner

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.config import Config
    from knowsam.data.annotation import LabelClass, LabelSlice
    from knowsam.data.case import Case
    from knowsam.data.window import Window
    from knowsam.training.display import Display
    from knowsam.training.events import Validated
    from knowsam.training.interruption import Interruption
    from knowsam.training.model_selection import ModelSelection
    from knowsam.training.plan import TrainingPlan
    from knowsam.training.step import StepLosses


class OutOfMemory(Exception):
    """Memory ran out in a step; the next one is taken with fewer slices."""


class Trainer:
    """Networks, the slices they learn from, and the choice of the students that predict.

    Parameters
    ----------
    cases : volumes with their annotations.
    plan : what runs.
    config : the settings as a person chose them.
    selection : keeps the held-out slices.
    interruption : breaks off steps, validation and preparation.
    processes : that train together; by default this one by itself.

    Attributes
    ----------
    steps : taken so far, those of a training that is gone on with included.
    batch_sizes : slices that a step of this process sees; fewer than configured from when memory ran out.
    images : statistics of the volumes, those that an earlier model learnt from included; once it is prepared.
    validations : step and Dice of each time that the learning students were measured on held-out slices.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        plan: TrainingPlan,
        config: Config,
        selection: ModelSelection,
        interruption: Interruption,
        *,
        seed: int,
        sam_weights: Mapping[str, Tensor] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.cases = list(cases)
        self.plan, self.config, self.selection = plan, config, selection
        self.steps = 0 if plan.last is None else plan.last.model.steps
        self.windows, self.pixel_mm = _first_windows(cases, plan)
        self._seed, self._sam_weights = seed, sam_weights
        self._interruption = interruption
        self.batch_sizes = BatchSizes(config.training.labelled_batch, config.training.unlabelled_batch)
        self._best: BestStudents | None = None
        self.validations: list[tuple[int, float]] = []

    def prepare(self) -> None:
        """Build networks and network planes: too slow for the constructor, which the window's thread calls.

        Raises
        ------
        Interrupted
            If an interruption was requested; call it again then.
        """
        self.learner = start_learner(
            self.plan,
            self.classes,
            self.windows[0].plane,
            seed=self._seed,
            interruption=self._interruption,
            sam_weights=self._sam_weights,
            processes=self.processes,
        )
        self.slices = self._training_slices(self.windows)
        self.choose_holdout()
        best = BestStudents(
            best_so_far(self.plan, self.classes),
            self.learner,
            self.selection,
            self.cases,
            self.slices.volumes,
            config=self.config,
            interruption=self._interruption,
        )
        if self.plan.earlier is not None:
            best.start_from_here(self._references if self.plan.is_transfer else ())
        self.images = self._image_statistics()
        self._best = best

    @property
    def is_prepared(self) -> bool:
        """Whether steps can be taken."""
        return self._best is not None

    @property
    def display(self) -> Display:
        """What is shown; once it is prepared."""
        return self._prepared.display

    def unaided_dice(self) -> float | None:
        """Measure the students that predict without propagated labels, see `BestStudents`."""
        return self._prepared.unaided_dice()

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Background first."""
        return self.cases[0].annotation.classes

    @property
    def annotated(self) -> list[SliceKey]:
        """All annotated slices."""
        annotations = [case.annotation for case in self.cases]
        return [SliceKey(number, index) for number, own in enumerate(annotations) for index in own.annotated]

    @property
    def unconfirmed(self) -> list[SliceKey]:
        """All annotated slices with an outline of SAM that nobody has corrected or accepted."""
        annotations = [case.annotation for case in self.cases]
        return [key for key in self.annotated if annotations[key.case].slices[key.slice_index].unconfirmed]

    @property
    def _references(self) -> list[SliceKey]:
        """All annotated slices that tell how good a prediction is."""
        annotations = [case.annotation for case in self.cases]
        return [key for key in self.annotated if annotations[key.case].slices[key.slice_index].is_reference]

    def step(self, progress: float) -> StepLosses:
        """Take one step.

        Raises
        ------
        TrainingError
            If nothing is left to learn from, or the loss is not finite.
        OutOfMemory
            If memory ran out, but need not with fewer slices.
        Interrupted
            If an interruption was requested.
        """
        if not self.slices.labelled_keys:
            raise TrainingError("No annotated slice is left to learn from. Paint one, then train again.")
        joined = self.batch_sizes.times(self.processes.count)
        unlabelled = joined.unlabelled if self.learner.uses_unlabelled else 0
        try:
            batch = self.slices.batch(joined.labelled, unlabelled)
            losses = self.learner.step(batch, self.steps, progress)
        except (RuntimeError, MemoryError) as exc:
            if not (is_out_of_memory(exc) and self.batch_sizes.can_be_halved and self.processes.all_raised(exc)):
                raise
        else:
            self.steps += 1
            return losses
        # Not inside the handler, whose traceback keeps the tensors of the step alive.
        self.learner.forget_step()
        self.batch_sizes = self.batch_sizes.halved()
        raise OutOfMemory(f"Memory ran out; going on with {self.batch_sizes.times(self.processes.count)} a step.")

    def validate(self, step: int) -> Validated:
        """Measure the learning students, and let them predict if they are not worse.

        Parameters
        ----------
        step : to name in what is returned.

        Raises
        ------
        Interrupted
            If an interruption was requested; nothing has changed then.
        """
        validated = self._prepared.validate(step)
        if validated.dice is not None:
            self.validations.append((step, validated.dice))
        return validated

    def annotate(self, number: int, label_slice: LabelSlice) -> list[int]:
        """Take in a painted or corrected slice; call `choose_holdout` after the last one.

        Returns
        -------
        The slices whose propagated labels it changes, ascending.

        Raises
        ------
        InputError
            If there is no such volume, or the slice does not belong to it.
        """
        if not 0 <= number < len(self.cases):
            raise InputError(f"Volume {number} was annotated, but there are {len(self.cases)}. Count them from 0.")
        self.cases[number] = self.cases[number].with_slice(label_slice)
        self._prepared.forget_score()
        return self.slices.annotate(number, label_slice)

    def change_classes(self, classes: tuple[LabelClass, ...]) -> None:
        """Go on with other classes: known ones keep what was learnt of them."""
        sources = self.display.change_classes(classes)
        if sources is not None:
            self.learner.change_classes(sources)
            self.slices.relabel(self.cases)
            self._prepared.forget_score()

    def widen(self) -> None:
        """Train on the region round all that is painted by now; the networks keep what they have learnt.

        Raises
        ------
        Interrupted
            If an interruption was requested; call it again then.
        """
        windows, pixel_mm = wider_windows(self.cases, self.config, self.pixel_mm)
        self.slices = self._training_slices(windows)
        self.windows, self.pixel_mm = windows, pixel_mm
        self.learner.change_plane(windows[0].plane)
        self._turn_display()

    def choose_holdout(self) -> None:
        """Renew the hold-out and the streams of slices."""
        self.selection.choose(self.cases)
        self.slices.restart_streams(self.selection.holdout)
        self.selection.note_trained(self.slices.labelled_keys)

    def _image_statistics(self) -> tuple[ImageStatistics, ...]:
        clip_percent = self.config.plane.clip_percent
        own = (ImageStatistics.of(case.volume, case.annotation.axis, clip_percent) for case in self.cases)
        earlier = () if self.plan.earlier is None else self.plan.earlier.images
        # A volume that is trained again counts once.
        return tuple(dict.fromkeys((*earlier, *own)))

    @property
    def _prepared(self) -> BestStudents:
        assert self._best is not None
        return self._best

    def _turn_display(self) -> None:
        self._prepared.forget_score()
        self.display.turn_to(self.slices.volumes)

    def _training_slices(self, windows: Sequence[Window]) -> TrainingSlices:
        return TrainingSlices(
            self.cases,
            windows,
            self.config,
            device=self.plan.device,
            seed=self._seed,
            interruption=self._interruption,
        )


def _first_windows(cases: Sequence[Case], plan: TrainingPlan) -> tuple[list[Window], float]:
    """Return the windows that the training begins with, and their pixel size in mm.

    That of a model of other volumes counts if it is finer: labels are propagated worse on coarse planes, and how far
    the model is of use on finer ones than it knows is measured.
    """
    windows, pixel_mm = common_windows(cases, plan.config)
    if plan.earlier is None:
        return windows, pixel_mm
    earlier_mm = plan.earlier.pixel_mm
    return common_windows(cases, plan.config, min(pixel_mm, earlier_mm) if plan.is_transfer else earlier_mm)
