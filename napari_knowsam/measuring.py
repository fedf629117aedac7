"""The classes of a document, measured in a thread while a person goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from knowsam.data.measurements import Measurement, measured

if TYPE_CHECKING:
    from knowsam.document.annotation_document import AnnotationDocument


class Measuring(QObject):
    """Measures one document at a time.

    Attributes
    ----------
    measured : a document, and the measures of its classes but background.
    """

    measured = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document: AnnotationDocument | None = None

    def measure(self, document: AnnotationDocument) -> None:
        """Measure what is shown of a document, unless one is being measured."""
        if self._document is not None:
            return
        self._document = document
        volume, values = document.volume, document.class_list.values[1:]
        work = partial(measured, document.mask(), volume.affine, values, volume.array)
        create_worker(work, _connect={"returned": self._tell, "finished": self._end})

    def _tell(self, measurements: tuple[Measurement, ...]) -> None:
        self.measured.emit(self._document, measurements)

    def _end(self) -> None:
        self._document = None
