"""Outlines of SAM from a box and clicks: previewed, then accepted, dropped, or followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer

from knowsam.data.slice_number import slice_number
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit, other_structures
from knowsam.editing.shape import pieces_beside
from knowsam.errors import InputError, KnowSAMError
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of
from napari_knowsam.edit_preview import EditPreview
from napari_knowsam.prompt_layer import PromptLayer
from napari_knowsam.slice_asking import SliceAsking, name_of, promptable

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.prompting.prompted_volume import PromptedMask
    from knowsam.prompting.slice_prompts import Box, Mask
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.panels.prompt_panel import PromptPanel

_TAKEN = "Taken over. It counts like painting, and is marked as outlined until you correct it or accept its slice (U)."

_STAYS_MS = 300
"""A person who stays in a slice this long may point at something there."""


class PromptOutline(QObject):
    """Prompts SAM in a thread, and takes the answer into the document or drops it.

    Outlines of several slices are kept until they are accepted, all in one action, or dropped. Answers after that, or
    after another prompt, are ignored. A stroke, another class or another image drops them.

    Parameters
    ----------
    chosen : returns the teacher and the device that are chosen for training.
    """

    def __init__(
        self,
        viewer: Viewer,
        layers: LayerChoice,
        panel: PromptPanel,
        chosen: Callable[[], tuple[str, str]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._layers, self._panel, self._chosen = viewer, layers, panel, chosen
        self._asking: SliceAsking | None = None
        self._preview = EditPreview(viewer)
        self._pointing: PromptLayer | None = None
        self._index, self._prompts = 0, SlicePrompts()
        self._masks: dict[int, Mask] = {}
        self._boxes: dict[int, Box | None] = {}
        self._others: tuple[int, ...] = ()
        self._question: object | None = None
        self._is_active = self._is_stopped = self._is_looking = False
        self._stays = QTimer(self)
        self._stays.setSingleShot(True)
        self._stays.setInterval(_STAYS_MS)
        self._stays.timeout.connect(self._look_ahead)
        panel.apply_requested.connect(self.apply)
        panel.drop_requested.connect(self.drop)
        panel.follow_requested.connect(self.follow)
        panel.stop_requested.connect(self._on_stop_requested)
        panel.protection_toggled.connect(self._on_protection_toggled)
        signals = layers.signals
        signals.document_changed.connect(self._on_document_changed)
        signals.looked_at.connect(self._on_looked_at)
        signals.turned.connect(self._on_turned)
        signals.class_selected.connect(self._on_class_selected)
        for signal in (signals.slices_annotated, signals.classes_changed):
            signal.connect(self.drop)

    def set_active(self, is_active: bool) -> None:
        """Begin or end pointing."""
        self._is_active = is_active
        self._restart()

    def follow(self) -> None:
        """Outline the structure in the slices beside, as long as it stays much the same."""
        sync, asking = self._layers.sync, self._asked()
        if sync is None or asking is None:
            return
        index = sync.view.index
        if index not in self._masks:
            self._panel.set_message("Nothing is outlined in this slice. Go to one that is, or outline it here.")
            return
        self._is_stopped = False
        question = self._begin(sync, "Following …", is_following=True)
        annotated = frozenset(sync.document.annotated)
        worker = create_worker(
            asking.follow, index, self._masks[index], annotated, _ignore_errors=True, _start_thread=False
        )
        worker.yielded.connect(partial(self._on_followed, question, worker))
        worker.returned.connect(partial(self._on_follow_ended, question))
        worker.errored.connect(partial(self._on_refused, question))
        worker.start()

    def apply(self) -> None:
        """Accept the outlines."""
        sync = self._layers.sync
        if sync is None:
            return
        # A stroke that was not taken in yet drops the outlines.
        sync.flush()
        edit = self._edit(sync) if self._masks and self._question is None else None
        self.drop()
        if edit is not None:
            name = sync.document.class_list.name_of(edit.value)
            if sync.change(AnnotationDocument.edit, edit, f"outlining of “{name}” in"):
                self._panel.set_message(_TAKEN)

    def drop(self, *_: object) -> None:
        """Forget the prompts and their outlines."""
        self._question, self._prompts, self._masks, self._boxes = None, SlicePrompts(), {}, {}
        self._preview.drop()
        if self._pointing is not None:
            self._pointing.clear()
        self._panel.set_outline(is_there=False)
        self._panel.set_message("")

    def close(self) -> None:
        """Let go of the viewer."""
        self._is_active = False
        self._end_pointing()

    def _asked(self) -> SliceAsking | None:
        """Return the interface to the chosen SAM."""
        sync = self._layers.sync
        if sync is None:
            return None
        teacher, device = self._chosen()
        sam = promptable(teacher)
        if self._asking is None or (self._asking.sam, self._asking.device) != (sam, device):
            self._asking = SliceAsking(sync.document.volume, sync.document.axis, sam, device)
        return self._asking

    def _on_boxed(self, box: Box) -> None:
        sync = self._layers.sync
        if sync is not None:
            sync.flush()
            self._outline(sync, SlicePrompts(box=box))

    def _on_clicked(self, row: int, column: int, is_inside: bool) -> None:
        sync = self._layers.sync
        if sync is None:
            return
        sync.flush()
        index = sync.view.index
        prompts = self._prompts if self._index == index else SlicePrompts()
        if prompts.is_empty:
            mask = self._masks.get(index, sync.document.shown(index) == sync.selected_value)
            prompts = SlicePrompts(logits=logits_of(mask) if mask.any() else None)
        self._outline(sync, prompts.clicked(row, column, is_inside=is_inside))

    def _outline(self, sync: LayerSync, prompts: SlicePrompts) -> None:
        asking = self._asked()
        if asking is None or self._pointing is None:
            return
        try:
            if sync.plane_question is not None:
                raise InputError(sync.plane_question)
            self._others = other_structures(sync.document, sync.selected_value, "outline")
        except InputError as error:
            self._panel.set_message(str(error))
            return
        self._index, self._prompts = sync.view.index, prompts
        self._pointing.show(prompts)
        question = self._begin(sync, "Outlining …", is_following=False)
        create_worker(
            asking.outline,
            self._index,
            prompts,
            _ignore_errors=True,
            _connect={
                "returned": partial(self._on_found, question, name_of(asking.sam)),
                "errored": partial(self._on_refused, question),
            },
        )

    def _begin(self, sync: LayerSync, message: str, *, is_following: bool) -> object:
        """Show that SAM is at work, and return a token of the question."""
        self._question = question = object()
        self._panel.set_working(is_following=is_following)
        self._panel.set_message(f"{message} Escape drops it.")
        self._offer({"Escape": self.drop}, sync)
        return question

    def _on_found(self, question: object, sam: str, answer: PromptedMask) -> None:
        sync = self._layers.sync
        if question is not self._question or sync is None:
            return
        if answer.mask.any():
            # A box says nothing of other pieces of the class; clicks go on from all of them.
            if self._prompts.box is not None:
                self._boxes[self._index] = self._prompts.box
            self._prompts = replace(self._prompts, logits=answer.logits)
            self._masks[self._index] = answer.mask
            sentence = f"Outlined by {sam}. Enter takes it over; a click adds, Shift and a click takes away."
        else:
            sentence = f"{sam[0].upper()}{sam[1:]} finds nothing there. Draw a box round the structure."
        self._show(sync)
        self._panel.set_message(sentence)

    def _on_followed(self, question: object, worker: Any, found: tuple[int, Mask]) -> None:
        if question is not self._question:
            worker.quit()
            return
        index, mask = found
        # Prompts of a person count more than outlines that were followed to there.
        if index not in self._masks:
            self._masks[index], self._boxes[index] = mask, None
        self._panel.set_message(f"Following: {len(self._masks)} slices … Escape drops them.")
        if self._is_stopped:
            worker.quit()
            self._on_follow_ended(question)

    def _on_follow_ended(self, question: object, _result: object = None) -> None:
        sync = self._layers.sync
        if question is not self._question or sync is None:
            return
        self._show(sync)
        first, last = slice_number(min(self._masks)), slice_number(max(self._masks))
        self._panel.set_message(
            f"Outlined in slices {first} to {last}. Look at them; Enter takes all over."
            if len(self._masks) > 1
            else "The slices beside look different there, or are annotated already. Outline one of them."
        )

    def _on_refused(self, question: object, error: Exception) -> None:
        sync = self._layers.sync
        if question is self._question and sync is not None:
            self._show(sync)
            self._panel.set_message(str(error))
        if not isinstance(error, KnowSAMError):
            raise error

    def _on_stop_requested(self) -> None:
        self._is_stopped = True

    def _on_protection_toggled(self) -> None:
        sync = self._layers.sync
        if sync is not None and self._masks and self._question is None:
            self._show(sync)

    def _show(self, sync: LayerSync) -> None:
        """Show the outlines there are, and let a person decide on them."""
        self._question = None
        self._panel.set_outline(is_there=bool(self._masks))
        if self._masks:
            self._preview.show(self._edit(sync), sync)
            self._offer({"Enter": self.apply, "Escape": self.drop}, sync)
        else:
            self._preview.drop()

    def _edit(self, sync: LayerSync) -> Edit:
        """Return the edited structure; pieces of it that nobody pointed at stay."""
        document, value = sync.document, sync.selected_value
        blocked = self._others if self._panel.protects else ()
        masks = {}
        for index, mask in self._masks.items():
            shown = document.shown(index)
            if index in self._boxes:
                mask = mask | pieces_beside(shown == value, mask | _inside(self._boxes[index], mask))
            masks[index] = mask & ~np.isin(shown, blocked)
        return Edit(value, masks, is_by_sam=True)

    def _offer(self, actions: dict[str | int, Callable[[], object]], sync: LayerSync) -> None:
        others = () if self._pointing is None else (self._pointing.layer,)
        self._preview.offer(actions, sync, *others)

    def _on_document_changed(self) -> None:
        if self._layers.sync is None:
            # The image may be one of several layers that are being removed just now.
            QTimer.singleShot(0, self._restart)
        else:
            self._restart()

    def _restart(self) -> None:
        self._end_pointing()
        sync = self._layers.sync
        if not self._is_active or sync is None:
            return
        self._pointing = PromptLayer(self._viewer, sync, self)
        self._pointing.boxed.connect(self._on_boxed)
        self._pointing.clicked.connect(self._on_clicked)
        self._pointing.gone.connect(self._on_layer_gone)
        self._on_turned()
        self._stays.start()

    def _end_pointing(self) -> None:
        self.drop()
        self._stays.stop()
        pointing, self._pointing, self._asking = self._pointing, None, None
        if pointing is not None:
            pointing.close(is_chosen=self._layers.sync is pointing.sync)
            pointing.deleteLater()

    def _on_layer_gone(self) -> None:
        self._end_pointing()
        self._panel.set_message("The layer for box and clicks was removed. Fold this section and open it again.")

    def _on_turned(self, *_: object) -> None:
        if self._pointing is not None:
            self._pointing.follow_view()
            if not self._pointing.fits:
                self._panel.set_message("Another plane is on the screen. To point, turn back to the one you annotate.")

    def _on_class_selected(self) -> None:
        self.drop()
        # Choosing a class takes up the brush.
        if self._pointing is not None and self._pointing.is_selected:
            QTimer.singleShot(0, self._pointing.select)

    def _on_looked_at(self, _index: int) -> None:
        if self._pointing is not None:
            self._stays.start()

    def _look_ahead(self) -> None:
        """Let SAM see the slice on the screen, so that it answers at once; one slice at a time."""
        if self._pointing is None or self._question is not None or self._is_looking:
            return
        sync, asking = self._layers.sync, self._asked()
        if sync is None or asking is None:
            return
        self._is_looking = True
        index = sync.view.index
        ended = partial(self._on_looked, index)
        create_worker(asking.look_at, index, _ignore_errors=True, _connect={"finished": ended})

    def _on_looked(self, index: int) -> None:
        self._is_looking = False
        if self._pointing is not None and self._pointing.sync.view.index != index:
            self._stays.start()


def _inside(box: Box | None, like: Mask) -> Mask:
    """Return (H, W), where a box is; nowhere without one."""
    inside = np.zeros_like(like)
    if box is not None:
        (top, left), (bottom, right) = box
        inside[top:bottom, left:right] = True
    return inside
