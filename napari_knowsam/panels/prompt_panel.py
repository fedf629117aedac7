"""Point at a structure and let SAM outline it; take the outline, drop it, or follow it to other slices."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.wrapped_label import WrappedLabel

_HELP = (
    "Drag a box round the structure, or click into it. Further clicks correct the outline: a click adds, Shift and a "
    "click takes away. Select another layer to move the image or to paint."
)


class PromptPanel(QWidget):
    """What can be done with an outline; its setters never emit signals."""

    apply_requested = Signal()
    drop_requested = Signal()
    follow_requested = Signal()
    stop_requested = Signal()
    protection_toggled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._protect = QCheckBox("Keep other classes")
        self._protect.setToolTip("The structure does not grow into other classes.")
        self._protect.setChecked(True)
        self._protect.toggled.connect(lambda _: self.protection_toggled.emit())
        self._apply = button("Apply", "Take the outline over. (Enter)", self.apply_requested.emit, primary=True)
        self._drop = button("Drop", "Forget box, clicks and outline. (Escape)", self.drop_requested.emit)
        self._follow = button(
            "Follow",
            "Outline the structure in the slices beside, as long as it stays much the same.",
            self.follow_requested.emit,
        )
        self._stop = button("Stop", "Follow no further, and keep what is outlined.", self.stop_requested.emit)
        self._message = WrappedLabel()
        self._arrange()
        self.set_outline(is_there=False)
        self.set_message("")

    @property
    def protects(self) -> bool:
        """Whether other classes keep their pixels."""
        return self._protect.isChecked()

    def set_outline(self, *, is_there: bool) -> None:
        """Show whether there is an outline to be taken, dropped or followed."""
        self._apply.setEnabled(is_there)
        self._drop.setEnabled(is_there)
        self._follow.setEnabled(is_there)
        self._follow.show()
        self._stop.hide()

    def set_working(self, *, is_following: bool) -> None:
        """Show that an outline is being made, which can be dropped; one that is followed can be stopped."""
        self._apply.setEnabled(False)
        self._drop.setEnabled(True)
        self._follow.setEnabled(False)
        self._follow.setVisible(not is_following)
        self._stop.setVisible(is_following)

    def set_message(self, text: str) -> None:
        """Show a sentence; an empty one brings back how to point."""
        self._message.setText(text or _HELP)

    def _arrange(self) -> None:
        buttons = QHBoxLayout()
        for widget in (self._apply, self._drop, self._follow, self._stop):
            buttons.addWidget(widget, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 4)
        column.setSpacing(4)
        column.addWidget(self._protect)
        column.addLayout(buttons)
        column.addWidget(self._message)
