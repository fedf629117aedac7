from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_knowsam.orientation_letters import OrientationLetters, edge_letters
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from napari.components import ViewerModel


@pytest.fixture
def viewer(viewer: ViewerModel, tiny: Any) -> ViewerModel:
    array, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(array, **kwargs)
    return viewer


@pytest.fixture
def letters(viewer: ViewerModel) -> Iterator[OrientationLetters]:
    made = OrientationLetters(viewer)
    made.set_visible(True)
    yield made
    made.close()


def shown(viewer: ViewerModel) -> dict[str, str]:
    """Return the visible letters by their place on the canvas."""
    overlays = [overlay for name, overlay in viewer.canvas.overlays.items() if name.startswith("knowsam")]
    return {str(overlay.position): overlay.text for overlay in overlays if overlay.visible}


@pytest.mark.parametrize(
    ("axes", "down", "right", "letters"),
    [
        ((1, 2), True, True, "APRL"),
        ((0, 2), True, True, "SIRL"),
        ((0, 1), True, True, "SIAP"),
        ((2, 1), True, True, "RLAP"),
        ((1, 2), False, True, "PARL"),
        ((1, 2), True, False, "APLR"),
    ],
)
def test_letters_name_the_sides_of_a_plane(axes: tuple[int, int], down: bool, right: bool, letters: str) -> None:
    assert edge_letters(*axes, rows_grow_down=down, columns_grow_right=right) == tuple(letters)


def test_an_axial_slice_is_shown_as_a_radiologist_looks_at_it(viewer: ViewerModel, letters: OrientationLetters) -> None:
    assert letters.edges == ("A", "P", "R", "L")
    assert shown(viewer) == {"top_center": "A", "bottom_center": "P", "middle_left": "R", "middle_right": "L"}


@pytest.mark.parametrize(("order", "edges"), [((1, 0, 2), "SIRL"), ((2, 0, 1), "SIAP"), ((0, 2, 1), "RLAP")])
def test_letters_follow_the_plane(
    order: tuple[int, int, int], edges: str, viewer: ViewerModel, letters: OrientationLetters
) -> None:
    viewer.dims.order = order
    assert "".join(shown(viewer).values()) == edges


def test_letters_follow_a_flipped_camera(viewer: ViewerModel, letters: OrientationLetters) -> None:
    viewer.scene.camera.orientation2d = ("up", "left")
    assert "".join(shown(viewer).values()) == "PALR"


def test_there_are_no_letters_in_3d(viewer: ViewerModel, letters: OrientationLetters) -> None:
    viewer.dims.ndisplay = 3
    assert shown(viewer) == {}
    viewer.dims.ndisplay = 2
    assert len(shown(viewer)) == 4


def test_letters_can_be_hidden_and_stay_so_when_the_plane_changes(
    viewer: ViewerModel, letters: OrientationLetters
) -> None:
    letters.set_visible(False)
    viewer.dims.order = (1, 0, 2)
    assert shown(viewer) == {}
    letters.set_visible(True)
    assert "".join(shown(viewer).values()) == "SIRL"


def test_an_axis_in_front_of_the_volume_changes_nothing_until_it_is_shown(
    viewer: ViewerModel, letters: OrientationLetters
) -> None:
    viewer.add_image(np.zeros((3, 6, 8, 10)))
    assert letters.edges == ("A", "P", "R", "L")
    viewer.dims.order = (1, 2, 0, 3)
    assert letters.edges is None


def test_scrolling_leaves_the_letters_alone(viewer: ViewerModel, letters: OrientationLetters) -> None:
    changes: list[Any] = []
    for overlay in viewer.canvas.overlays.values():
        overlay.events.connect(changes.append)
    viewer.dims.current_step = (3, 0, 0)
    assert changes == []


def test_closing_takes_everything_off_the_viewer(viewer: ViewerModel) -> None:
    before = dict(viewer.canvas.overlays.items())
    letters = OrientationLetters(viewer)
    gone = weakref.ref(letters)
    letters.close()
    assert dict(viewer.canvas.overlays.items()) == before
    viewer.dims.order = (1, 0, 2)
    del letters
    assert gone() is None


def test_letters_are_drawn_on_the_canvas(make_napari_viewer: Any, tiny: Any) -> None:
    viewer = make_napari_viewer(show=True)
    array, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(np.zeros_like(array), **kwargs)
    # Small enough to lie between the letters.
    viewer.scene.camera.zoom = 1
    empty = viewer.screenshot(canvas_only=True, flash=False)
    letters = OrientationLetters(viewer)
    letters.set_visible(True)
    lettered = viewer.screenshot(canvas_only=True, flash=False)
    rows, columns = np.nonzero((empty != lettered).any(axis=-1))
    height, width = empty.shape[:2]
    assert rows.min() < 0.1 * height < 0.9 * height < rows.max()
    assert columns.min() < 0.1 * width < 0.9 * width < columns.max()
    letters.close()
    assert np.array_equal(viewer.screenshot(canvas_only=True, flash=False), empty)
