"""What the slice on screen counts as, and how to say so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QWidget

from knowsam.data.annotation import SliceState
from knowsam.data.slice_number import slice_number
from napari_knowsam.panels.buttons import button, tightened
from napari_knowsam.panels.column import fill_column
from napari_knowsam.panels.slice_ends import SliceEnds
from napari_knowsam.panels.slice_legend import SliceLegend
from napari_knowsam.panels.slice_strip import SliceStrip
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from knowsam.document.structure_ends import EndsHere

_UNCONFIRMED = "SAM outlined it, and nobody has confirmed that. Correct it, or accept the slice (U)."
_MARKS = (
    (SliceState.COMPLETE, "Complete", "K", "Everything of the classes is painted here; the rest is background."),
    (SliceState.PARTIAL, "Partly painted", "J", "Only some is painted here; unpainted pixels count as unlabelled."),
    (SliceState.BACKGROUND_ONLY, "Background only", "G", "None of the classes is in this slice."),
)


class SliceMarks(QWidget):
    """The slice strip, a sentence on the current slice, and buttons to mark it or to go to another annotated one."""

    slice_requested = Signal(int)
    mark_requested = Signal(object)
    end_requested = Signal(object)
    annotated_slice_requested = Signal(int)
    next_slice_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._states: tuple[SliceState, ...] = ()
        self._unconfirmed: frozenset[int] = frozenset()
        self._marks: dict[int, SliceState] = {}
        self._current = 0
        self._strip = SliceStrip()
        self._strip.slice_requested.connect(self.slice_requested)
        # Long words for a state take two lines; while somebody paints, nothing below is to move.
        self._sentence = WrappedLabel(fewest_lines=2)
        self._previous = button(
            "◀", "Previous annotated slice (Shift+N)", lambda: self.annotated_slice_requested.emit(-1)
        )
        self._next = button("▶", "Next annotated slice (N)", lambda: self.annotated_slice_requested.emit(1))
        self._check = button(
            "Check", "Go to the slice whose check helps most, and say why. (W)", self.next_slice_requested.emit
        )
        self._mark_buttons = {state: self._mark_button(state, *rest) for state, *rest in _MARKS}
        self._ends = SliceEnds()
        self._ends.end_requested.connect(self.end_requested)
        self._arrange()
        self._refresh()

    def set_slices(
        self,
        states: Sequence[SliceState],
        corrected: Collection[int],
        unconfirmed: Collection[int],
        marks: Mapping[int, SliceState],
    ) -> None:
        """Show the state of every slice, see `SliceStrip.set_slices`, and which states are marks a person has set."""
        self._states, self._unconfirmed, self._marks = tuple(states), frozenset(unconfirmed), dict(marks)
        self._strip.set_slices(states, corrected, unconfirmed)
        self._refresh()

    def set_wrong_shares(self, shares: Sequence[float]) -> None:
        """Show of every slice how much is probably wrong, as a share of what is shown there."""
        self._strip.set_wrong_shares(shares)
        self._check.setEnabled(any(shares))

    def set_current_slice(self, index: int) -> None:
        """Show which slice is on screen."""
        self._current = index
        self._strip.set_current_slice(index)
        self._refresh()

    def set_ends(self, name: str, here: EndsHere) -> None:
        """Show where the structure of this name ends, as far as the current slice tells; no name hides it."""
        self._ends.set_ends(name, here)

    def _mark_button(self, state: SliceState, text: str, key: str, help_text: str) -> QPushButton:
        made = button(text, f"{help_text} Click again to take the mark away. ({key})", lambda: self._on_clicked(state))
        made.setCheckable(True)
        return made

    def _arrange(self) -> None:
        walk = QHBoxLayout()
        walk.addWidget(self._sentence, 1)
        walk.addWidget(tightened(self._check))
        for step in (self._previous, self._next):
            step.setFixedWidth(30)
            walk.addWidget(step)
        marks = QGridLayout()
        marks.setSpacing(4)
        for column, mark_button in enumerate(self._mark_buttons.values()):
            marks.addWidget(mark_button, 0, column)
        fill_column(self, self._strip, SliceLegend(), walk, marks, self._ends)

    def _state(self) -> SliceState | None:
        """Return the state of the current slice, None if there is no such slice."""
        return self._states[self._current] if 0 <= self._current < len(self._states) else None

    def _on_clicked(self, state: SliceState) -> None:
        # The click has toggled the button already, but only the annotation document decides what the slice counts as.
        self._refresh()
        self.mark_requested.emit(None if self._marks.get(self._current) is state else state)

    def _refresh(self) -> None:
        state = self._state()
        for own_state, mark_button in self._mark_buttons.items():
            mark_button.setChecked(own_state is state)
        annotated = sum(one is not SliceState.UNLABELLED for one in self._states)
        for step in (self._previous, self._next):
            step.setEnabled(annotated > 0)
        if state is None:
            self._sentence.setText("No slice is shown.")
        else:
            words = self._strip.description(self._current)
            self._sentence.setText(f"Slice {slice_number(self._current)} of {len(self._states)}: {words}")
        self._sentence.setToolTip(_UNCONFIRMED if self._current in self._unconfirmed else "")
