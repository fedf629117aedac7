"""How the state of a slice is said and drawn: word, colour and height, so that it can be read without colours."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtGui import QColor

from knowsam.data.annotation import SliceState


@dataclass(frozen=True)
class SliceLook:
    """The word and the bar of one state.

    Parameters
    ----------
    word : as it stands in a sentence.
    color : (red, green, blue), readable on dark and on light.
    height : of the bar, as a share of the strip.
    """

    word: str
    color: tuple[int, int, int]
    height: float

    def brush(self) -> QColor:
        """Return the colour for painting."""
        return QColor(*self.color)


SLICE_LOOKS = {
    SliceState.UNLABELLED: SliceLook("not painted", (128, 128, 128), 0.08),
    SliceState.BACKGROUND_ONLY: SliceLook("background only", (140, 140, 150), 0.35),
    SliceState.PARTIAL: SliceLook("partly painted", (226, 150, 20), 0.65),
    SliceState.COMPLETE: SliceLook("complete", (64, 140, 240), 1.0),
}
"""From the least to the most that is known of a slice."""


def described(state: SliceState, *, corrected: bool, unconfirmed: bool) -> str:
    """Return the state of a slice in words.

    >>> described(SliceState.COMPLETE, corrected=True, unconfirmed=False)
    'complete (corrected)'
    >>> described(SliceState.COMPLETE, corrected=True, unconfirmed=True)
    'complete (outlined)'
    """
    note = " (outlined)" if unconfirmed else " (corrected)" if corrected else ""
    return SLICE_LOOKS[state].word + note
