"""The dock widget: panels in a column, bars that stay in sight below them, and a presenter behind them."""

from __future__ import annotations

import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget, QFrame, QLabel, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from knowsam.training.events import Stage
from napari_knowsam._commands import open_dicom, open_image
from napari_knowsam.closing_guard import ClosingGuard
from napari_knowsam.panels.annotate_panel import AnnotatePanel
from napari_knowsam.panels.case_bar import CaseBar
from napari_knowsam.panels.edit_panel import EditPanel
from napari_knowsam.panels.prompt_panel import PromptPanel
from napari_knowsam.panels.result_panel import ResultPanel
from napari_knowsam.panels.section import Section
from napari_knowsam.panels.train_panel import TrainPanel
from napari_knowsam.presenter import Presenter
from napari_knowsam.prompt_outline import PromptOutline
from napari_knowsam.structure_edit import StructureEdit
from napari_knowsam.torch_loading import load_torch

if TYPE_CHECKING:
    from napari.viewer import Viewer

_MINIMUM_WIDTH_PX = 350
_FIRST_PAINT_MS = 300
_LOOKING_MS = 500
_LAID_OUT_MS = 50
_LAYING_OUT_MS = 1000

_widgets: WeakSet[KnowSAMWidget] = WeakSet()
"""All widgets: two of them for one viewer would fight over its layers."""


