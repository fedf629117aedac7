"""Signals of what happens to the layers of a viewer."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class LayerSignals(QObject):
    """What people do to the layers of the chosen image, and which image and labels are chosen."""

    images_changed = Signal(object, object)
    """The names of the image layers, and the name of the chosen one or None."""

    labels_changed = Signal(object, object)
    """The names of the labels layers, and the name of the chosen one or None."""

    document_changed = Signal()
    """Another image, other labels or another axis, or an image is gone: read everything anew."""

    slices_annotated = Signal(object)
    """Indices of slices whose annotation a person has changed; never none."""

    classes_changed = Signal(object)
    """All classes; when one goes, this comes before the slices it was painted in."""

    slices_changed = Signal(object)
    """Indices of slices whose state, or what is shown of them, changed."""

    turned = Signal(object)
    """The working axis across the screen, None if the whole volume is rendered: another plane came on the screen."""

    looked_at = Signal(int)
    """Another slice came on the screen."""

    class_selected = Signal(int)
    """A person chose a label value in napari."""

    undo_requested = Signal()
    redo_requested = Signal()
    """A person pressed napari's key for it on one of the layers."""

    history_changed = Signal()
    """The next step to undo or to redo has changed."""

    layer_dropped = Signal()
    """A layer is no longer used, because it does not fit the image any more."""

    corrections_stayed = Signal(object)
    """Names of prediction layers that stay, since they show corrections, though their images were removed: a mapping to
    the documents that hold these."""

    problem = Signal(str)
    """A sentence for the user."""

    outlived = Signal(str)
    """A sentence that need no longer be shown to the user."""
