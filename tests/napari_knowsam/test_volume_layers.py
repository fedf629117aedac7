from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from nibabel.affines import apply_affine, from_matvec
from scipy.spatial.transform import Rotation

from knowsam.data.volume import Grid, Volume, grid_difference
from knowsam.errors import InputError
from napari_knowsam.volume_layers import (
    empty_labels_layer_data,
    grid_of,
    has_known_orientation,
    image_layer_data,
    labels_layer_data,
    layer_kwargs,
    require_layers_match,
    screen_grid,
    volume_of,
)

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass

COUNTING = np.arange(120, dtype=np.float32).reshape(4, 5, 6)


def image_layer(volume: Volume, **changes: Any) -> Image:
    array, kwargs, _ = image_layer_data(volume)
    return Image(array, **kwargs | changes)


def labels_layer(volume: Volume, **changes: Any) -> Labels:
    array, kwargs, _ = empty_labels_layer_data(volume)
    return Labels(array, **kwargs | changes)


def oblique(volume: Volume) -> Volume:
    rotation = Rotation.from_euler("xyz", [10, -5, 8], degrees=True).as_matrix()
    return Volume(volume.array, Grid(volume.grid.shape, from_matvec(rotation) @ volume.grid.affine), volume.name)


def test_a_layer_has_the_spacing_and_the_place_of_the_first_voxel_in_mm(tiny: Volume) -> None:
    layer = image_layer(tiny)
    assert layer.scale.tolist() == [4.0, 2.0, 1.5]
    # The first voxel is the most superior, anterior and right one: (6.5, 19, 50) in RAS+ mm.
    assert layer.translate.tolist() == [-50.0, -19.0, -6.5]
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.name == "tiny"
    assert np.array_equal(layer.affine.affine_matrix, np.eye(4))


@pytest.mark.parametrize("spacing_mm", [4.4, 2.90577, 6.872, 0.00834])
@pytest.mark.parametrize("first_mm", [298.326, 132.893, -217.907])
def test_the_slider_reaches_every_slice(spacing_mm: float, first_mm: float) -> None:
    affine = from_matvec(np.diag([-1.0, -1.0, -spacing_mm]), (0, 0, first_mm))
    viewer = ViewerModel()
    data, kwargs, _ = image_layer_data(Volume(np.zeros((24, 3, 3), np.uint8), Grid((3, 3, 24), affine)))
    viewer.add_image(data, **kwargs)
    assert viewer.dims.nsteps == (24, 3, 3)


def test_positions_on_the_screen_are_ras_positions_negated_and_reversed(tiny: Volume) -> None:
    layer = image_layer(tiny)
    for index in ((0, 0, 0), (5, 7, 9), (2, 3, 4)):
        expected = -apply_affine(tiny.affine, index)[::-1]
        assert layer.data_to_world(index) == pytest.approx(expected)


def test_a_part_of_an_oblique_volume_lies_on_the_whole_of_it(tiny: Volume) -> None:
    whole = oblique(tiny)
    # The file grows to the right, anterior and superior: its first voxels are the last ones of the array.
    part_affine = whole.grid.affine @ from_matvec(np.eye(3), [3, 2, 1])
    part = Volume(whole.array[2:5, 1:6, 3:7], Grid((4, 5, 3), part_affine), "part")
    assert image_layer(part).data_to_world((0, 0, 0)) == pytest.approx(image_layer(whole).data_to_world((2, 1, 3)))


def test_an_image_layer_shares_the_array_of_its_volume_and_leads_back_to_it(tiny: Volume) -> None:
    layer = image_layer(tiny)
    assert np.shares_memory(layer.data, tiny.array)
    assert volume_of(layer) is tiny
    assert has_known_orientation(layer)


def test_an_image_is_shown_in_the_range_that_its_file_asks_for(tiny: Volume) -> None:
    assert image_layer(replace(tiny, display_range=(10.0, 35.0))).contrast_limits == [10, 35]


