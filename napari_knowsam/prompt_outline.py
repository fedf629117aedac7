"""A structure is outlined by SAM from a box and clicks: shown first, then taken over, dropped, or followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit
from knowsam.errors import KnowSAMError
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of
from napari_knowsam.edit_preview import EditPreview
from napari_knowsam.prompt_layer import PromptLayer
from napari_knowsam.slice_asking import Asked, SliceAsking, name_of, promptable

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.prompting.prompted_volume import PromptedMask
    from knowsam.prompting.slice_prompts import Box, Mask
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.panels.prompt_panel import PromptPanel

_STAYS_MS = 300
"""Somebody who stays in a slice for so long may point at something there."""


class PromptOutline(QObject):
    """Asks SAM in a thread for what is pointed at, and takes the answer into the document or drops it.

    What is answered after it was dropped, or after something else was asked, is never seen. A stroke, another class or
    another image drops the outline.

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
        self._asking = SliceAsking()
        self._preview = EditPreview(viewer)
        self._pointing: PromptLayer | None = None
        self._index, self._prompts = 0, SlicePrompts()
        self._question: object | None = None
        self._stays = QTimer(self)
        self._stays.setSingleShot(True)
        self._stays.setInterval(_STAYS_MS)
        self._stays.timeout.connect(self._look_ahead)
        panel.apply_requested.connect(self.apply)
        panel.drop_requested.connect(self.drop)
        panel.follow_requested.connect(self.follow)
        panel.stop_requested.connect(self._on_stop_requested)
        signals = layers.signals
        signals.document_changed.connect(self._on_document_changed)
        signals.looked_at.connect(lambda _: self._stays.start())
        for signal in (signals.slices_annotated, signals.classes_changed, signals.class_selected):
            signal.connect(self.drop)
        # Choosing a class takes up the brush.
        signals.class_selected.connect(lambda _: QTimer.singleShot(0, self._point_again))
        self._is_active = self._is_stopped = False

    def set_active(self, is_active: bool) -> None:
        """Begin or end pointing."""
        self._is_active = is_active
        self._on_document_changed()

    def follow(self) -> None:
        """Outline the structure in the slices beside, as long as they look alike inside."""
        sync, edit = self._layers.sync, self._preview.edit
        if sync is None or edit is None:
            return
        self._is_stopped = False
        masks = dict(edit.masks)
        question = self._begin(sync, "Following …", is_following=True)
        worker = create_worker(
            self._asking.follow,
            self._asked(sync),
            self._index,
            masks[self._index],
            _ignore_errors=True,
            _start_thread=False,
        )
        worker.yielded.connect(partial(self._on_followed, question, masks, worker))
        worker.returned.connect(partial(self._on_follow_ended, question, masks))
        worker.aborted.connect(partial(self._on_follow_ended, question, masks))
        worker.errored.connect(partial(self._on_refused, question))
        worker.start()

    def apply(self) -> None:
        """Take what is outlined over."""
        edit, sync = self._preview.edit, self._layers.sync
        self.drop()
        if edit is not None and sync is not None:
            name = sync.document.class_list.name_of(edit.value)
            sync.change(AnnotationDocument.edit, edit, f"outlining of “{name}” in")

    def drop(self, *_: object) -> None:
        """Forget what was pointed at and what came of it."""
        self._question, self._prompts = None, SlicePrompts()
        self._preview.drop()
        if self._pointing is not None:
            self._pointing.clear()
        self._panel.set_outline(is_there=False)
        self._panel.set_message("")

    def close(self) -> None:
        """Let go of the viewer."""
        self._stays.stop()
        self._end_pointing()

    def _asked(self, sync: LayerSync) -> Asked:
        teacher, device = self._chosen()
        return Asked(sync.document.volume, sync.document.axis, promptable(teacher), device)

    def _on_boxed(self, box: Box) -> None:
        self._outline(SlicePrompts(box=box))

    def _on_clicked(self, row: int, column: int, is_inside: bool) -> None:
        sync = self._layers.sync
        if sync is None:
            return
        prompts = self._prompts if self._index == sync.view.index else SlicePrompts()
        if prompts.is_empty:
            shown = sync.document.shown(sync.view.index) == sync.selected_value
            prompts = SlicePrompts(logits=logits_of(shown) if shown.any() else None)
        self._outline(prompts.clicked(row, column, is_inside=is_inside))

    def _outline(self, prompts: SlicePrompts) -> None:
        sync = self._layers.sync
        if sync is None or self._pointing is None:
            return
        sentence = sync.plane_question
        if sync.selected_value not in sync.document.class_list.values[1:]:
            sentence = "Background is chosen. Choose the structure to outline in the table of classes."
        if sentence is not None:
            self.drop()
            self._panel.set_message(sentence)
            return
        sync.flush()
        self._preview.drop()
        self._index, self._prompts = sync.view.index, prompts
        self._pointing.show(prompts)
        question = self._begin(sync, "Outlining …", is_following=False)
        create_worker(
            self._asking.outline,
            self._asked(sync),
            self._index,
            prompts,
            _ignore_errors=True,
            _connect={"returned": partial(self._on_found, question), "errored": partial(self._on_refused, question)},
        )

    def _begin(self, sync: LayerSync, message: str, *, is_following: bool) -> object:
        """Show that something is asked, and return what it is known by."""
        self._question = question = object()
        self._panel.set_working(is_following=is_following)
        self._panel.set_message(f"{message} Escape drops it.")
        self._offer({"Escape": self.drop}, sync)
        return question

    def _on_found(self, question: object, answer: PromptedMask) -> None:
        sync = self._layers.sync
        if question is not self._question or sync is None:
            return
        self._prompts = replace(self._prompts, logits=answer.logits)
        self._show(sync, {self._index: answer.mask})
        sam = name_of(self._asked(sync).sam)
        self._panel.set_message(
            f"Outlined by {sam}. Enter takes it over; a click adds, Shift and a click takes away."
            if answer.mask.any()
            else f"{sam[0].upper()}{sam[1:]} finds nothing there. Draw a box round the structure."
        )

    def _on_followed(self, question: object, masks: dict[int, Mask], worker: Any, found: tuple[int, Mask]) -> None:
        if question is not self._question or self._is_stopped:
            worker.quit()
            return
        masks[found[0]] = found[1]
        self._panel.set_message(f"Following: {len(masks)} slices … Escape drops them.")

    def _on_follow_ended(self, question: object, masks: dict[int, Mask], _result: object = None) -> None:
        sync = self._layers.sync
        if question is not self._question or sync is None:
            return
        self._show(sync, masks)
        first, last = min(masks) + 1, max(masks) + 1
        self._panel.set_message(
            f"Outlined in slices {first} to {last}. Look at them; Enter takes all over."
            if len(masks) > 1
            else "The slices beside look different there. Outline one of them."
        )

    def _on_refused(self, question: object, error: Exception) -> None:
        if question is self._question:
            self.drop()
            self._panel.set_message(str(error))
        if not isinstance(error, KnowSAMError):
            raise error

    def _on_stop_requested(self) -> None:
        self._is_stopped = True

    def _show(self, sync: LayerSync, masks: dict[int, Mask]) -> None:
        document, value = sync.document, sync.selected_value
        blocked = [one for one in document.class_list.values[1:] if self._panel.protects and one != value]
        edit = Edit(value, {i: mask & ~np.isin(document.shown(i), blocked) for i, mask in masks.items()})
        self._preview.show(edit, sync)
        self._question = None
        self._panel.set_outline(is_there=True)
        self._offer({"Enter": self.apply, "Escape": self.drop}, sync)

    def _offer(self, actions: dict[str | int, Callable[[], object]], sync: LayerSync) -> None:
        others = () if self._pointing is None else (self._pointing.layer,)
        self._preview.offer(actions, sync, *others)

    def _on_document_changed(self) -> None:
        self._end_pointing()
        self._asking.forget()
        self._begin_pointing()

    def _begin_pointing(self) -> None:
        sync = self._layers.sync
        if not self._is_active or sync is None or self._pointing is not None:
            return
        self._pointing = PromptLayer(self._viewer, sync, self)
        self._pointing.boxed.connect(self._on_boxed)
        self._pointing.clicked.connect(self._on_clicked)
        self._stays.start()

    def _end_pointing(self) -> None:
        self.drop()
        pointing, self._pointing = self._pointing, None
        if pointing is not None:
            pointing.close()
            pointing.deleteLater()

    def _point_again(self) -> None:
        if self._pointing is not None:
            self._pointing.select()

    def _look_ahead(self) -> None:
        """Let SAM see the slice on the screen, so that it answers at once."""
        sync = self._layers.sync
        if sync is not None and self._pointing is not None and self._question is None:
            create_worker(self._asking.look_at, self._asked(sync), sync.view.index, _ignore_errors=True)
