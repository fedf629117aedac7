"""Editing of a structure as a whole: a preview of the tool of the Edit panel, which is applied or dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit, Structure, other_structures, read_structure, structure_in_slice
from knowsam.errors import InputError
from napari_knowsam.edit_preview import EditPreview

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from knowsam.document.edit import MakeStructure, StructureReading
    from knowsam.document.edit_tools import ToolUse
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.layer_sync import LayerSync
    from napari_knowsam.panels.edit_panel import EditPanel

_RANGE_SIGMAS = 2.5
_CLICK_PX = 3.0
_RENEWAL_MS = 500
"""Predictions arrive many a second."""

_READING_S = 0.008
"""How long the window may stand still while the structure is read: no frame is lost."""

Point = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class _Run:
    """A structure that is being read and edited; `before` is the one of a preview that may still be valid."""

    reading: StructureReading
    use: ToolUse
    before: Structure | None


class StructureEdit(QObject):
    """Previews the effect of a tool on the structure, and applies or drops it.

    All slices of a large volume are read a few at a time, and tools work in a thread, since both take up to seconds.
    The result for a preview that was dropped meanwhile is ignored. A stroke, another class or another image makes the
    preview invalid and drops it; a new prediction renews it.
    """

    def __init__(self, viewer: Viewer, layers: LayerChoice, panel: EditPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._layers, self._panel = viewer, layers, panel
        self._is_active = False
        self._action = ""
        self._preview = EditPreview(viewer)
        self._use: ToolUse | None = None
        self._edited: Structure | None = None
        self._running: _Run | None = None
        self._reading = QTimer(self)
        self._reading.setInterval(0)
        self._reading.timeout.connect(self._read_on)
        self._renewal = QTimer(self)
        self._renewal.setSingleShot(True)
        self._renewal.setInterval(_RENEWAL_MS)
        self._renewal.timeout.connect(self._renew)
        panel.preview_requested.connect(self.preview)
        panel.apply_requested.connect(self.apply)
        panel.drop_requested.connect(self.drop)
        panel.tool_chosen.connect(self._on_tool_chosen)
        signals = layers.signals
        signals.document_changed.connect(self._on_document_changed)
        signals.slices_changed.connect(self._on_slices_changed)
        for signal in (signals.slices_annotated, signals.classes_changed, signals.class_selected):
            signal.connect(self.drop)
        viewer.mouse_drag_callbacks.append(self._on_drag)

    def set_active(self, is_active: bool) -> None:
        """Begin or end editing; meanwhile a click in the image may choose a piece."""
        self._is_active = is_active
        self.drop()
        if is_active:
            self._on_tool_chosen()

    def preview(self, point: Point | None = None) -> None:
        """Preview the effect of the tool.

        Parameters
        ----------
        point : working voxel that was clicked, for tools that need one.
        """
        self._clear()
        sync = self._layers.sync
        if sync is None:
            self._panel.set_message("There is no image. Open one first.")
            return
        sync.flush()
        self._use = use = self._panel.tool_use(None if point is None else _slice_first(point, sync.document.axis))
        self._begin(sync, use, sync.view.index, None)
        if self._running is not None:
            self._action = f"{use.tool.action} of “{sync.document.class_list.name_of(sync.selected_value)}” in"
            self._panel.set_message("Working … Escape stops it.")
            self._panel.set_can_drop()
            self._preview.offer({"Escape": self.drop}, sync)

    def apply(self) -> None:
        """Apply the preview to the document."""
        edit, sync = self._preview.edit, self._layers.sync
        self.drop()
        if edit is not None and sync is not None:
            sync.change(AnnotationDocument.edit, edit, self._action)

    def drop(self, *_: object) -> None:
        """Drop the preview."""
        self._clear()
        self._preview.drop()

    def close(self) -> None:
        """Let go of the viewer."""
        self.drop()
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)

    def _clear(self) -> None:
        """Forget the preview; its layer stays for the next one, since napari takes a third of a second to remove it."""
        self._reading.stop()
        self._running = self._edited = None
        self._preview.clear()
        self._panel.set_preview(is_there=False)
        self._panel.set_message("")

    def _begin(self, sync: LayerSync, use: ToolUse, index: int, before: Structure | None) -> None:
        """Read the structure, in the slice or in all of them, and let the tool work on it."""
        try:
            self._running = _Run(self._structure_reading(sync, use, index), use, before)
        except InputError as error:
            self._refuse(error)
        else:
            self._reading.start()

    def _read_on(self) -> None:
        """Read a few slices more."""
        run, until = self._running, monotonic() + _READING_S
        if run is None:
            return
        try:
            for make in run.reading:
                if make is not None:
                    self._reading.stop()
                    slots = {"returned": partial(self._on_found, run), "errored": partial(self._on_refused, run)}
                    create_worker(_edited, make, run.use, run.before, _ignore_errors=True, _connect=slots)
                    return
                if monotonic() >= until:
                    return
        except InputError as error:
            self._refuse(error)

    def _refuse(self, error: InputError) -> None:
        self.drop()
        self._panel.set_message(str(error))

    def _on_slices_changed(self, _indices: Collection[int]) -> None:
        # Any slice may be a part of the structure by now.
        is_read = self._preview.edit is not None or self._running is not None
        if is_read and not self._renewal.isActive():
            self._renewal.start()

    def _renew(self) -> None:
        """Preview the tool again; the old preview stays in sight until the new one is there."""
        if self._running is not None:
            # Broken off, it would never come to its end where predictions arrive all the time.
            self._renewal.start()
            return
        sync, use, before = self._layers.sync, self._use, self._edited
        if self._preview.edit is not None and sync is not None and use is not None and before is not None:
            self._begin(sync, use, before.first, before)

    def _structure_reading(self, sync: LayerSync, use: ToolUse, index: int) -> StructureReading:
        document, value = sync.document, sync.selected_value
        others = other_structures(document, value, "edit")
        protected = others if self._panel.protects else ()
        if self._panel.is_whole_volume:
            return read_structure(document, value, use.reach_mm, protected)
        structure = structure_in_slice(document, value, index, protected)
        return iter([lambda: structure])

    def _on_refused(self, run: _Run, error: Exception) -> None:
        if self._running is run:
            self.drop()
            self._panel.set_message(str(error))
        if not isinstance(error, InputError):
            raise error

    def _on_found(self, run: _Run, found: tuple[Structure, Edit | None]) -> None:
        if self._running is not run:
            return
        self._running = None
        self._edited, edit = found
        if edit is None:
            return
        sync = self._layers.sync
        if sync is None or not edit.masks:
            self.drop()
            self._panel.set_message("That would change nothing.")
            return
        self._preview.show(edit, sync)
        self._preview.offer({"Enter": self.apply, "Escape": self.drop}, sync)
        self._panel.set_preview(is_there=True)
        self._panel.set_message(_change_sentence(sync.document, edit))

    def _on_tool_chosen(self) -> None:
        self._clear()
        sync, tool = self._layers.sync, self._panel.tool
        if sync is None:
            return
        if tool.takes_point:
            # The brush would paint where the piece is clicked.
            for layer in sync.layers.to_paint_on:
                layer.layer.mode = "pan_zoom"
        if tool.takes_range:
            self._propose_range(sync)

    def _propose_range(self, sync: LayerSync) -> None:
        document, index = sync.document, sync.view.index
        grey = document.volume.array[document.at(index)][document.shown(index) == sync.selected_value]
        if grey.size and sync.selected_value != BACKGROUND_CLASS.value:
            half = _RANGE_SIGMAS * float(grey.std())
            self._panel.set_grey_range(float(grey.mean()) - half, float(grey.mean()) + half)

    def _on_document_changed(self) -> None:
        self.drop()
        document = self._layers.document
        if document is not None:
            self._panel.set_pixel_mm(min(document.spacing_mm[1:]))

    def _on_drag(self, _viewer: Viewer, event: Any) -> Iterator[None]:
        """Take a click as the choice of a piece; who drags moves the image."""
        sync = self._layers.sync
        if not self._is_active or not self._panel.tool.takes_point or sync is None or event.button != 1:
            return
        pressed = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos) - pressed).max() <= _CLICK_PX:
            image = sync.layers.image
            voxel = np.round(image.world_to_data(event.position[-image.ndim :]))[-3:].astype(int)
            self.preview((int(voxel[0]), int(voxel[1]), int(voxel[2])))


def _edited(make: MakeStructure, use: ToolUse, before: Structure | None) -> tuple[Structure, Edit | None]:
    """Return a structure and its edit by a tool; None if that is the same as for the one before."""
    structure = make()
    is_known = before is not None and structure.is_same_as(before)
    return structure, None if is_known else structure.edited(use)


def _slice_first(voxel: Point, axis: int) -> Point:
    row, column = (at for other, at in enumerate(voxel) if other != axis)
    return voxel[axis], row, column


def _change_sentence(document: AnnotationDocument, edit: Edit) -> str:
    pixels = sum(
        int(np.count_nonzero(mask)) - int(np.count_nonzero(document.shown(index) == edit.value))
        for index, mask in edit.masks.items()
    )
    slices = "1 slice" if len(edit.masks) == 1 else f"{len(edit.masks)} slices"
    return f"{slices} would change, {pixels * document.volume.voxel_volume_ml:+.2f} ml. Enter applies, Escape drops it."