def test_padding_is_left_out_of_the_range_in_which_an_image_is_shown(tiny: Volume) -> None:
    assert image_layer(replace(tiny, padding=(0.0, 49.0))).contrast_limits[0] >= 50


def test_labels_are_a_copy_to_paint_on_and_carry_their_classes(tiny: Volume) -> None:
    volume = Volume(np.where(tiny.array < 100, np.uint8(2), np.uint8(0)), tiny.grid, "mask")
    array, kwargs, kind = labels_layer_data(volume)
    array[0, 0, 0] = 7
    assert kind == "labels"
    assert volume.array[0, 0, 0] == 2
    assert [label_class.value for label_class in kwargs["metadata"]["knowsam_classes"]] == [0, 2]


def test_given_classes_travel_with_the_labels(tiny: Volume, classes: tuple[LabelClass, ...]) -> None:
    volume = Volume(np.zeros(tiny.shape, dtype=np.uint8), tiny.grid)
    assert labels_layer_data(volume, classes)[1]["metadata"]["knowsam_classes"] == classes


def test_new_labels_are_empty_and_lie_on_the_image(tiny: Volume) -> None:
    labels = labels_layer(tiny)
    assert labels.name == "tiny labels"
    assert labels.data.dtype == np.uint8
    assert not labels.data.any()
    require_layers_match(image_layer(tiny), labels)


def test_kwargs_of_two_layers_share_no_metadata(tiny: Volume) -> None:
    assert layer_kwargs(tiny)["metadata"] is not layer_kwargs(tiny)["metadata"]


def test_the_array_of_another_reader_is_taken_as_it_stands() -> None:
    layer = Image(COUNTING, scale=(3, 2, 1), translate=(-10, 20, 30), name="foreign")
    volume = volume_of(layer)
    assert not has_known_orientation(layer)
    assert np.array_equal(volume.array, COUNTING)
    assert volume.spacing_mm == (3, 2, 1)
    assert layer_kwargs(volume)["translate"] == pytest.approx((-10, 20, 30))
    assert volume.name == "foreign"


def test_units_of_another_reader_become_mm() -> None:
    layer = Image(COUNTING, scale=(3000, 2000, 1000), translate=(0, 500, 0), units="um")
    assert volume_of(layer).spacing_mm == pytest.approx((3, 2, 1))
    assert layer_kwargs(volume_of(layer))["translate"] == pytest.approx((0, 0.5, 0))


def test_single_frames_in_front_of_a_volume_are_dropped() -> None:
    volume = volume_of(Image(COUNTING[None], scale=(1, 3, 2, 1)))
    assert np.array_equal(volume.array, COUNTING)
    assert volume.spacing_mm == (3, 2, 1)


def test_arrays_that_are_computed_later_are_computed() -> None:
    dask = pytest.importorskip("dask.array")
    assert np.array_equal(volume_of(Image(dask.from_array(COUNTING), contrast_limits=(0, 119))).array, COUNTING)


def test_yes_and_no_become_numbers() -> None:
    assert volume_of(Image(COUNTING > 50)).array.dtype == np.uint8


def test_a_filtered_image_of_the_same_shape_keeps_the_grid_of_its_file(tiny: Volume) -> None:
    layer = image_layer(tiny)
    layer.data = tiny.array + 1
    volume = volume_of(layer)
    assert volume.grid is tiny.grid
    assert volume.array[0, 0, 0] == 1


