"""How messages steer a session: pause, stop and another slice to watch take effect at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.training.events import (
    ClassesChanged,
    Event,
    ModelReady,
    ModelWanted,
    Notice,
    Pause,
    Resume,
    SliceAnnotated,
    Stage,
    StageChanged,
    Stop,
    Watch,
)
from knowsam.training.interruption import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.training.intake import Intake
    from knowsam.training.live_refresh import LiveRefresh
    from knowsam.training.mailbox import Mailbox
    from knowsam.training.processes import Processes
    from knowsam.training.trained_model import TrainedModel


class SessionControl:
    """Reads the mailbox between two pieces of work, and shows what can be shown of what was read.

    Parameters
    ----------
    model : returns what was learnt so far.
    processes : that train together.

    Attributes
    ----------
    stage : what the session is doing, but for pauses.
    live : sends predictions; None until there are any.
    watched : what somebody looks at; None before anybody does.
    is_stopping : whether the session is to end.
    """

    def __init__(
        self, mailbox: Mailbox, intake: Intake, model: Callable[[], TrainedModel], processes: Processes
    ) -> None:
        self._mailbox, self._intake, self._model = mailbox, intake, model
        self._processes = processes
        self.stage = Stage.PREPARING
        self.live: LiveRefresh | None = None
        self.watched: Watch | None = None
        self.is_stopping = False

    def enter(self, stage: Stage) -> StageChanged:
        """Go on to another stage."""
        self.stage = stage
        return StageChanged(stage)

    def begin_to_show(self, live: LiveRefresh) -> None:
        """Show predictions from now on."""
        self.live = live
        if self.watched is not None:
            live.watch(self.watched.case, self.watched.index)

    def read_messages(self) -> Iterator[Event]:
        """Read all messages; those that training has to take in wait for `take_in`."""
        paused = False
        self._mailbox.heed()
        while (paused and not self.is_stopping) or not self._mailbox.is_empty:
            match message := self._mailbox.get():
                case Stop():
                    self.is_stopping = True
                    return
                case Pause():
                    if not paused:
                        yield StageChanged(Stage.PAUSED)
                    paused = True
                    yield from self._show_watched()
                case Resume():
                    if paused:
                        yield StageChanged(self.stage)
                    paused = False
                case Watch():
                    self._watch(message)
                    if paused:
                        yield from self._show_watched()
                case ModelWanted():
                    yield self._model_now()
                case SliceAnnotated() | ClassesChanged():
                    self._intake.put(message)
                    if paused and isinstance(message, SliceAnnotated):
                        yield from self._preview(message)

    def until_done(self, work: Callable[[], None]) -> Iterator[Event]:
        """Do work that is not in the budget, again after each pause that breaks it off, unless the session ends."""
        while not self.is_stopping:
            try:
                self._processes.together(work)
            except Interrupted:
                yield from self.read_messages()
            else:
                return

    def take_in(self) -> Iterator[Event]:
        """Pass annotations to the training."""
        assert self.live is not None
        yield from self._intake.take_in(self.live, self.until_done)

    def show_propagated(self) -> Iterator[Event]:
        """Send slices that other labels are propagated to at once, since propagation takes no training.

        What is painted meanwhile is taken in between two moments, since it is to be seen at once, too.
        """
        if self.live is not None:
            yield from self.live.take_back()
        while self.live is not None and self.live.can_show and self.live.has_urgent and not self.is_stopping:
            yield self.live.some()
            yield from self.read_messages()
            yield from self.take_in()

    def refresh(self, seconds: float) -> Iterator[Event]:
        """Send predictions to whoever watches, after training for some time, until something is painted."""
        if self.live is not None and self.live.can_show:
            for ready in self.live.beside(seconds):
                yield ready
                yield from self.read_messages()
                if self.is_stopping or self._intake.has_waiting:
                    break

    @property
    def outdated(self) -> int:
        """How many slices of whoever watches wait for a new prediction."""
        return self.live.outdated if self.live is not None and self.live.can_show else 0

    def _watch(self, message: Watch) -> None:
        self.watched = message
        if self.live is not None:
            self.live.watch(message.case, message.index)

    def _model_now(self) -> ModelReady | Notice:
        if self.live is None or not self.live.display.has_learnt:
            return Notice("Nothing has been learnt yet that could be saved. Let training go on for a moment.")
        return ModelReady(self._model())

    def _show_watched(self) -> Iterator[Event]:
        if self.live is not None and self.live.can_show and self.live.watched_is_outdated:
            yield self.live.some()

    def _preview(self, message: SliceAnnotated) -> Iterator[Event]:
        """Show while training stands still what a correction changes beside it."""
        if self.live is None or not self.live.can_show:
            return
        self._intake.preview(message, self.live)
        yield from self.live.take_back()
        while self.live.has_urgent and self._mailbox.is_empty:
            yield self.live.some()
