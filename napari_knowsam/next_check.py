"""Leads a person to the slice whose check helps most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.data.slice_number import slice_number
from knowsam.document.next_slice import NextSlice, next_slice

if TYPE_CHECKING:
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.annotate_panel import AnnotatePanel

_NOTHING = (
    "No slice needs a check: nothing is predicted, or every predicted slice is annotated. Two painted slices are "
    "enough for a prediction."
)


class NextCheck(QObject):
    """Brings the slice on the screen, and says in words why this one."""

    def __init__(self, layers: LayerChoice, panel: AnnotatePanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers, self._panel = layers, panel
        panel.marks.next_slice_requested.connect(self.go)

    def go(self) -> None:
        """Go to the slice to check next, by the present prediction."""
        sync = self._layers.sync
        if sync is None:
            return
        sync.flush()
        following = next_slice(sync.document)
        if following is not None:
            sync.view.go_to(following.index)
        self._panel.set_message(_NOTHING if following is None else sentence(following))


def sentence(following: NextSlice) -> str:
    """Return why a slice is worth a check.

    >>> sentence(NextSlice(34, 0.0, 27, 41, unconfirmed=3))
    'Slice 35: SAM outlined it, and nobody has confirmed that. Correct it or accept it (U); there are 2 more.'
    """
    number = slice_number(following.index)
    if following.unconfirmed:
        more = following.unconfirmed - 1
        others = f"; there {'is' if more == 1 else 'are'} {more} more" if more else ""
        return f"Slice {number}: SAM outlined it, and nobody has confirmed that. Correct it or accept it (U){others}."
    before, after = (None if one is None else slice_number(one) for one in (following.before, following.after))
    if before is not None and after is not None:
        place = f"It lies between slices {before} and {after}, which you annotated."
    else:
        place = (
            f"It lies beyond slice {after if before is None else before}, the outermost one you annotated: does it end?"
        )
    how_much = f"about {min(following.wrong_share, 1.0):.0%} of what is shown is probably wrong"
    return f"Slice {number}: {how_much}. {place}"
