"""Propagation without training: what is painted or corrected changes the slices beside it at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from knowsam.data.annotation import IGNORE, LabelSlice, class_indices
from knowsam.data.window import pixels_to_see
from knowsam.errors import InputError, PredictionError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import fault_sentence
from knowsam.training.display import Display
from knowsam.training.events import (
    ClassesChanged,
    Notice,
    PredictedSlice,
    PredictionReady,
    ProposalLearnt,
    Proposed,
    Shown,
    SliceAnnotated,
    Source,
    Stop,
    Watch,
)
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.live_refresh import LiveRefresh
from knowsam.training.mailbox import Mailbox
from knowsam.training.network_volumes import NetworkVolumes, common_windows, wider_windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.config import Config
    from knowsam.data.annotation import Annotation, LabelClass
    from knowsam.data.case import Case
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.events import Event, Message, PredictionsGone


class PropagationSession:
    """Keeps the predictions of one volume up to date while nobody trains.

    It talks as a `TrainingSession` does: `SliceAnnotated`, `ClassesChanged`, `Watch` and `Stop` in, `PredictionReady`
    and `PredictionsGone` out, in any thread. Before a training it shows propagated labels alone and builds no network.
    After one it shows its students too, with the weight they ended with, and predicts what is still outdated by then.

    Parameters
    ----------
    case : the volume with all that is annotated by now; at least one slice.
    display : what an earlier training or propagation of this volume showed last; None before any.

    Attributes
    ----------
    display : what is shown; None before the volume is prepared.
    """

    def __init__(self, case: Case, config: Config, *, display: Display | None = None) -> None:
        self._cases = [case] if display is None else display.cases
        self._config = config if display is None else display.config
        self.display = display
        self._live: LiveRefresh | None = None
        self._watched = Watch(None)
        self._threads = CpuThreads()
        self._interruption = Interruption(self._threads.adapt)
        self._mailbox = Mailbox(self._interruption)
        self._read_ahead: Message | None = None
        if self.display is not None:
            self._live = LiveRefresh(self.display, share=self._config.training.refresh_share)
            self._submit_changes(self._cases[0].annotation, case.annotation)

    def submit(self, message: Message) -> None:
        """Leave a message for the session; from any thread, returns at once."""
        self._mailbox.put(message)

    def run(self) -> Iterator[Event]:
        """Predict what changes until a `Stop` is read.

        Raises
        ------
        PredictionError
            If memory runs out or the device fails. No `RuntimeError` ever leaves.
        """
        try:
            with self._threads:
                yield from self._run()
        except (RuntimeError, MemoryError) as exc:
            raise PredictionError(f"Labels cannot be propagated. {fault_sentence(exc, self._device)}") from exc

    def _run(self) -> Iterator[Event]:
        while True:
            if self._live is None and not self._is_stopping:
                self._prepare()
            if self._live is not None:
                yield from self._taken_back(self._live)
            while self._live is not None and self._has_read_all and self._live.can_show and self._live.is_outdated:
                self._threads.adapt()
                yield self._live.some()
            match message := self._next_message():
                case Stop():
                    return
                case Watch():
                    self._watched = message
                    if self._live is not None:
                        self._live.watch(message.case, message.index)
                case ClassesChanged():
                    self._change_classes(message.classes)
                case ProposalLearnt():
                    yield from self._take_proposal(message)
                case SliceAnnotated():
                    for label_slice in self._latest(message):
                        # Accepting all slices sends hundreds, which nobody needs once a stop lies behind them.
                        if self._is_stopping:
                            break
                        try:
                            self._interruption.check()
                            self._annotate(label_slice)
                        except Interrupted:
                            break
                        except InputError as error:
                            yield Notice(str(error))

    def _taken_back(self, live: LiveRefresh) -> Iterator[PredictionsGone | PredictionReady]:
        """Where too little is annotated to propagate it, what is proposed is all there is."""
        proposal = self._cases[0].proposal
        for event in live.take_back():
            yield event if proposal is None else shown_proposal(proposal, self._cases[0].annotation)

    def _take_proposal(self, message: ProposalLearnt) -> Iterator[Event]:
        yield Notice(message.text)
        if message.mask is None:
            return
        self._cases[0] = case = replace(self._cases[0], proposal=message.mask)
        yield Proposed(message.mask)
        if self.display is not None and self.display.volumes.can_propagate(0):
            self.display.volumes.relabel(self._cases)
            self.display.outdate_propagated()
            self._show_anew(self.display)
        else:
            yield shown_proposal(message.mask, case.annotation)

    @property
    def _is_stopping(self) -> bool:
        """Whether the next message is known to be a stop."""
        return isinstance(self._read_ahead, Stop)

    @property
    def _has_read_all(self) -> bool:
        return self._read_ahead is None and self._mailbox.is_empty

    def _next_message(self) -> Message:
        message, self._read_ahead = self._read_ahead, None
        return self._mailbox.get() if message is None else message

    def _latest(self, first: SliceAnnotated) -> list[LabelSlice]:
        """Return what was annotated by now, of each slice the latest: accepting and undoing send all of a volume."""
        latest = {first.label_slice.index: first.label_slice}
        while not self._mailbox.is_empty:
            message = self._mailbox.get()
            if not isinstance(message, SliceAnnotated):
                self._read_ahead = message
                break
            latest[message.label_slice.index] = message.label_slice
        return list(latest.values())

    def _prepare(self) -> None:
        """Build the network planes and propagate; where that is broken off, the mailbox says why."""
        try:
            if self.display is None:
                self.display = self._first_display()
            else:
                self.display.turn_to(self._network_volumes())
                self.display.outdate_propagated()
        except Interrupted:
            return
        self._show_anew(self.display)

    def _first_display(self) -> Display:
        return Display(self._network_volumes(), self._config, self._cases)

    def _network_volumes(self) -> NetworkVolumes:
        (case,) = self._cases
        if self.display is None:
            windows, _ = common_windows(self._cases, self._config)
        else:
            windows = [self.display.volumes.slices[0].window]
            if any(windows[0].leaves_out(pixels_to_see(one)) for one in case.annotation.slices.values()):
                windows, _ = wider_windows(self._cases, self._config, windows[0].pixel_mm(case.plane_spacing_mm))
        return NetworkVolumes(self._cases, windows, self._config, device=self._device, interruption=self._interruption)

    def _show_anew(self, display: Display) -> None:
        self._live = LiveRefresh(display, share=self._config.training.refresh_share)
        self._live.watch(self._watched.case, self._watched.index)

    def _annotate(self, label_slice: LabelSlice) -> None:
        self._cases[0] = self._cases[0].with_slice(label_slice)
        if self._live is None or self.display is None:
            return
        volumes = self.display.volumes
        is_unregistered = volumes.propagations[0] is None and self._config.method.shape_prior
        if volumes.slices[0].window.leaves_out(pixels_to_see(label_slice)) or (
            is_unregistered and has_some_to_propagate(self._cases[0])
        ):
            self._live = None
            return
        self._live.outdate_slices(0, volumes.annotate(0, label_slice, len(self.display.classes)))

    def _change_classes(self, classes: tuple[LabelClass, ...]) -> None:
        if self.display is None:
            self._cases[:] = [case.with_classes(classes) for case in self._cases]
        elif self.display.change_classes(classes) is not None:
            self.display.volumes.relabel(self._cases)
            self.display.outdate_propagated()
            self._show_anew(self.display)

    def _submit_changes(self, before: Annotation, after: Annotation) -> None:
        """Leave messages of all that was annotated since the display was shown last."""
        if after.classes != before.classes:
            self.submit(ClassesChanged(after.classes))
            before = before.with_classes(after.classes)
        for index in sorted({*before.slices, *after.slices}):
            one, other = (annotation.slices.get(index) for annotation in (before, after))
            if one is None or other is None or not one.has_same_annotation(other):
                nothing = np.full(after.plane_shape, IGNORE, np.uint8)
                self.submit(SliceAnnotated(other or LabelSlice(after.axis, index, nothing)))

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu") if self.display is None else self.display.volumes.planes.device


def has_some_to_propagate(case: Case) -> bool:
    """Return whether so much is annotated that there may be labels to propagate."""
    return len(case.annotation.slices) > 1


def shown_proposal(mask: ProposedMask, annotation: Annotation) -> PredictionReady:
    """Return what is proposed for all slices of a volume; classes that are not those of the volume are background."""
    known = [one.value for one in annotation.classes]
    indices = class_indices(np.where(np.isin(mask.labels, known), mask.labels, 0), annotation.classes)
    uncertainty = np.rint(100 * (1 - mask.agreement)).astype(np.uint8)
    planes = zip(*(np.moveaxis(one, annotation.axis, 0) for one in (indices, uncertainty)), strict=True)
    slices = tuple(PredictedSlice(index, *plane) for index, plane in enumerate(planes))
    return PredictionReady(0, slices, annotation.classes, 0, Shown(Source.PROPOSAL, 0.0))