def test_an_array_of_another_shape_leaves_the_file_behind(tiny: Volume) -> None:
    layer = image_layer(tiny)
    layer.data = COUNTING
    assert not has_known_orientation(layer)
    assert volume_of(layer).shape == COUNTING.shape
    assert volume_of(layer).spacing_mm == tiny.spacing_mm


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: Image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True), "colour"),
        (lambda: Image(np.arange(30).reshape(5, 6)), r"\(5, 6\).*single 3D"),
        (lambda: Image(np.stack([COUNTING, COUNTING])), r"\(2, 4, 5, 6\).*time point"),
        (lambda: Image([COUNTING, COUNTING[::2, ::2, ::2]], multiscale=True), "several resolutions"),
        (lambda: Image(np.ones((4, 5, 6))), "All voxels .* 1.0"),
        (lambda: Image(COUNTING[:1]), r"\(1, 5, 6\).*two slices"),
        (lambda: Image(np.where(COUNTING < 3, np.nan, COUNTING), contrast_limits=(0, 1)), "NaN or infinite"),
        (lambda: Image(COUNTING, rotate=(0, 0, 20)), "rotated"),
        (lambda: Image(COUNTING, shear=(0.1, 0, 0)), "sheared"),
        (lambda: Image(COUNTING, scale=(1, 1, -1)), "mirrored"),
        (lambda: Image(COUNTING, affine=np.diag([2.0, 1, 1, 1])), "matrix"),
    ],
)
def test_what_is_no_upright_grey_volume_is_refused_with_a_remedy(layer: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        volume_of(layer())


def test_complex_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without this, napari 0.9 itself fails on them.
    monkeypatch.setattr(Image, "_update_thumbnail", lambda self: None)
    with pytest.raises(InputError, match=r"complex64.*real numbers"):
        volume_of(Image(COUNTING.astype(np.complex64), contrast_limits=(0, 1)))


def test_the_grid_of_a_layer_makes_its_array_a_working_array() -> None:
    grid = screen_grid((4, 5, 6), (3, 2, 1), (7, 8, 9))
    assert grid.working_shape == (4, 5, 6)
    # x grows to the left, y to the back, z to the feet.
    assert apply_affine(grid.working_affine, (1, 1, 1)).tolist() == [-10, -10, -10]


def test_labels_of_the_same_oblique_file_match(tiny: Volume) -> None:
    tilted = oblique(tiny)
    require_layers_match(image_layer(tilted), labels_layer(tilted))


def test_labels_that_napari_made_on_an_oblique_image_match(tiny: Volume) -> None:
    image = image_layer(oblique(tiny))
    require_layers_match(image, Labels(np.zeros(tiny.shape, np.uint8), scale=image.scale, translate=image.translate))


def test_labels_of_a_file_match_an_image_of_another_reader_at_the_same_place(tiny: Volume) -> None:
    labels = labels_layer(tiny)
    require_layers_match(Image(tiny.array, scale=labels.scale, translate=labels.translate), labels)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": np.zeros((6, 8, 9), np.uint8)}, "shape.*6, 8, 9.*6, 8, 10"),
        ({"scale": (1, 1, 1)}, "voxel size in mm.*1, 1, 1.*4, 2, 1.5"),
        ({"translate": (0, -19, -6.5)}, "position in mm.*0, -19, -6.5.*-50, -19, -6.5"),
    ],
)
def test_labels_that_lie_elsewhere_are_refused_by_name(tiny: Volume, changes: dict[str, Any], words: str) -> None:
    kwargs = {"data": np.zeros(tiny.shape, np.uint8), "scale": (4, 2, 1.5), "translate": (-50, -19, -6.5)}
    with pytest.raises(InputError, match=f"labels mine have the {words}.*image tiny has|{words}"):
        require_layers_match(image_layer(tiny), Labels(**kwargs | changes, name="mine"))


def test_labels_of_another_file_are_refused_by_their_own_name(tiny: Volume) -> None:
    moved = Volume(tiny.array, Grid(tiny.grid.shape, np.diag([1.5, 2.0, 4.0, 1.0])), "other")
    with pytest.raises(InputError, match=r"labels other labels do not lie on the grid of the image tiny\. .*mm away"):
        require_layers_match(image_layer(tiny), labels_layer(moved))


def test_the_grid_of_labels_is_that_of_the_file(phantom: Volume) -> None:
    assert grid_difference(grid_of(labels_layer(phantom)), phantom.grid) is None
