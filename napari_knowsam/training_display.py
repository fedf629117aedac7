"""Shows a training in the Train panel: its progress, its scores and its state."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING
from weakref import ref

from qtpy.QtCore import QObject, QTimer

from knowsam.training import events
from knowsam.training.events import PREDICTING, Stage
from napari_knowsam import status_messages
from napari_knowsam.status_messages import Shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from knowsam.config import Config
    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.training.events import Applied, Finished, Notice, PredictionReady, StepDone, Validated
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.training_controller import TrainingController

_INTERVAL_MS = 1000
"""Steps end many a second, but every repaint of the panel delays the brush."""

_LONGEST_NAME = 32
"""A longer one would take the room of the sentence; the list of images has all of it."""


class TrainingDisplay(QObject):
    """Shows the events of a training in the Train panel; steps are collected and shown once a second.

    Parameters
    ----------
    chosen : returns the work on the chosen image.
    """

    def __init__(
        self,
        panel: TrainPanel,
        controller: TrainingController,
        chosen: Callable[[], AnnotationDocument | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._panel, self._controller, self._chosen = panel, controller, chosen
        self._finished: tuple[ref[AnnotationDocument], Finished] | None = None
        self._stage: Stage | None = None
        self._dice: float | None = None
        self._shown = Shown.NOTHING
        self._validated_in: Callable[[], AnnotationDocument | None] = lambda: None
        self._notices: list[str] = []
        self._noticed_in: Callable[[], AnnotationDocument | None] = lambda: None
        self._sentence = ""
        self._says_what_is_next = False
        self._sentence_on: ref[AnnotationDocument] | None = None
        self._refusal: str | None = None
        self._steps: list[tuple[StepDone, float | None]] = []
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.setInterval(_INTERVAL_MS)
        self._due.timeout.connect(self._show_steps)
        controller.stage_changed.connect(self._on_stage_changed)
        controller.stepped.connect(self._on_stepped)
        controller.validated.connect(self._on_validated)
        controller.predicted.connect(self._on_predicted)
        controller.predictions_gone.connect(self._on_predictions_gone)
        controller.noticed.connect(self._on_noticed)
        controller.downloading.connect(lambda event: self.say(status_messages.downloading_sentence(event)))
        controller.failed.connect(self._on_failed)
        controller.finished.connect(self._on_finished)
        controller.applied.connect(self._on_applied)

    def begin(self, config: Config) -> None:
        """Forget the training before; one with these settings begins."""
        self._finished, self._dice, self._notices = None, None, []
        self._shown, self._validated_in = Shown.NOTHING, lambda: None
        self._panel.clear_plot(config.training.holdout_minimum)

    def say(self, sentence: str, work: AnnotationDocument | None = None) -> None:
        """Say in a sentence what is going on, and in which volume, if in one."""
        self._sentence, self._sentence_on = sentence, None if work is None else ref(work)
        self._says_what_is_next = False
        self._show()

    def say_what_is_next(self) -> None:
        """Say what can be done next, until something goes on."""
        self.say(status_messages.next_sentence(self._chosen()))
        self._says_what_is_next = True

    def refuse(self, sentence: str) -> None:
        """Say why nobody can train as things are."""
        self._refusal = sentence
        self.say(sentence)

    def things_changed(self) -> None:
        """Remove a message that may be outdated: next steps, a refusal or failure, or that labels are propagated."""
        work = self._controller.work
        begun = self._sentence == status_messages.PROPAGATING and (work is None or not work.can_propagate)
        if self._says_what_is_next or self._sentence == self._refusal or begun:
            self.say_what_is_next()

    def document_changed(self) -> None:
        """Remove messages on another volume than the chosen one, unless work goes on in it."""
        if self._stage is None and self._said_of not in (None, self._chosen()):
            self._finished, self._notices = None, []
            self.say_what_is_next()
        self.things_changed()

    def propagation_begins(self) -> None:
        """Report propagation if no other message is shown; the first prediction takes seconds."""
        if self._says_what_is_next or self._sentence == status_messages.PROPAGATING:
            self._tell(status_messages.PROPAGATING)

    def images_changed(self, is_there: Callable[[AnnotationDocument], bool]) -> None:
        """Show the present name of a volume, and remove messages on one that is no longer there."""
        noticed_in, said_of = self._noticed_in(), self._said_of
        if noticed_in is None or not is_there(noticed_in):
            self._notices = []
        if self._sentence_on is not None and (said_of is None or not is_there(said_of)):
            self.say_what_is_next()
        self._show()

    def close(self) -> None:
        """Show nothing any more."""
        self._due.stop()
        self._steps.clear()

    @property
    def _said_of(self) -> AnnotationDocument | None:
        return None if self._sentence_on is None else self._sentence_on()

    def _show(self) -> None:
        work = self._said_of
        named = self._sentence if work is None else f"{_shortened(work.name)}: {self._sentence}"
        self._panel.bar.set_message(f"{named}\n{' '.join(self._notices)}".strip())

    def _tell(self, sentence: str) -> None:
        """Say what is going on, and in which volume, since another one may be on the screen."""
        work = self._controller.work
        if work is not None and work is not self._noticed_in():
            # Messages on another volume do not apply to this one.
            self._notices = []
        if (sentence, work) != (self._sentence, self._said_of):
            self.say(sentence, work)

    def _show_soon(self) -> None:
        if not self._due.isActive():
            self._due.start()

    def _show_steps(self) -> None:
        """Show what has come in since the last time."""
        self._due.stop()
        steps, self._steps = self._steps, []
        for step, _ in steps:
            self._panel.add_losses(step.step, asdict(step.losses))
        work = self._controller.work
        if steps and work is not None:
            latest, seconds_left = steps[-1]
            self._panel.bar.set_progress(latest.step, latest.progress, seconds_left)
            if self._stage is Stage.TRAINING:
                self._tell(status_messages.training_sentence(latest, len(work.annotated), self._dice, self._shown))
        elif self._stage is Stage.APPLYING and work is not None:
            self._panel.bar.set_applied(1 - self._controller.outdated(work) / work.slice_count)
        elif self._stage is None:
            self._say_finished()

    def _on_stage_changed(self, stage: Stage | None) -> None:
        self._show_steps()
        self._stage = stage
        self._panel.set_stage(stage)
        self._panel.set_settings_enabled(stage is None)
        if stage in PREDICTING:
            self._finished, self._notices = None, []
        if stage is not None:
            self._say_stage(stage)

    def _say_stage(self, stage: Stage) -> None:
        if stage is Stage.PAUSED:
            self._tell(status_messages.paused_sentence(self._shown))
        else:
            self._tell(status_messages.stage_sentence(stage))

    def _on_stepped(self, step: StepDone, seconds_left: float | None) -> None:
        self._steps.append((step, seconds_left))
        self._show_soon()

    def _on_validated(self, validated: Validated) -> None:
        work = self._controller.work
        self._validated_in = self._validated_in if work is None else ref(work)
        self._shown = self._in_words(validated.shown)
        self._dice = validated.shown.dice
        self._panel.add_dice(validated.step, validated.dice, validated.adopted)

    def _on_predicted(self, ready: PredictionReady) -> None:
        if self._shown is Shown.NOTHING:
            self._shown = self._in_words(ready.shown)
            if self._stage is Stage.TRAINING:
                self._tell(status_messages.shown_sentence(self._shown))
            elif self._stage is Stage.PAUSED:
                self._say_stage(self._stage)
        if self._stage in PREDICTING or (self._stage is None and self._finished is not None):
            self._show_soon()
        elif self._stage is None and self._sentence != self._refusal:
            self._say_propagation(self._in_words(ready.shown))

    def _on_predictions_gone(self) -> None:
        self._shown = Shown.NOTHING
        if self._stage is None and self._is_all_annotated:
            self._say_propagation(Shown.ANNOTATED)
        elif self._stage is None:
            self.say_what_is_next()

    @property
    def _is_all_annotated(self) -> bool:
        work = self._controller.work
        return work is not None and work.is_fully_annotated

    def _say_propagation(self, shown: Shown) -> None:
        """Say what is shown without a training, for the volume on the screen only."""
        if self._controller.work is not self._chosen():
            return
        self._tell(status_messages.propagation_sentence(Shown.ANNOTATED if self._is_all_annotated else shown))

    def _in_words(self, shown: events.Shown) -> Shown:
        if shown.source is events.Source.PROPAGATION:
            # Of a volume that is propagated after another one was trained, training tells nothing.
            work = self._controller.work
            return Shown.NOT_BETTER if work is not None and work is self._validated_in() else Shown.PROPAGATED
        if shown.source is events.Source.PROPOSAL:
            return Shown.PROPOSED
        return Shown.BOTH if shown.source is events.Source.ENSEMBLE else Shown.LEARNT

    def _on_noticed(self, notice: Notice) -> None:
        if notice.by_default:
            # Under every training, it would take the place of what is news; it stands beside the teacher.
            return
        # Messages before training belong together; later, only the latest is news.
        self._notices = [*self._notices, notice.text] if self._stage is Stage.PREPARING else [notice.text]
        work = self._controller.work
        self._noticed_in = self._noticed_in if work is None else ref(work)
        self._show()

    def _on_failed(self, sentence: str) -> None:
        self._show_steps()
        self._finished = None
        self._tell(sentence)
        # The predictions that follow shall not wipe it away before it was read.
        self._refusal = self._sentence

    def _on_finished(self, finished: Finished) -> None:
        self._show_steps()
        work = self._controller.work
        if finished.steps or finished.stopped:
            # Otherwise the last one says why nothing was trained.
            self._notices = []
        if work is not None:
            self._finished = ref(work), finished
        self._say_finished()

    def _on_applied(self, applied: Applied) -> None:
        self._show_steps()
        if self._stage is Stage.PROPOSING:
            self._tell(status_messages.proposed_sentence(applied))
        else:
            self._tell(status_messages.applied_sentence(applied))

    def _say_finished(self) -> None:
        """Say how the last training ended, until its predictions have followed or another volume is predicted."""
        work = self._controller.work
        if self._finished is None or work is None:
            return
        of, finished = self._finished
        if work is not of():
            self._finished = None
            return
        outdated, has_earlier = self._controller.outdated(work), self._controller.model(work) is not None
        self._tell(
            status_messages.finished_sentence(finished, self._shown, self._dice, outdated, has_earlier=has_earlier)
        )
        if not outdated:
            self._finished = None


def _shortened(name: str) -> str:
    """Return a name of which both ends can be read.

    >>> _shortened("heart"), _shortened("a_name_that_is_rather_long_for_a_heart")
    ('heart', 'a_name_that_is_…long_for_a_heart')
    """
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
