"""The ends of the structure that is painted, between the slice on screen and the Annotate panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.structure_ends import EndsHere, ends_here

if TYPE_CHECKING:
    from knowsam.data.ends import Side
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.annotate_panel import AnnotatePanel


class EndMarks(QObject):
    """Shows whether the structure ends at the slice on screen, and marks it there."""

    def __init__(self, layers: LayerChoice, panel: AnnotatePanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers, self._panel = layers, panel
        signals = layers.signals
        for signal in (signals.document_changed, signals.history_changed, signals.classes_changed):
            signal.connect(self._show)
        for signal in (signals.looked_at, signals.class_selected):
            signal.connect(self._show)
        panel.marks.end_requested.connect(self.toggle)

    def toggle(self, side: Side) -> None:
        """Mark that the structure ends at the slice on screen, or remove the mark."""
        sync = self._layers.sync
        if sync is not None:
            sync.change(AnnotationDocument.toggle_end, sync.view.index, sync.selected_value, side)
            self._show()

    def _show(self, *_: object) -> None:
        sync = self._layers.sync
        value = None if sync is None else sync.selected_value
        names = {} if sync is None else {one.value: one.name for one in sync.document.classes[1:]}
        if sync is None or value not in names:
            self._panel.marks.set_ends("", EndsHere())
        else:
            self._panel.marks.set_ends(names[value], ends_here(sync.document, sync.view.index, value))
