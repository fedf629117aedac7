"""What a stroke means: painting afresh where nothing is predicted, a correction where something is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from mouse import Mouse
from opened import BRUSH, LIVER, SHAPE, SPLEEN, click, plane, stroke

from knowsam.data.annotation import IGNORE, SliceState
from knowsam.document.annotation_document import AnnotationDocument
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import image_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from opened import Opened, Plane
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume


def with_voxel(value: int) -> Plane:
    """All liver but for the voxel the strokes of these tests fall on."""
    expected = plane(LIVER)
    expected[4, 5] = value
    return expected


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("layer", ["labels", "prediction"])
@pytest.mark.parametrize(("tool", "value", "left"), [("paint", SPLEEN, SPLEEN), ("paint", BRUSH, 0), ("erase", 0, 0)])
def test_a_stroke_in_a_predicted_slice_corrects_it_whichever_layer_it_falls_on(
    opened: Opened, layer: str, tool: str, value: int, left: int, is_training: bool
) -> None:
    opened.choice.set_training(is_training)
    opened.predict(3, 1)
    click(getattr(opened, layer), tool, value, (3, 4, 5))
    opened.choice.flush()
    assert np.array_equal(opened.prediction.data[3], with_voxel(left))
    assert np.array_equal(opened.document.mask()[3], with_voxel(left))
    assert not opened.labels.data.any()
    assert opened.document.corrected == (3,)
    assert not opened.document.label_slice(3).by_hand
    assert opened.emitted.slices[-1].state is SliceState.COMPLETE
    assert opened.document.history.undo_name == "correction of slice 4"
    opened.sync.view.go_to(2)
    opened.predict(3, 2)
    assert np.array_equal(opened.prediction.data[3], with_voxel(left))
    opened.undo()
    assert np.array_equal(opened.prediction.data[3], plane(SPLEEN))
    assert opened.document.annotated == ()


def test_the_fill_bucket_on_the_labels_fills_what_is_seen(opened: Opened) -> None:
    lesion = plane(1)
    lesion[3:5, 4:6] = 2
    opened.apply([(3, lesion, plane(40))], opened.document)
    click(opened.labels, "fill", LIVER, (3, 4, 5))
    opened.choice.flush()
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))


def test_preserved_labels_are_those_that_are_seen(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.labels.preserve_labels = True
    click(opened.labels, "paint", SPLEEN, (3, 4, 5))
    opened.choice.flush()
    assert opened.document.corrected == ()
    assert not opened.labels.data.any()


def test_a_stroke_that_no_mouse_made_corrects_as_well(opened: Opened) -> None:
    opened.predict(3, 1)
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.flush()
    assert np.array_equal(opened.prediction.data[3], with_voxel(SPLEEN))
    assert not opened.labels.data.any()


def test_every_stroke_is_undone_by_itself(opened: Opened) -> None:
    opened.predict(3, 1)
    click(opened.labels, "paint", SPLEEN, (3, 4, 5))
    click(opened.labels, "paint", SPLEEN, (3, 4, 7))
    opened.undo()
    assert np.array_equal(opened.prediction.data[3], with_voxel(SPLEEN))


def test_a_click_that_paints_nothing_leaves_the_labels_as_they_were(opened: Opened) -> None:
    opened.predict(3, 1)
    click(opened.labels, "polygon", SPLEEN, (3, 4, 5))
    assert opened.labels.data[3].all()
    opened.sync.view.go_to(2)
    assert not opened.labels.data.any()
    assert opened.document.annotated == ()


def test_a_hidden_prediction_is_not_corrected(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.prediction.visible = False
    click(opened.labels, "paint", SPLEEN, (3, 4, 5))
    opened.choice.flush()
    assert opened.document.corrected == ()
    assert opened.document.mask()[3].sum() == SPLEEN


def test_a_slice_predicted_to_be_empty_is_painted_afresh(opened: Opened) -> None:
    opened.predict(3, 0)
    click(opened.labels, "paint", SPLEEN, (3, 4, 5))
    opened.choice.flush()
    assert opened.document.corrected == ()
    assert opened.document.label_slice(3).by_hand


def test_a_slice_marked_as_partly_painted_stays_so(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.mark(SliceState.PARTIAL)
    click(opened.labels, "paint", SPLEEN, (3, 4, 5))
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.PARTIAL
    assert np.array_equal(opened.prediction.data[3], with_voxel(SPLEEN))


def test_an_accepted_slice_is_painted_on(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.accept_slice()
    click(opened.labels, "erase", 0, (3, 4, 5))
    opened.choice.flush()
    assert np.array_equal(opened.labels.data[3], with_voxel(0))
    assert np.array_equal(opened.prediction.data[3], with_voxel(0))
    assert opened.document.corrected == ()


def test_a_correction_is_corrected_on_either_layer(opened: Opened) -> None:
    opened.predict(3, 1)
    click(opened.prediction, "paint", SPLEEN, (3, 4, 5))
    opened.choice.flush()
    click(opened.labels, "paint", LIVER, (3, 4, 5))
    opened.choice.flush()
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))
    assert opened.document.corrected == ()


@pytest.mark.parametrize("is_training", [False, True])
def test_a_prediction_that_arrives_during_a_stroke_is_not_seen_in_the_slice_painted_afresh(
    opened: Opened, is_training: bool
) -> None:
    opened.choice.set_training(is_training)
    opened.predict(1, 1)
    opened.labels.mode, opened.labels.brush_size, opened.labels.selected_label = "paint", 1, SPLEEN
    mouse = Mouse(opened.labels, (3, 4, 5))
    opened.predict(3, 1)
    mouse.release()
    opened.choice.flush()
    assert opened.prediction.data[3].sum() == SPLEEN
    opened.sync.view.go_to(2)
    assert opened.prediction.data[3].sum() == SPLEEN
    assert opened.document.label_slice(3).by_hand


def test_a_slice_painted_afresh_during_training_is_partial_until_it_is_left(opened: Opened) -> None:
    opened.choice.set_training(True)
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.flush()
    assert opened.document.open_index == 3
    assert opened.emitted.slices[-1].labels[0, 0] == IGNORE
    stroke(opened.labels, SPLEEN, 3, x=6)
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.PARTIAL
    opened.sync.view.go_to(2)
    assert opened.emitted.slices[-1].state is SliceState.COMPLETE
    opened.sync.view.go_to(3)
    assert opened.document.state(3) is SliceState.COMPLETE


def test_a_stroke_of_another_class_on_a_prediction_is_undone_with_it(opened: Opened) -> None:
    opened.predict(3, 1)
    click(opened.labels, "paint", 9, (3, 4, 5))
    opened.choice.flush()
    assert opened.prediction.data[3, 4, 5] == 9
    opened.undo()
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))


@pytest.fixture
def across(opened: Opened) -> Opened:
    """Slice 0 is painted, and coronal slices are on the screen."""
    stroke(opened.labels, LIVER, 0)
    opened.choice.flush()
    opened.viewer.dims.order = (1, 0, 2)
    return opened


def stroke_across(layer: Labels, indices: list[int], value: int) -> None:
    """Paint one voxel in each of several slices, in one stroke."""
    layer.data_setitem((np.array(indices), np.full(len(indices), 4), np.full(len(indices), 5)), value)


def test_a_stroke_across_slices_leaves_them_partly_painted_with_a_message(across: Opened, qtbot: QtBot) -> None:
    with qtbot.waitSignal(across.choice.signals.slices_annotated):
        stroke_across(across.labels, [1, 2, 4], SPLEEN)
    assert [across.document.state(index) for index in (1, 2, 4)] == [SliceState.PARTIAL] * 3
    assert across.document.state(0) is SliceState.COMPLETE
    assert across.emitted.problems[-1].startswith("That stroke went through 3 slices that nobody had annotated.")
    stroke_across(across.labels, [1, 2, 4], LIVER)
    across.choice.flush()
    assert len(across.emitted.problems) == 1
    across.undo()
    across.undo()
    assert across.document.annotated == (0,)


def test_a_brush_in_three_dimensions_completes_no_slice(opened: Opened) -> None:
    opened.labels.n_edit_dimensions, opened.labels.brush_size = 3, 7
    opened.labels.paint((3, 4, 5), SPLEEN)
    opened.choice.flush()
    states = [opened.document.state(index) for index in (2, 3, 4)]
    assert states == [SliceState.PARTIAL] * 3
    assert opened.document.annotated == (2, 3, 4)
    assert "3 slices" in opened.emitted.problems[-1]


def test_a_stroke_in_another_view_of_the_layer_completes_no_slice(opened: Opened) -> None:
    opened.labels.data[[1, 3], 4, 5] = SPLEEN
    opened.labels.events.data(value=opened.labels.data)
    opened.choice.flush()
    assert [opened.document.state(index) for index in (1, 3)] == [SliceState.PARTIAL] * 2
    assert "2 slices" in opened.emitted.problems[-1]


def test_a_stroke_that_another_view_announces_completes_its_slice_nevertheless(opened: Opened) -> None:
    opened.labels.events.paint.connect(lambda _event: opened.labels.events.data(value=opened.labels.data))
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.COMPLETE
    assert opened.emitted.problems == []


def test_labels_in_a_new_array_complete_their_slices(opened: Opened) -> None:
    values = np.zeros_like(opened.labels.data)
    values[[1, 3], 4, 5] = SPLEEN
    opened.labels.data = values
    opened.choice.flush()
    assert [opened.document.state(index) for index in (1, 3)] == [SliceState.COMPLETE] * 2


@pytest.mark.parametrize("layer", ["labels", "prediction"])
def test_a_stroke_across_predicted_slices_labels_nothing_but_its_own_pixels(across: Opened, layer: str) -> None:
    across.predict(1, 1)
    across.predict(2, 1)
    stroke_across(getattr(across, layer), [1, 2], SPLEEN)
    across.choice.flush()
    for index in (1, 2):
        assert across.document.state(index) is SliceState.PARTIAL
        assert np.array_equal(across.prediction.data[index], with_voxel(SPLEEN))
        assert across.labels.data[index].sum() == SPLEEN
    across.predict(1, 2)
    assert across.prediction.data[1, 0, 0] == SPLEEN


def test_erasing_a_prediction_across_slices_says_that_there_is_background(across: Opened) -> None:
    across.predict(1, 1)
    across.predict(2, 1)
    stroke_across(across.prediction, [1, 2], 0)
    across.choice.flush()
    assert across.document.state(1) is SliceState.PARTIAL
    assert np.array_equal(across.prediction.data[1], with_voxel(0))
    assert across.labels.data[1, 4, 5] == BRUSH


def test_annotated_slices_stay_so_when_a_stroke_goes_through_them(across: Opened) -> None:
    across.predict(1, 1)
    across.sync.change(AnnotationDocument.correct, {1: with_voxel(0)})
    stroke_across(across.labels, [0, 1], SPLEEN)
    across.choice.flush()
    assert across.document.state(0) is SliceState.COMPLETE
    assert across.document.corrected == (1,)
    assert np.array_equal(across.prediction.data[1], with_voxel(SPLEEN))
    assert across.emitted.problems == []


def test_the_plane_turns_the_view_and_the_view_the_plane(opened: Opened) -> None:
    opened.choice.choose_axis(2)
    assert opened.viewer.dims.order == (2, 0, 1)
    opened.viewer.dims.order = (1, 0, 2)
    assert opened.document.axis == 1
    assert opened.emitted.documents[-1] is opened.document
    opened.viewer.dims.ndisplay = 3
    assert opened.document.axis == 1
    opened.choice.choose_axis(1)
    assert opened.viewer.dims.ndisplay == 2


def test_the_plane_stays_when_somebody_only_looks_at_another_one(across: Opened) -> None:
    seen: list[int | None] = []
    across.choice.signals.turned.connect(seen.append)
    across.viewer.dims.order = (2, 0, 1)
    assert across.document.axis == 0
    assert seen == [2]
    across.choice.choose_axis(0)
    assert across.viewer.dims.order == (0, 1, 2)
    assert seen == [2, 0]


def test_the_plane_stays_while_training_runs(opened: Opened) -> None:
    opened.choice.is_plane_fixed = True
    opened.viewer.dims.order = (1, 0, 2)
    assert opened.document.axis == 0


def test_labels_painted_in_another_plane_turn_the_view(viewer: ViewerModel, tiny: Volume) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    painted = np.zeros(SHAPE, np.uint8)
    painted[:, 2, 2:8] = 1
    viewer.add_labels(painted, **layer_kwargs(tiny) | {"name": "coronal"})
    choice = LayerChoice(viewer)
    choice.choose_image(None)
    assert viewer.dims.order == (1, 0, 2)
    choice.close()
