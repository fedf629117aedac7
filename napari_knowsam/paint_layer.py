"""A labels layer that a person paints on and that follows an annotation document."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QObject, QTimer, Signal

from napari_knowsam.class_looks import show_classes
from napari_knowsam.new_layers import outline_px
from napari_knowsam.redraw import Redraw
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY

if TYPE_CHECKING:
    from napari.layers import Labels

    from knowsam.document.annotation_document import AnnotationDocument
    from knowsam.document.slice_annotation import Values
    from napari_knowsam.slice_view import SliceView

DEBOUNCE_MS = 250

UNDO_KEY = KeyMod.CtrlCmd | KeyCode.KeyZ
REDO_KEY = KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ

_TOOLS = ("paint", "erase", "fill", "polygon")


class PaintLayer(QObject):
    """Finds painted slices by comparison, and writes slices without mistaking that for strokes.

    Parameters
    ----------
    expected : returns what the layer must hold of a slice, (H, W).
    """

    due = Signal()
    """Something may have changed a moment ago."""

    pressed = Signal(object)
    """A stroke may begin on this layer; it paints nothing before this signal."""

    undo_requested = Signal()
    redo_requested = Signal()

    class_selected = Signal(int)
    """A label value was chosen on the layer."""

    visibility_changed = Signal()

    def __init__(
        self,
        layer: Labels,
        document: AnnotationDocument,
        view: SliceView,
        expected: Callable[[int], Values],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.layer = layer
        self._document = document
        self._view = view
        self._expected = expected
        self._pending: set[int] = set()
        self._crossed: set[int] = set()
        self._painted_here: set[int] = set()
        self._painted_elsewhere: set[int] = set()
        self._is_outlined = False
        self._is_own = False
        self._is_pressed = False
        self._redraw = Redraw(layer, view, self, self._own_changes)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.due)
        events = layer.events
        self._connections = [
            (events.paint, self._on_paint),
            (events.set_data, self._on_set_data),
            (events.data, self._on_data),
            (events.selected_label, self._on_selected_label),
            (events.mode, self._on_set_data),
            (events.visible, self._on_visible),
        ]
        _make_paintable(layer)
        self.show_classes()
        self._array = layer.data
        for emitter, slot in self._connections:
            emitter.connect(slot)
        # Before the tools of napari, which paint as soon as the mouse is pressed.
        layer.mouse_drag_callbacks.insert(0, self._on_drag)
        # napari's own undo knows one layer only and does not say which slice it changed, perhaps one left long ago.
        self._keys = {UNDO_KEY: self._on_undo_key, REDO_KEY: self._on_redo_key}
        for key, action in self._keys.items():
            layer.bind_key(key, action, overwrite=True)

    @property
    def is_pressed(self) -> bool:
        """Whether a stroke is being painted."""
        return self._is_pressed

    @property
    def is_painted_in_plane(self) -> bool:
        """Whether the selected tool paints in the slice on the screen and in no other."""
        return self.layer.mode in _TOOLS and self.layer.n_edit_dimensions == 2

    @property
    def misfit(self) -> str | None:
        """Why the layer cannot be used any more, in a sentence for the user."""
        found, expected = tuple(self.layer.data.shape), self._document.volume.shape
        if found == expected:
            return None
        return (
            f"The layer {self.layer.name} has got the shape {found}, but the image has {expected}. It is not used any "
            'more. Choose labels that belong to this image, or press "New" to get those painted back.'
        )

    def take(self) -> tuple[set[int], set[int]]:
        """Return the indices of the slices in which a person may have painted since the last time.

        The second ones are those that a stroke across slices, or in another view of the layer, may have reached.
        """
        self._timer.stop()
        taken = self._pending, self._crossed | (self._painted_elsewhere - self._painted_here)
        self._pending, self._crossed = set(), set()
        self._painted_here, self._painted_elsewhere = set(), set()
        return taken

    def differing(self, indices: Iterable[int]) -> dict[int, Values]:
        """Return the slices (H, W) that differ from the document, by index."""
        planes = {index: self._plane(index) for index in sorted(indices)}
        return {index: plane for index, plane in planes.items() if not np.array_equal(plane, self._expected(index))}

    def update(self, indices: Iterable[int]) -> None:
        """Copy slices from the document, and draw those that changed."""
        written = []
        for index in indices:
            plane, expected = self._plane(index), self._expected(index)
            if not np.array_equal(plane, expected):
                plane[...] = expected
                written.append(index)
        self._redraw.slices(written)

    def fill(self, values: Values) -> None:
        """Let the layer hold these values (Z, Y, X)."""
        self.layer.data[...] = values
        self._redraw.now()

    def show_classes(self) -> None:
        """Colour the layer by class, and keep the classes in its metadata."""
        document, layer = self._document, self.layer
        dtype = np.promote_types(layer.data.dtype, document.class_list.dtype)
        with self._own_changes():
            if dtype != layer.data.dtype:
                layer.data = layer.data.astype(dtype)
            show_classes(layer, document.classes, document.brush_value)
        layer.metadata.update({CLASSES_KEY: document.classes, BACKGROUND_BRUSH_KEY: document.brush_value})

    def select_class(self, value: int) -> None:
        """Let the brush paint a class, or known background, if the layer can hold it."""
        limits = np.iinfo(self.layer.dtype)
        if limits.min <= value <= limits.max:
            self.layer.selected_label = value

    def set_outlined(self, is_outlined: bool) -> None:
        """Draw shapes as outlines or filled; a different choice of the user stays until this changes."""
        if is_outlined != self._is_outlined:
            self._is_outlined = is_outlined
            # Rendered in 3D, shapes are filled anyway, and each time napari would warn of it.
            warnings.filterwarnings("ignore", "Contours are not displayed during 3D", UserWarning)
            with self._own_changes():
                self.layer.contour = outline_px(self._document) if is_outlined else 0

    def end_stroke(self) -> None:
        """Note that another slice came on the screen."""
        self._is_pressed = False

    def close(self) -> None:
        """Let go of the layer."""
        self._timer.stop()
        self._redraw.close()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        if self._on_drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_drag)
        for key, action in self._keys.items():
            # Of a layer that two images share, the keys may be those of the other one by now.
            if self.layer.keymap.get(coerce_keybinding(key)) == action:
                self.layer.bind_key(key, None)
        self.deleteLater()

    def _plane(self, index: int) -> Values:
        return self.layer.data[self._document.at(index)]

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        """Ignore the plugin's own changes of the layer."""
        before, self._is_own = self._is_own, True
        try:
            yield
        finally:
            self._is_own = before

    def _on_paint(self, event: Any) -> None:
        painted = set().union(*(self._slices_of(atom) for atom in event.value))
        if self._view.is_across or len(painted) > 1:
            self._crossed |= painted
        else:
            self._painted_here |= painted
        self._note(painted)

    def _on_set_data(self) -> None:
        self._note(set() if self._view.is_across else {self._view.index})

    def _on_data(self) -> None:
        everywhere = set(range(self._document.slice_count))
        # The same array again: somebody painted on it in another view, perhaps across the slices.
        is_same, self._array = self.layer.data is self._array, self.layer.data
        if is_same and not self._is_own:
            self._painted_elsewhere = everywhere
        self._note(everywhere)

    def _on_undo_key(self, _layer: Labels) -> None:
        self.undo_requested.emit()

    def _on_redo_key(self, _layer: Labels) -> None:
        self.redo_requested.emit()

    def _on_selected_label(self) -> None:
        self.class_selected.emit(int(self.layer.selected_label))

    def _on_visible(self) -> None:
        self.visibility_changed.emit()

    def _note(self, indices: set[int]) -> None:
        if self._is_own or not indices:
            return
        self._pending |= indices
        # Never put off: a layer that is refreshed all the time would never be looked at.
        if not self._timer.isActive():
            self._timer.start(DEBOUNCE_MS)

    def _slices_of(self, atom: Any) -> set[int]:
        """Return where one piece of a stroke lies; napari 0.9 keeps a box of it, or like earlier ones its points."""
        where = (atom.slice_key if hasattr(atom, "slice_key") else atom[0])[self._document.axis]
        if isinstance(where, slice):
            return set(range(where.start, where.stop))
        return set(np.unique(where).tolist())

    def _on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        self.pressed.emit(self)
        self._is_pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_pressed = False
        # napari may end the stroke only after this; the layer may have been let go during it.
        if self._connections:
            self._timer.start(0)


def _make_paintable(labels: Labels) -> None:
    """Replace an array that cannot be painted on, because it is read-only or not in memory, by a copy."""
    if not isinstance(labels.data, np.ndarray) or not labels.data.flags.writeable:
        labels.data = np.array(labels.data)
