"""The tools that edit a structure as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.slice_number import slice_number
from knowsam.editing import intensity, shape
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.document.edit import Structure
    from knowsam.editing.shape import Mask


class Tool(Enum):
    """What can be done to a structure; the values are for people."""

    GROW = "Grow"
    SHRINK = "Shrink"
    SMOOTH = "Smooth"
    FILL_HOLES = "Fill holes"
    KEEP_PIECE = "Keep one piece"
    REMOVE_PIECE = "Remove one piece"
    KEEP_RANGE = "Keep grey range"

    @property
    def action(self) -> str:
        """What is done, as a noun for people: "growing"."""
        return _ACTIONS[self]

    @property
    def takes_mm(self) -> bool:
        """Whether it takes a distance in mm."""
        return self in (Tool.GROW, Tool.SHRINK, Tool.SMOOTH)

    @property
    def takes_point(self) -> bool:
        """Whether it takes a voxel."""
        return self in (Tool.KEEP_PIECE, Tool.REMOVE_PIECE)

    @property
    def takes_range(self) -> bool:
        """Whether it takes a range of grey values."""
        return self is Tool.KEEP_RANGE


_ACTIONS = {
    Tool.GROW: "growing",
    Tool.SHRINK: "shrinking",
    Tool.SMOOTH: "smoothing",
    Tool.FILL_HOLES: "filling of holes",
    Tool.KEEP_PIECE: "keeping one piece",
    Tool.REMOVE_PIECE: "removal of a piece",
    Tool.KEEP_RANGE: "keeping a grey range",
}


@dataclass(frozen=True)
class ToolUse:
    """A tool with its parameters.

    Parameters
    ----------
    mm : to grow or to shrink by, or the standard deviation of the smoothing.
    point : index of the slice, row, column.
    grey_range : the lowest and the highest grey value that stays.
    """

    tool: Tool
    mm: float = 1.0
    point: tuple[int, int, int] | None = None
    grey_range: tuple[float, float] = (-np.inf, np.inf)

    @property
    def reach_mm(self) -> float:
        """How far beyond the structure it can change anything."""
        return {Tool.GROW: self.mm, Tool.SMOOTH: shape.REACH_SIGMAS * self.mm}.get(self.tool, 0.0)

    def __call__(self, structure: Structure) -> Mask:
        """Return the edited mask of a structure.

        Raises
        ------
        InputError
            If a piece is asked for, but the point is not in the structure.
        """
        mask, spacing_mm = structure.mask, structure.spacing_mm
        match self.tool:
            case Tool.GROW:
                return shape.grown(mask, self.mm, spacing_mm)
            case Tool.SHRINK:
                return shape.grown(mask, -self.mm, spacing_mm)
            case Tool.SMOOTH:
                return shape.smoothed(mask, self.mm, spacing_mm)
            case Tool.FILL_HOLES:
                return shape.without_holes(mask)
            case Tool.KEEP_PIECE:
                return self._piece(structure)
            case Tool.REMOVE_PIECE:
                return mask & ~self._piece(structure)
            case Tool.KEEP_RANGE:
                return intensity.within_range(mask, structure.image, *self.grey_range)

    def _piece(self, structure: Structure) -> Mask:
        if self.point is None:
            raise InputError("No piece was chosen. Click the piece in the slice.")
        index, *pixel = self.point
        point = (index - structure.first, *pixel)[-structure.mask.ndim :]
        is_inside = all(0 <= at < size for at, size in zip(point, structure.mask.shape, strict=True))
        piece = shape.piece_at(structure.mask, point) if is_inside else np.zeros_like(structure.mask)
        if not piece.any():
            raise InputError(f"The structure is not at that point of slice {slice_number(index)}. Click a piece of it.")
        return piece
