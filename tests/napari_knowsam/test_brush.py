"""The brush has one size in mm, and is in the hand as soon as a class is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_knowsam.brush import Brush
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import image_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from knowsam.data.volume import Volume


@pytest.fixture
def layers(viewer: ViewerModel, tiny: Volume) -> LayerChoice:
    """Of an image of 6 slices of 8 x 10 pixels of 2 x 1.5 mm."""
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    return LayerChoice(viewer)


@pytest.fixture
def brush(viewer: ViewerModel, layers: LayerChoice) -> Brush:
    brush = Brush(viewer, layers)
    layers.choose_image(None)
    return brush


@pytest.fixture
def labels(brush: Brush, layers: LayerChoice) -> Labels:
    return layers.sync.layers.labels.layer


def add_labels(viewer: ViewerModel, volume: Volume) -> Labels:
    """Add an empty layer that lies on the image, as napari's own button does."""
    return viewer.add_labels(np.zeros(volume.shape, np.uint8), **layer_kwargs(volume) | {"name": "theirs"})


@pytest.fixture
def prediction(brush: Brush, layers: LayerChoice) -> Labels:
    plane = np.zeros(layers.document.plane_shape, np.uint8)
    layers.sync.apply_predictions([(0, plane, plane)])
    return layers.sync.layers.prediction.layer


@pytest.fixture
def sizes(brush: Brush) -> list[tuple[float, float]]:
    emitted: list[tuple[float, float]] = []
    brush.size_changed.connect(lambda *size: emitted.append(size))
    return emitted


def test_taken_up_it_paints_on_the_labels(viewer: ViewerModel, brush: Brush, labels: Labels) -> None:
    viewer.layers.selection.active = viewer.layers[0]
    brush.take_up()
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"


@pytest.mark.parametrize(("before", "after"), [("pan_zoom", "paint"), ("erase", "paint"), ("fill", "fill")])
def test_taken_up_on_the_prediction_it_stays_there_with_a_tool_that_paints(
    viewer: ViewerModel, brush: Brush, prediction: Labels, before: str, after: str
) -> None:
    viewer.layers.selection.active, prediction.mode = prediction, before
    brush.take_up()
    assert viewer.layers.selection.active is prediction
    assert prediction.mode == after


def test_without_an_image_there_is_nothing_to_take_up(viewer: ViewerModel) -> None:
    Brush(viewer, LayerChoice(viewer)).take_up()
    assert viewer.layers.selection.active is None


def test_it_begins_with_at_least_three_pixels(brush: Brush, labels: Labels) -> None:
    brush.take_up()
    assert labels.brush_size == 3


def test_it_begins_larger_where_the_slice_is_larger(viewer: ViewerModel, phantom: Volume) -> None:
    data, kwargs, _ = image_layer_data(phantom)
    viewer.add_image(data, **kwargs)
    layers, emitted = LayerChoice(viewer), list[float]()
    brush = Brush(viewer, layers)
    brush.size_changed.connect(lambda diameter_mm, _pixel_mm: emitted.append(diameter_mm))
    layers.choose_image(None)
    height, width = (np.array(phantom.shape) * phantom.spacing_mm)[1:]
    assert emitted[-1] == pytest.approx(max(min(height, width) / 30, 3 * min(phantom.spacing_mm[1:])))


def test_a_size_in_mm_becomes_pixels_of_the_finer_side(
    brush: Brush, labels: Labels, sizes: list[tuple[float, float]]
) -> None:
    brush.take_up()
    brush.set_size(9.0)
    assert labels.brush_size == 6
    assert sizes[-1] == (9.0, 1.5)


def test_a_size_chosen_in_napari_is_emitted_and_applies_to_the_other_layer(
    viewer: ViewerModel, brush: Brush, labels: Labels, prediction: Labels, sizes: list[tuple[float, float]]
) -> None:
    brush.take_up()
    labels.brush_size = 4
    assert sizes[-1] == (6.0, 1.5)
    viewer.layers.selection.active = prediction
    assert prediction.brush_size == 4


@pytest.mark.parametrize("size", [7, 10], ids=["chosen", "napari's own"])
def test_a_layer_that_is_taken_up_while_somebody_paints_on_it_keeps_its_size(
    viewer: ViewerModel, brush: Brush, labels: Labels, layers: LayerChoice, tiny: Volume, size: int
) -> None:
    brush.take_up()
    theirs = add_labels(viewer, tiny)
    theirs.mode, theirs.brush_size = "paint", size
    emitted: list[float] = []
    brush.size_changed.connect(lambda diameter_mm, _pixel_mm: emitted.append(diameter_mm))
    theirs.paint((0, 4, 5), 1)
    assert layers.sync.layers.labels.layer is theirs
    assert theirs.brush_size == size
    assert emitted[-1] == size * 1.5


@pytest.mark.parametrize(("size", "kept"), [(7, 7), (10, 3)], ids=["chosen", "napari's own"])
def test_a_size_that_was_chosen_before_the_image_is_worked_on_stays(
    viewer: ViewerModel, layers: LayerChoice, tiny: Volume, size: int, kept: int
) -> None:
    theirs = add_labels(viewer, tiny)
    theirs.brush_size = size
    brush = Brush(viewer, layers)
    layers.choose_image(None)
    brush.take_up()
    assert layers.sync.layers.labels.layer is theirs
    assert theirs.brush_size == kept


def test_new_labels_are_painted_with_the_size_of_the_others(brush: Brush, labels: Labels, layers: LayerChoice) -> None:
    brush.take_up()
    labels.brush_size = 6
    layers.new_labels()
    new = layers.sync.layers.labels.layer
    assert new is not labels
    assert new.brush_size == 6


def test_in_another_plane_it_is_as_many_mm(viewer: ViewerModel, brush: Brush, labels: Labels) -> None:
    brush.take_up()
    brush.set_size(12.0)
    viewer.dims.order = (2, 0, 1)
    assert labels.brush_size == 6


def test_a_closed_one_follows_no_layer(
    viewer: ViewerModel, brush: Brush, labels: Labels, sizes: list[tuple[float, float]]
) -> None:
    brush.take_up()
    brush.close()
    sizes.clear()
    labels.brush_size = 7
    viewer.layers.selection.active = viewer.layers[0]
    assert sizes == []


def test_the_image_may_go(viewer: ViewerModel, brush: Brush, labels: Labels) -> None:
    brush.take_up()
    viewer.layers.remove(viewer.layers[0])
    brush.set_size(3.0)
    brush.take_up()
