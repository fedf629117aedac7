"""The letters R, L, A, P, S and I at the edges of the canvas: the sides of the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.components.overlays import TextOverlay

from knowsam.data.orientation import WORKING_AXES

if TYPE_CHECKING:
    import napari

_OPPOSITE = {"I": "S", "S": "I", "P": "A", "A": "P", "L": "R", "R": "L"}

_POSITIONS = ("top_center", "bottom_center", "middle_left", "middle_right")

Edges = tuple[str, str, str, str]
"""The letters at the top, bottom, left and right edge."""


def edge_letters(row_axis: int, column_axis: int, *, rows_grow_down: bool, columns_grow_right: bool) -> Edges:
    """Return the letters of the plane in which two working axes are shown.

    >>> edge_letters(1, 2, rows_grow_down=True, columns_grow_right=True)  # axial, as a radiologist looks at it
    ('A', 'P', 'R', 'L')
    """
    bottom, right = WORKING_AXES[row_axis], WORKING_AXES[column_axis]
    if not rows_grow_down:
        bottom = _OPPOSITE[bottom]
    if not columns_grow_right:
        right = _OPPOSITE[right]
    return _OPPOSITE[bottom], bottom, _OPPOSITE[right], right


class OrientationLetters:
    """Keeps the letters of a viewer true to the plane it shows; in 3D there are none.

    They stand on dark boxes, so that they can be read on any image, and change only with the plane. They are hidden
    until they are asked for, since their first drawing takes a while.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._wanted = False
        self._overlays = {
            f"knowsam_{position}": TextOverlay(
                position=position, color="white", font_size=14, box=True, box_color=(0.0, 0.0, 0.0, 0.6)
            )
            for position in _POSITIONS
        }
        for name, overlay in self._overlays.items():
            viewer.canvas.overlays[name] = overlay
        dims, camera = viewer.dims.events, viewer.scene.camera.events
        self._events = (dims.order, dims.ndisplay, dims.ndim, camera.orientation)
        for event in self._events:
            event.connect(self._on_plane_changed)
        self._on_plane_changed()

    def set_visible(self, visible: bool) -> None:
        """Show the letters, or hide them for an image whose orientation nobody knows."""
        self._wanted = visible
        self._on_plane_changed()

    @property
    def edges(self) -> Edges | None:
        """The letters now shown, None if there are none."""
        shown = self._shown_axes()
        if not self._wanted or shown is None:
            return None
        vertical, horizontal = self._viewer.scene.camera.orientation2d
        return edge_letters(*shown, rows_grow_down=vertical == "down", columns_grow_right=horizontal == "right")

    def close(self) -> None:
        """Take the letters off the viewer and let go of it."""
        for event in self._events:
            event.disconnect(self._on_plane_changed)
        for name in self._overlays:
            self._viewer.canvas.overlays.pop(name, None)

    def _on_plane_changed(self) -> None:
        edges = self.edges
        for overlay, letter in zip(self._overlays.values(), edges or ("",) * 4, strict=True):
            overlay.text = letter
            overlay.visible = edges is not None

    def _shown_axes(self) -> tuple[int, int] | None:
        """Return the working axes that grow down and across, None in 3D or where another axis is shown."""
        dims = self._viewer.dims
        # napari aligns layers at their last axes.
        axes = [axis - dims.ndim + len(WORKING_AXES) for axis in dims.displayed]
        if dims.ndim < len(WORKING_AXES) or len(axes) != 2 or min(axes) < 0:
            return None
        return axes[0], axes[1]
