"""Labels that the window opens: an unclear plane is asked for, and what is unlabelled stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Labels
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import BACKGROUND, IGNORE, SliceState
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.painted_layer import Painting, labels_on_image, painting_of
from napari_knowsam.volume_layers import image_layer_data, labels_layer_data

if TYPE_CHECKING:
    from napari.components import ViewerModel

IMAGE = Grid((40, 40, 20), np.diag([-1.0, -1.0, -3.0, 1.0]))
BRUSH = 255


def image() -> Volume:
    return Volume(np.random.default_rng(0).normal(size=IMAGE.working_shape), IMAGE, "image")


def layer_of(values: np.ndarray[Any, Any]) -> Labels:
    data, kwargs, _ = labels_layer_data(Volume(values, IMAGE, "labels"))
    return Labels(data, **kwargs)


def line() -> np.ndarray[Any, Any]:
    """A line of voxels, painted in an axial or a coronal slice."""
    values = np.zeros(IMAGE.working_shape, np.uint8)
    values[8, 20, 5:30] = 1
    return values


def tilted_labels() -> Volume:
    """Two slices that are tilted by 20 degrees against those of the image, with a square each."""
    turn = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    grid = Grid(IMAGE.shape, from_matvec(-turn @ np.diag([1.0, 1.0, 3.0]), (0, 0, 0)))
    values = np.zeros(grid.working_shape, np.uint8)
    values[[4, 9], 10:30, 10:30] = 1
    return Volume(values, grid, "tilted")


def choice_with(viewer: ViewerModel, labels: tuple[Any, dict[str, Any], str]) -> LayerChoice:
    data, kwargs, _ = image_layer_data(image())
    viewer.add_image(data, **kwargs)
    viewer.add_labels(labels[0], **labels[1])
    return LayerChoice(viewer)


def test_the_plane_is_asked_for_where_it_is_not_clear_unless_a_person_has_named_it() -> None:
    painting = painting_of(layer_of(line()), image(), BRUSH, None)
    assert sorted(painting.axes) == [0, 1]
    assert "painted in axial or coronal slices" in str(painting.question)
    assert painting_of(layer_of(line()), image(), BRUSH, 1) == Painting((1,))


def test_a_stray_is_reported_in_the_count_of_the_window_and_the_background_brush_is_none() -> None:
    values = np.zeros(IMAGE.working_shape, np.uint8)
    values[[4, 12], 10:30, 10:30] = 1
    values[8, 2, 2], values[10, 3, 3] = 1, BRUSH
    (notice,) = painting_of(layer_of(values), image(), BRUSH, None).notices
    assert "In slice 9, 1 voxel" in notice


def test_a_stray_in_labels_on_other_voxels_is_reported_in_the_count_of_their_file() -> None:
    values = np.zeros(IMAGE.working_shape, np.uint8)
    values[[4, 12], 10:30, 10:30] = 1
    values[8, 2, 2] = 1
    half = Volume(values, Grid(IMAGE.shape, IMAGE.affine @ from_matvec(np.eye(3), (0.5, 0.5, 0.5))), "half")
    _, notices = labels_on_image(half, IMAGE)
    assert any("In slice 8 along axis 2 of half, counted from 0, 1 voxel of label 1" in notice for notice in notices)


def test_labels_on_other_voxels_that_may_have_been_painted_in_several_planes_are_refused() -> None:
    half = Volume(line(), Grid(IMAGE.shape, IMAGE.affine @ from_matvec(np.eye(3), (0.5, 0.5, 0.5))), "half")
    with pytest.raises(
        InputError, match="half, which has other voxels than the image, was painted in axial or coronal"
    ):
        labels_on_image(half, IMAGE)


def test_the_plane_that_a_person_chooses_settles_the_question(viewer: ViewerModel) -> None:
    choice, problems = choice_with(viewer, labels_layer_data(Volume(line(), IMAGE, "labels"))), []
    choice.signals.problem.connect(problems.append)
    choice.choose_image(None)
    assert choice.sync is not None
    assert problems[-1] == choice.sync.plane_question
    choice.choose_axis(1)
    assert choice.sync.plane_question is None
    assert choice.document is not None
    assert (choice.document.axis, choice.document.annotated) == (1, (20,))
    choice.close()


def test_slices_that_tilted_ones_cut_are_partly_painted(viewer: ViewerModel) -> None:
    labels, notices = labels_on_image(tilted_labels(), IMAGE)
    assert any("tilted by 20 degrees" in notice and "the command knowsam segment" in notice for notice in notices)
    choice = choice_with(viewer, labels)
    choice.choose_image(None)
    assert choice.document is not None
    annotation = choice.document.annotation()
    assert {annotation.state(index) for index in annotation.annotated} == {SliceState.PARTIAL}
    labelled = {int(value) for one in annotation.slices.values() for value in np.unique(one.labels)}
    assert labelled == {BACKGROUND, 1, IGNORE}
    choice.close()