class KnowSAMWidget(QWidget):
    """Paint, train, look, correct, export: the whole plugin for one viewer.

    A second one for the same viewer only says that there is one already.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.setMinimumWidth(_MINIMUM_WIDTH_PX)
        self.presenter: Presenter | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        # napari hands out a proxy that makes new objects of the layers at each access, so that none is itself again.
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        if any(other.works_for(self._viewer) for other in _widgets):
            column.addWidget(_sentence("KnowSAM is open in this viewer already. Close this panel and use the other."))
            return
        _widgets.add(self)
        self.annotate, self.train, self.result = AnnotatePanel(), TrainPanel(), ResultPanel()
        self._settings = Section("Training settings", self.train, expanded=True)
        annotate = Section("Annotate", self.annotate, expanded=True)
        self.prompts, self.edit = PromptPanel(), EditPanel()
        self._tools = QTabWidget()
        self._tools.addTab(self.prompts, "Outline")
        self._tools.addTab(self.edit, "Edit")
        self._tool_section = Section("Outline and edit", self._tools)
        # It is brought into view once it is laid out, which it is not while it still unfolds.
        self._tool_section.setDuration(0)
        result = Section("Result", self.result, expanded=True)
        self._panels = _scrolled(annotate, self._tool_section, self._settings, result)
        self.cases = CaseBar()
        column.addWidget(self.cases)
        column.addWidget(self._panels, 1)
        column.addWidget(_pinned(self.train.bar, self.result.bar))
        presenter = self.presenter = Presenter(self._viewer, self.annotate, self.train, self.result, self.cases)
        presenter.controller.stage_changed.connect(self._on_stage_changed)
        self._structure_edit = StructureEdit(self._viewer, presenter.layers, self.edit, self)
        self._outline = PromptOutline(self._viewer, presenter.layers, self.prompts, self._chosen_sam, self)
        self._tool_section.toggled.connect(self._on_tool_chosen)
        self._coming: QWidget | None = None
        self._laying_out = QTimer(self)
        self._laying_out.setSingleShot(True)
        self._laying_out.setInterval(_LAYING_OUT_MS)
        self._panels.verticalScrollBar().rangeChanged.connect(self._on_range_changed)
        self._tools.currentChanged.connect(self._on_tool_chosen)
        presenter.models.opened.connect(self._on_model_opened)
        self._guard = ClosingGuard(presenter.others.background, presenter.models)
        self.annotate.image_file_requested.connect(partial(open_image, self._viewer))
        self.annotate.dicom_requested.connect(partial(open_dicom, self._viewer))
        # Not a method of this widget, which is no more when it is called.
        self.destroyed.connect(lambda: presenter.end())
        QApplication.instance().aboutToQuit.connect(presenter.close)
        presenter.start()
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_FIRST_PAINT_MS)
        self._settled.timeout.connect(self._on_settled)
        self._settled.start()
        # A thread must not emit a signal of an object that Qt may delete meanwhile.
        self._devices: SimpleQueue[tuple[str, ...]] = SimpleQueue()
        self._looking = QTimer(self)
        self._looking.setInterval(_LOOKING_MS)
        self._looking.timeout.connect(self._on_looked)

    def close_presenter(self) -> None:
        """End the training and let go of the viewer."""
        if self.presenter is not None:
            # Where the window is gone already, Qt has deleted what this would let go of.
            if not self.presenter.is_closed:
                self._structure_edit.close()
                self._outline.close()
            self._guard.release()
            self.presenter.close()
            self.presenter = None

    def works_for(self, viewer: Viewer) -> bool:
        """Tell whether this is the widget at work in a viewer."""
        return self.presenter is not None and not self.presenter.is_closed and self._viewer is viewer

    def _chosen_sam(self) -> tuple[str, str]:
        """Return the teacher and the device that are chosen for training."""
        return self.train.teacher(), self.train.device()

    def _on_stage_changed(self, stage: Stage | None) -> None:
        """Fold the settings away when training begins, so that the rest fits on a small screen."""
        if stage is Stage.PREPARING:
            self._settings.collapse(animate=False)

    def _on_tool_chosen(self) -> None:
        """Activate the tools in sight, and no others; bring them into view, below the classes on a small screen."""
        shown = self._tools.currentWidget() if self._tool_section.isExpanded() else None
        self._outline.set_active(shown is self.prompts)
        self._structure_edit.set_active(shown is self.edit)
        if shown is not None:
            self._bring_into_view(self._tools)

    def _on_model_opened(self) -> None:
        """Bring the card of the model and its buttons into view once there is room."""
        self._settings.expand(animate=False)
        self._bring_into_view(self.train.model_box)

    def _bring_into_view(self, widget: QWidget) -> None:
        """Scroll to a part of the panels, and again whenever they are laid out anew within a second."""
        self._coming = widget
        self._laying_out.start()
        QTimer.singleShot(_LAID_OUT_MS, self._show_coming)

    def _on_range_changed(self) -> None:
        if self._laying_out.isActive():
            # The contents of the panels are laid out after the scroll bar beside them.
            QTimer.singleShot(0, self._show_coming)

    def _show_coming(self) -> None:
        if self._coming is not None:
            self._panels.ensureWidgetVisible(self._coming)

    def _on_settled(self) -> None:
        """Do the work that would have delayed the first paint."""
        if self.presenter is not None:
            self.setMinimumWidth(max(_MINIMUM_WIDTH_PX, _width_with_bar(self._panels)))
            self.presenter.show_letters()
            dock = self.parent()
            if isinstance(dock, QDockWidget):
                self._guard.watch(dock)
            load = threading.Thread(
                target=lambda devices: devices.put(load_torch()),
                args=(self._devices,),
                name="KnowSAM loading",
                daemon=True,
            )
            load.start()
            self._looking.start()

    def _on_looked(self) -> None:
        """Offer the devices as soon as they are known."""
        if not self._devices.empty():
            self._looking.stop()
            self.train.set_devices(self._devices.get())

    def sizeHint(self) -> QSize:
        """Leave the image as much room as there is."""
        return QSize(self.minimumWidth(), super().sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Notice that napari has taken the widget out of its dock, which is all it does when the dock is closed."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_presenter()
        return bool(super().event(event))


def _scrolled(*sections: Section) -> QScrollArea:
    inside = QWidget()
    column = QVBoxLayout(inside)
    column.setContentsMargins(2, 0, 2, 0)
    column.setSpacing(0)
    for section in sections:
        column.addWidget(section)
    column.addStretch(1)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inside)
    return area


def _width_with_bar(area: QScrollArea) -> int:
    """Return how wide an area must be for what is in it and the bar that scrolls it, which Qt lets cover the rest."""
    return int(area.widget().minimumSizeHint().width() + area.verticalScrollBar().sizeHint().width())


def _pinned(*bars: QWidget) -> QWidget:
    """Return the bars that stay in sight below the panels."""
    below = QWidget()
    column = QVBoxLayout(below)
    column.setContentsMargins(6, 4, 6, 4)
    column.setSpacing(4)
    for bar in bars:
        column.addWidget(bar)
    return below


def _sentence(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
