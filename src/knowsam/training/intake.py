"""What is painted while training runs: shown at once if possible, learnt from at the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.data.slice_number import slice_number
from knowsam.data.window import pixels_to_see
from knowsam.errors import InputError
from knowsam.training.events import ClassesChanged, Notice, SliceAnnotated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.training.events import Event
    from knowsam.training.live_refresh import LiveRefresh
    from knowsam.training.trainer import Trainer

    UntilDone = Callable[[Callable[[], None]], Iterator[Event]]


class Intake:
    """Annotations and changes of the classes on their way into training."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._waiting: list[SliceAnnotated | ClassesChanged] = []

    @property
    def has_waiting(self) -> bool:
        """Whether there is anything to take in."""
        return bool(self._waiting)

    def put(self, message: SliceAnnotated | ClassesChanged) -> None:
        """Keep a message for `take_in`."""
        self._waiting.append(message)

    def preview(self, message: SliceAnnotated, live: LiveRefresh) -> None:
        """Show what a correction changes beside it before training takes it in."""
        waits_for_classes = any(isinstance(other, ClassesChanged) for other in self._waiting)
        cases = self._trainer.cases
        if waits_for_classes or not 0 <= message.case < len(cases):
            return
        try:
            cases[message.case].annotation.with_slice(message.label_slice)
        except InputError:
            return
        live.outdate_slices(message.case, self._trainer.slices.annotate(message.case, message.label_slice))

    def take_in(self, live: LiveRefresh, until_done: UntilDone) -> Iterator[Event]:
        """Pass all annotations and all changes of the classes to the training.

        Parameters
        ----------
        until_done : does work that may be broken off anew after each pause, and tells what happens meanwhile.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            try:
                if isinstance(message, ClassesChanged):
                    self._trainer.change_classes(message.classes)
                else:
                    yield from self._annotate(message, live, until_done)
            except InputError as error:
                # One unusable slice is no reason to lose the training.
                yield Notice(str(error))
        self._trainer.choose_holdout()

    def _annotate(self, message: SliceAnnotated, live: LiveRefresh, until_done: UntilDone) -> Iterator[Event]:
        label_slice = message.label_slice
        changed = self._trainer.annotate(message.case, label_slice)
        live.outdate_slices(message.case, changed)
        if self._trainer.windows[message.case].leaves_out(pixels_to_see(label_slice)):
            yield Notice(
                f"Slice {slice_number(label_slice.index)} is painted beyond the region that was trained on; "
                "the region grows."
            )
            yield from until_done(self._trainer.widen)
