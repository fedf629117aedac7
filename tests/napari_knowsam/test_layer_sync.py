"""Strokes and predictions meet in a viewer: no stroke is lost, and nobody is disturbed at work."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mouse import Mouse
from napari.layers import Image
from opened import BRUSH, LIVER, SHAPE, SPLEEN, Emitted, Opened, add_other, plane, stroke

from knowsam.data.annotation import LabelClass, SliceState
from knowsam.data.identity import Identity
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.paint_layer import DEBOUNCE_MS
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY, image_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume


def test_the_first_image_and_the_labels_on_its_voxels_are_chosen(opened: Opened) -> None:
    assert opened.document.axis == 0
    assert opened.document.brush_value == BRUSH
    assert [c.value for c in opened.document.classes] == [0, LIVER, SPLEEN]
    assert opened.labels.metadata["knowsam_background_brush"] == BRUSH
    assert opened.sync.view.index == 3
    assert opened.choice.has_known_orientation
    assert opened.choice.sync_of(opened.document) is not None
    assert np.allclose(opened.labels.get_color(LIVER), [230 / 255, 75 / 255, 53 / 255, 1])
    assert opened.labels.get_color(BRUSH)[:3] == pytest.approx([0.5] * 3, abs=0.01)
    assert opened.labels.selected_label == LIVER


def test_labels_are_made_where_there_are_none_and_nothing_else_changes(viewer: ViewerModel, tiny: Volume) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    image = viewer.add_image(data, **kwargs)
    choice = LayerChoice(viewer)
    emitted = Emitted(choice)
    choice.choose_image("tiny")
    labels = viewer.layers["tiny labels"]
    assert labels.data.dtype == np.uint8
    assert np.allclose(labels.extent.world, image.extent.world)
    assert viewer.layers.selection.active is image
    assert labels.mode == "pan_zoom"
    assert emitted.images[-1] == (["tiny"], "tiny")
    assert emitted.labels[-1] == (["tiny labels"], "tiny labels")
    choice.close()


def test_an_image_that_is_opened_later_is_chosen(viewer: ViewerModel, tiny: Volume, qtbot: QtBot) -> None:
    choice = LayerChoice(viewer)
    choice.choose_image(None)
    assert choice.document is None
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    viewer.add_labels((data > 470).astype(np.uint8), **layer_kwargs(tiny) | {"name": "came with it"})
    qtbot.waitUntil(lambda: choice.document is not None)
    assert len(viewer.layers) == 2
    assert choice.document is not None
    assert choice.document.annotated
    choice.close()


def test_labels_without_classes_get_one_for_each_value(viewer: ViewerModel, tiny: Volume) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    painted = np.zeros(SHAPE, np.int64)
    painted[:, 2, :3] = [1, 7, 255]
    viewer.add_labels(painted, **{key: kwargs[key] for key in ("scale", "translate", "units", "axis_labels")})
    choice = LayerChoice(viewer)
    choice.choose_image(None)
    assert choice.document is not None
    assert choice.document.axis == 1
    assert [c.value for c in choice.document.classes] == [0, 1, 7, 255]
    assert choice.document.brush_value == 254
    choice.close()


def test_strokes_become_annotations_after_a_moment(opened: Opened, qtbot: QtBot) -> None:
    stroke(opened.labels, LIVER, 3)
    assert opened.document.annotated == ()
    with qtbot.waitSignal(opened.choice.signals.slices_annotated):
        pass
    (emitted,) = opened.emitted.slices
    assert (emitted.index, emitted.labels[4, 5], emitted.state) == (3, 1, SliceState.COMPLETE)
    assert opened.document.history.undo_name == "painting of slice 4"


def test_another_array_in_the_labels_is_compared_everywhere(opened: Opened, qtbot: QtBot) -> None:
    painted = np.zeros(SHAPE, np.uint8)
    painted[[0, 5], 2] = LIVER
    with qtbot.waitSignal(opened.choice.signals.slices_changed):
        opened.labels.data = painted
    assert opened.document.annotated == (0, 5)


def test_a_slice_change_takes_over_at_once_what_a_script_painted(opened: Opened) -> None:
    opened.labels.data[3, 1] = LIVER
    opened.sync.view.go_to(4)
    assert opened.document.annotated == (3,)
    assert opened.emitted.looked_at == [4]
    assert opened.sync.view.index == 4


def test_flushing_finds_what_was_painted_in_any_way(opened: Opened) -> None:
    opened.labels.data[0, 1] = LIVER
    opened.choice.flush()
    assert opened.document.annotated == (0,)


def test_an_unknown_value_becomes_a_class(opened: Opened) -> None:
    stroke(opened.labels, 6, 3)
    opened.choice.flush()
    assert [c.value for c in opened.emitted.classes[-1]] == [0, LIVER, SPLEEN, 6]
    assert opened.labels.metadata["knowsam_classes"] == opened.document.classes
    assert opened.document.label_slice(3).labels[4, 5] == 3
    assert opened.labels.get_color(6)[:3] == pytest.approx(np.array(opened.document.classes[3].color) / 255)


def test_a_prediction_shows_between_image_and_labels_and_disturbs_nobody(opened: Opened, qtbot: QtBot) -> None:
    viewer = opened.viewer
    viewer.layers.selection.active = opened.labels
    opened.labels.mode = "paint"
    opened.labels.brush_size = 7
    # Before napari 0.9, the camera was the viewer's own.
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom, camera.center = 3.7, (0, 4, 5)
    before = (camera.model_dump(), viewer.dims.current_step, opened.image.contrast_limits, viewer.cursor.style)
    opened.predict(3, 1)
    opened.choice.set_uncertainty_visible(True)
    opened.predict(3, 2)
    after = (camera.model_dump(), viewer.dims.current_step, opened.image.contrast_limits, viewer.cursor.style)
    assert before == after
    assert viewer.layers.selection == {opened.labels}
    assert viewer.layers.selection.active is opened.labels
    assert (opened.labels.mode, opened.labels.brush_size) == ("paint", 7)
    assert [layer.name for layer in viewer.layers] == ["tiny", "tiny uncertainty", "tiny prediction", "mine"]
    assert np.array_equal(opened.prediction.data[3], plane(SPLEEN))
    assert viewer.layers["tiny uncertainty"].data[3].max() == 40
    assert np.allclose(opened.prediction.extent.world, opened.image.extent.world)
    assert opened.emitted.labels[-1] == (["mine"], "mine")
    assert opened.emitted.images[-1] == (["tiny"], "tiny")


def test_an_empty_or_multiple_selection_stays_as_it_is(opened: Opened) -> None:
    opened.viewer.layers.selection.clear()
    opened.predict(3, 1)
    assert not opened.viewer.layers.selection
    opened.viewer.layers.selection.update({opened.image, opened.labels})
    opened.choice.set_uncertainty_visible(True)
    assert set(opened.viewer.layers.selection) == {opened.image, opened.labels}


def test_only_a_prediction_that_can_be_seen_is_drawn(opened: Opened) -> None:
    opened.predict(3, 1)
    drawn: list[Any] = []
    opened.prediction.events.set_data.connect(drawn.append)
    opened.predict(0, 2)
    opened.predict(3, 1)
    assert drawn == []
    opened.predict(3, 2)
    assert len(drawn) == 1
    assert np.array_equal(opened.prediction.data[0], plane(SPLEEN))


def test_a_rendered_volume_is_drawn_once_a_second_at_most(opened: Opened, qtbot: QtBot) -> None:
    opened.predict(3, 1)
    opened.viewer.dims.ndisplay = 3
    drawn: list[Any] = []
    opened.prediction.events.set_data.connect(drawn.append)
    for index in range(5):
        opened.predict(index, 2)
    assert drawn == []
    qtbot.waitUntil(lambda: len(drawn) == 1, timeout=30_000)
    assert np.array_equal(opened.prediction.data[4], plane(SPLEEN))


def test_painting_over_a_prediction_is_a_correction_that_outlives_the_next_one(opened: Opened, qtbot: QtBot) -> None:
    opened.predict(3, 1)
    with qtbot.waitSignal(opened.choice.signals.slices_annotated):
        stroke(opened.prediction, SPLEEN, 3)
    opened.predict(3, 0)
    assert opened.document.corrected == (3,)
    assert opened.prediction.data[3, 4, 5] == SPLEEN
    assert opened.prediction.data[3, 0, 0] == LIVER
    assert not opened.labels.data.any()
    assert opened.emitted.slices[-1].labels[4, 5] == 2


@pytest.mark.parametrize("index", [3, 1])
def test_a_stroke_that_emitted_no_signal_outlives_a_prediction(opened: Opened, index: int) -> None:
    opened.predict(index, 1)
    opened.prediction.data[index, 4, 5] = SPLEEN
    opened.predict(index, 0)
    assert opened.prediction.data[index, 4, 5] == SPLEEN
    assert opened.prediction.data[index, 0, 0] == LIVER
    assert opened.document.corrected == (index,)


def test_during_a_stroke_the_slice_under_it_stays_as_it_is(opened: Opened, qtbot: QtBot) -> None:
    opened.predict(3, 1)
    mouse = Mouse(opened.prediction, (3, 0, 0))
    opened.predict(3, 2)
    opened.predict(1, 2)
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))
    assert np.array_equal(opened.prediction.data[1], plane(SPLEEN))
    mouse.release()
    qtbot.waitUntil(lambda: np.array_equal(opened.prediction.data[3], plane(SPLEEN)))


def test_a_prediction_that_waits_for_the_end_of_a_stroke_does_not_outlive_its_classes(
    opened: Opened, qtbot: QtBot
) -> None:
    opened.sync.add_class()
    opened.predict(3, 1)
    mouse = Mouse(opened.prediction, (3, 0, 0))
    opened.predict(3, 2)
    opened.remove_class(SPLEEN)
    mouse.release()
    qtbot.wait(2 * DEBOUNCE_MS)
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))


def test_what_came_during_a_stroke_is_shown_before_the_next_action(opened: Opened) -> None:
    opened.predict(3, 1)
    mouse = Mouse(opened.prediction, (3, 0, 0))
    opened.predict(3, 2)
    mouse.release()
    opened.accept_slice()
    assert np.array_equal(opened.labels.data[3], plane(SPLEEN))


def test_the_background_brush_on_a_prediction_makes_background(opened: Opened) -> None:
    opened.predict(3, 0)
    stroke(opened.prediction, BRUSH, 3)
    opened.choice.flush()
    assert opened.prediction.data[3, 4, 5] == 0
    assert opened.document.corrected == ()
    assert opened.document.history.undo_name is None
    opened.predict(3, 1)
    stroke(opened.prediction, BRUSH, 3)
    opened.choice.flush()
    assert opened.prediction.data[3, 4, 5] == 0
    assert opened.document.label_slice(3).labels[4, 5] == 0


def test_the_end_of_training_completes_the_open_slice(opened: Opened) -> None:
    opened.choice.set_training(True)
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.flush()
    opened.choice.set_training(False)
    assert opened.document.open_index is None
    assert opened.emitted.slices[-1].state is SliceState.COMPLETE


def test_accepting_paints_the_labels_and_can_be_undone_after_a_slice_change(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.accept_slice()
    assert np.array_equal(opened.labels.data[3], plane(LIVER))
    assert opened.emitted.slices[-1].state is SliceState.COMPLETE
    opened.sync.view.go_to(0)
    opened.undo()
    assert not opened.labels.data.any()
    assert opened.emitted.slices[-1].state is SliceState.UNLABELLED
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))
    opened.redo()
    assert np.array_equal(opened.labels.data[3], plane(LIVER))
    opened.choice.flush()
    assert opened.document.history.undo_name == "accept slice 4"


def test_accepting_between_takes_the_slices_inside_only(opened: Opened) -> None:
    for index in (1, 4):
        stroke(opened.labels, SPLEEN, index)
        opened.choice.flush()
    for index in range(6):
        opened.predict(index, 1)
    opened.accept_between()
    assert opened.document.annotated == (1, 2, 3, 4)
    opened.accept_all()
    assert opened.document.annotated == (0, 1, 2, 3, 4, 5)
    assert opened.labels.data[1, 0, 0] == 0


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (lambda opened: opened.accept_slice(), "Slice 4 holds nothing to accept"),
        (
            lambda opened: opened.accept_between(),
            "Between the first and the last annotated slice there is nothing to accept",
        ),
        (lambda opened: opened.accept_all(), "nothing to accept: no prediction"),
        (lambda opened: opened.mark(SliceState.COMPLETE), "Background only"),
    ],
)
def test_an_impossible_action_is_reported(opened: Opened, action: Callable[[Opened], None], sentence: str) -> None:
    action(opened)
    assert sentence in opened.emitted.problems[-1]
    assert opened.emitted.slices == []


def test_marking_acts_on_the_slice_on_the_screen(opened: Opened) -> None:
    opened.mark(SliceState.BACKGROUND_ONLY)
    assert opened.document.state(3) is SliceState.BACKGROUND_ONLY
    assert opened.emitted.slices[-1].index == 3
    stroke(opened.labels, LIVER, 5)
    opened.sync.view.go_to(5)
    opened.mark(SliceState.PARTIAL)
    assert opened.document.state(5) is SliceState.PARTIAL


def test_annotated_slices_are_found_in_both_directions(opened: Opened) -> None:
    for index in (0, 2, 5):
        opened.labels.data[index, 4] = LIVER
    opened.choice.flush()
    opened.sync.go_to_annotated(1)
    assert opened.sync.view.index == 5
    opened.sync.go_to_annotated(1)
    assert opened.sync.view.index == 5
    opened.sync.go_to_annotated(-1)
    assert opened.sync.view.index == 2


def test_a_chosen_class_is_painted_on_both_layers(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.sync.select_class(SPLEEN)
    assert opened.labels.selected_label == opened.prediction.selected_label == SPLEEN
    opened.prediction.selected_label = LIVER
    assert opened.labels.selected_label == LIVER
    assert opened.emitted.selected == [SPLEEN, LIVER]


def test_a_removed_class_leaves_all_layers_and_comes_back(opened: Opened) -> None:
    opened.predict(2, 2)
    stroke(opened.labels, SPLEEN, 3)
    opened.remove_class(SPLEEN)
    assert not opened.labels.data.any()
    assert not opened.prediction.data.any()
    assert [c.value for c in opened.emitted.classes[-1]] == [0, LIVER]
    opened.undo()
    assert opened.labels.data[3, 4, 5] == SPLEEN
    assert [c.value for c in opened.emitted.classes[-1]] == [0, LIVER, SPLEEN]


def test_classes_are_added_renamed_and_recoloured(opened: Opened) -> None:
    opened.sync.add_class()
    assert opened.labels.selected_label == opened.document.classes[-1].value == 6
    opened.rename_class(6, "lesion")
    opened.recolor_class(6, (255, 0, 51))
    assert opened.emitted.classes[-1][-1] == LabelClass(6, "lesion", (255, 0, 51))
    assert opened.labels.get_color(6) == pytest.approx([1, 0, 0.2, 1])
    assert opened.labels.metadata["knowsam_classes"][-1].name == "lesion"


def test_a_removed_prediction_comes_back_with_all_corrections(opened: Opened) -> None:
    opened.predict(3, 1)
    stroke(opened.prediction, SPLEEN, 3)
    opened.viewer.layers.remove(opened.prediction)
    assert opened.document.corrected == (3,)
    opened.choice.set_live_visible(True)
    assert opened.prediction.data[3, 4, 5] == SPLEEN
    opened.viewer.layers.remove(opened.prediction)
    opened.predict(1, 1)
    assert opened.prediction.data[3, 4, 5] == SPLEEN
    assert np.array_equal(opened.prediction.data[1], plane(LIVER))


def test_removed_labels_stay_annotations_and_can_be_restored(opened: Opened) -> None:
    stroke(opened.labels, LIVER, 3)
    opened.viewer.layers.remove(opened.labels)
    assert 'Press "New" to get it back' in opened.emitted.problems[-1]
    assert opened.document.annotated == (3,)
    assert opened.emitted.labels[-1] == ([], None)
    opened.choice.new_labels()
    restored = opened.viewer.layers["tiny labels"]
    assert restored.data[3, 4, 5] == LIVER
    assert opened.emitted.labels[-1] == (["tiny labels"], "tiny labels")
    stroke(restored, LIVER, 2)
    opened.choice.flush()
    assert opened.document.annotated == (2, 3)


def test_new_labels_are_empty_and_ready_for_the_brush(opened: Opened) -> None:
    stroke(opened.labels, LIVER, 3)
    document = opened.document
    opened.choice.new_labels()
    new = opened.viewer.layers["tiny labels"]
    assert opened.viewer.layers.selection.active is new
    assert new.mode == "paint"
    assert opened.document.annotated == ()
    opened.choice.choose_labels("mine")
    assert opened.document is document
    assert opened.document.annotated == (3,)


def test_the_prediction_layer_follows_the_chosen_labels(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.choice.set_uncertainty_visible(True)
    opened.choice.new_labels()
    assert not opened.prediction.data.any()
    opened.predict(2, 1)
    assert np.array_equal(opened.prediction.data[2], plane(1))
    assert opened.viewer.layers["tiny uncertainty"].data[2].max() == 40
    opened.choice.choose_labels("mine")
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))
    assert not opened.prediction.data[2].any()


def test_names_of_layers_mean_nothing(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.image.name, opened.labels.name, opened.prediction.name = "a", "b", "c"
    assert opened.emitted.images[-1] == (["a"], "a")
    assert opened.emitted.labels[-1] == (["b"], "b")
    opened.apply([(3, plane(2), plane(0))], opened.document)
    assert np.array_equal(opened.viewer.layers["c"].data[3], plane(SPLEEN))
    assert len(opened.viewer.layers) == 3


def test_the_work_on_an_image_waits_while_another_is_chosen(opened: Opened, tiny: Volume) -> None:
    document = opened.document
    stroke(opened.labels, LIVER, 3)
    kwargs = layer_kwargs(tiny) | {"name": "other"}
    opened.viewer.add_image(np.array(tiny.array[:4]), scale=kwargs["scale"], name="other")
    opened.choice.choose_image("other")
    assert document.annotated == (3,)
    assert opened.document.volume.shape == (4, 8, 10)
    assert "other labels" in opened.viewer.layers
    opened.choice.choose_image("tiny")
    assert opened.document is document
    assert opened.choice.sync_of(document) is not None


def test_a_removed_image_takes_its_work_along(opened: Opened, qtbot: QtBot) -> None:
    document = opened.document
    opened.viewer.layers.remove(opened.image)
    assert opened.choice.document is None
    assert opened.choice.sync_of(document) is None
    assert opened.emitted.images[-1] == ([], None)
    opened.choice.flush()
    opened.choice.set_live_visible(True)


@pytest.mark.parametrize("is_the_same", [True, False])
def test_labels_that_a_removed_image_left_are_taken_up_by_the_same_image_alone(
    opened: Opened, tiny: Volume, qtbot: QtBot, is_the_same: bool
) -> None:
    stroke(opened.labels, LIVER, 3)
    opened.choice.flush()
    opened.viewer.layers.remove(opened.image)
    voxels = np.array(tiny.array) if is_the_same else tiny.array + 1
    again = opened.viewer.add_image(voxels, **layer_kwargs(tiny) | {"name": "again"})
    qtbot.waitUntil(lambda: opened.choice.sync is not None and opened.sync.image is again)
    assert opened.document.annotated == ((3,) if is_the_same else ())
    assert opened.labels in opened.viewer.layers


def test_labels_of_another_shape_are_refused(opened: Opened) -> None:
    document = opened.document
    opened.viewer.add_labels(np.zeros((2, 3, 4), np.uint8), name="small")
    opened.choice.choose_labels("small")
    assert "small" in opened.emitted.problems[-1]
    assert opened.document is document
    assert opened.emitted.labels[-1] == (["mine", "small"], "mine")


def test_labels_of_another_patient_are_neither_taken_along_nor_chosen(
    viewer: ViewerModel, tiny: Volume, classes: tuple[LabelClass, ...]
) -> None:
    opened = Opened(viewer, replace(tiny, identity=Identity(patient_id="0001")), classes)
    other = replace(tiny, identity=Identity(patient_id="0002"))
    opened.viewer.add_image(np.array(other.array), **layer_kwargs(other) | {"name": "other"})
    opened.choice.choose_image("other")
    assert opened.emitted.labels[-1][1] == "other labels"
    opened.choice.choose_labels("mine")
    assert "mine and other are of different patients" in opened.emitted.problems[-1]
    assert "000" not in opened.emitted.problems[-1]
    opened.choice.close()


def test_labels_that_get_another_shape_are_let_go(opened: Opened) -> None:
    stroke(opened.labels, LIVER, 3)
    opened.choice.flush()
    opened.labels.data = np.zeros((2, 3, 4), np.uint8)
    opened.choice.flush()
    assert "has got the shape (2, 3, 4), but the image has (6, 8, 10)" in opened.emitted.problems[-1]
    assert opened.document.annotated == (3,)
    assert opened.emitted.labels[-1][1] is None


def test_an_unusable_image_is_refused(opened: Opened) -> None:
    opened.viewer.add_image(np.arange(12.0).reshape(3, 4), name="flat")
    opened.choice.choose_image("flat")
    assert "flat" in opened.emitted.problems[-1]
    assert opened.emitted.images[-1][1] == "tiny"


def test_read_only_labels_can_be_painted(opened: Opened) -> None:
    painted = np.zeros(SHAPE, np.uint8)
    painted.setflags(write=False)
    kwargs = layer_kwargs(opened.document.volume) | {"name": "read-only"}
    opened.viewer.add_labels(painted, **kwargs)
    opened.choice.choose_labels("read-only")
    stroke(opened.viewer.layers["read-only"], 1, 3)
    opened.choice.flush()
    assert opened.document.annotated == (3,)


def test_a_narrow_type_is_widened_for_the_background_brush(opened: Opened) -> None:
    kwargs = layer_kwargs(opened.document.volume) | {"name": "mask"}
    mask = opened.viewer.add_labels(np.zeros(SHAPE, np.int8), **kwargs)
    opened.choice.choose_labels("mask")
    stroke(mask, BRUSH, 3)
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.BACKGROUND_ONLY


def test_the_plane_changes_while_nothing_is_annotated(opened: Opened) -> None:
    opened.predict(3, 1)
    document = opened.document
    opened.choice.choose_axis(1)
    assert opened.document.axis == 1
    assert opened.document.predictions.indices == ()
    assert opened.choice.sync_of(document) is None
    opened.sync.view.go_to(6)
    assert opened.viewer.dims.current_step[1] == 6
    assert opened.sync.view.index == 6


@pytest.mark.parametrize(
    "annotate",
    [
        lambda opened: stroke(opened.labels, SPLEEN, 3),
        lambda opened: opened.labels.data.fill(LIVER),
        lambda opened: stroke(opened.prediction, SPLEEN, 3),
        lambda opened: opened.mark(SliceState.BACKGROUND_ONLY),
    ],
)
def test_the_plane_stays_once_something_is_annotated(opened: Opened, annotate: Callable[[Opened], None]) -> None:
    opened.predict(3, 1)
    annotate(opened)
    opened.choice.choose_axis(1)
    assert opened.emitted.problems == [
        'What you painted was painted in axial slices. Make new labels ("New") to paint in another plane.'
    ]
    assert opened.document.axis == 0
    opened.choice.new_labels()
    opened.choice.choose_axis(1)
    assert opened.document.axis == 1
    assert opened.document.annotated == ()


def test_the_plane_stays_while_the_labels_are_gone(opened: Opened) -> None:
    opened.viewer.layers.remove(opened.labels)
    opened.choice.choose_axis(1)
    assert 'Press "New" to get it back before' in opened.emitted.problems[-1]
    assert opened.document.axis == 0


def test_live_opacity_and_uncertainty_are_remembered_until_there_is_a_layer(opened: Opened) -> None:
    opened.choice.set_live_visible(False)
    opened.choice.set_opacity(0.3)
    opened.predict(3, 1)
    assert not opened.prediction.visible
    assert opened.prediction.opacity == 0.3
    opened.choice.set_live_visible(True)
    assert opened.prediction.visible
    opened.choice.set_uncertainty_visible(True)
    opened.choice.set_uncertainty_visible(False)
    assert not opened.viewer.layers["tiny uncertainty"].visible


def test_closing_takes_over_the_last_stroke_and_leaves_the_layers(opened: Opened) -> None:
    opened.predict(3, 1)
    document = opened.document
    stroke(opened.labels, SPLEEN, 3)
    opened.choice.close()
    assert document.annotated == (3,)
    assert len(opened.viewer.layers) == 3
    opened.viewer.dims.set_current_step(0, 1)
    stroke(opened.labels, LIVER, 1)
    opened.viewer.layers.remove(opened.image)
    assert document.annotated == (3,)


def test_closing_leaves_nothing_behind(viewer: ViewerModel, tiny: Volume, classes: tuple[LabelClass, ...]) -> None:
    opened = Opened(viewer, tiny, classes)
    opened.predict(3, 1)
    opened.choice.close()
    viewer, gone = opened.viewer, [weakref.ref(opened.choice), weakref.ref(opened.emitted)]
    del opened
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert isinstance(viewer.layers[0], Image)


def test_a_slice_change_looks_at_no_more_than_the_two_slices(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(6):
        opened.predict(index, 1)
    opened.accept_all()
    compared: list[int] = []
    at = opened.document.at
    monkeypatch.setattr(opened.document, "at", lambda index: compared.append(index) or at(index))
    opened.sync.view.go_to(5)
    assert 3 in compared
    assert set(compared) <= {3, 5}


def test_choosing_another_image_completes_the_open_slice(opened: Opened) -> None:
    document = opened.document
    opened.viewer.add_image(np.arange(480.0).reshape(SHAPE), name="other")
    opened.choice.set_training(True)
    stroke(opened.labels, LIVER, 3)
    opened.choice.flush()
    assert document.open_index == 3
    opened.choice.choose_image("other")
    assert document.open_index is None
    assert opened.emitted.slices[-1].state is SliceState.COMPLETE


def test_two_images_can_share_their_labels(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    add_other(opened, tiny)
    document = opened.document
    opened.choice.choose_image("other")
    opened.choice.choose_labels("mine")
    assert opened.document is not document
    with qtbot.waitSignal(opened.choice.signals.slices_annotated):
        stroke(opened.labels, LIVER, 2)
    qtbot.wait(DEBOUNCE_MS)
    assert document.annotated == ()
    opened.emitted.slices.clear()
    opened.choice.choose_image("tiny")
    assert opened.document is document
    assert document.annotated == (2,)
    assert [one.index for one in opened.emitted.slices] == [2]


def test_predictions_reach_their_document_while_another_image_is_chosen(opened: Opened, tiny: Volume) -> None:
    add_other(opened, tiny)
    document, mine = opened.document, opened.prediction_of(3)
    opened.choice.choose_image("other")
    opened.apply([(2, plane(2), plane(40))], document)
    assert document.predictions.indices == (2, 3)
    assert np.array_equal(mine.data[2], plane(SPLEEN))
    assert opened.document.predictions.indices == ()
    assert "other prediction" not in opened.viewer.layers
    opened.choice.choose_image("tiny")
    assert document.annotated == ()


def test_a_correction_of_the_hidden_image_is_emitted_when_it_comes_back(opened: Opened, tiny: Volume) -> None:
    add_other(opened, tiny)
    document, mine = opened.document, opened.prediction_of(3)
    opened.choice.choose_image("other")
    mine.data[3, 4, 5] = SPLEEN
    opened.apply([(3, plane(0), plane(40))], document)
    assert opened.emitted.slices == []
    opened.choice.choose_image("tiny")
    assert document.corrected == (3,)
    assert [one.index for one in opened.emitted.slices] == [3]


def test_predictions_for_a_document_that_is_gone_are_dropped(opened: Opened) -> None:
    document = opened.document
    opened.choice.choose_axis(1)
    opened.apply([(3, plane(1), plane(40))], document)
    assert document.predictions.indices == opened.document.predictions.indices == ()


def test_the_removal_of_an_image_that_is_not_shown_is_reported(opened: Opened, tiny: Volume) -> None:
    add_other(opened, tiny)
    document = opened.document
    opened.choice.choose_image("other")
    opened.emitted.documents.clear()
    opened.viewer.layers.remove(opened.image)
    assert opened.emitted.documents == [opened.document]
    assert opened.choice.sync_of(document) is None


def test_the_results_of_another_image_look_as_the_panel_says(opened: Opened, tiny: Volume) -> None:
    add_other(opened, tiny)
    mine, document = opened.prediction_of(3), opened.document
    opened.choice.set_uncertainty_visible(True)
    opened.choice.choose_image("other")
    opened.choice.set_live_visible(False)
    opened.choice.set_opacity(0.3)
    opened.choice.set_uncertainty_visible(False)
    opened.choice.choose_image("tiny")
    assert not mine.visible
    assert mine.opacity == 0.3
    assert not opened.viewer.layers["tiny uncertainty"].visible
    opened.choice.choose_image("other")
    opened.choice.set_live_visible(True)
    opened.viewer.layers.remove(mine)
    opened.apply([(2, plane(2), plane(40))], document)
    opened.choice.choose_image("tiny")
    assert np.array_equal(opened.prediction.data, document.mask())


def test_a_removed_class_does_not_come_back_with_the_next_stroke(opened: Opened) -> None:
    opened.sync.select_class(SPLEEN)
    opened.remove_class(SPLEEN)
    assert opened.labels.selected_label == LIVER
    assert opened.emitted.selected[-1] == LIVER
    opened.undo()
    opened.sync.select_class(SPLEEN)
    opened.redo()
    assert opened.labels.selected_label == LIVER
    stroke(opened.labels, opened.labels.selected_label, 3)
    opened.choice.flush()
    assert [c.value for c in opened.document.classes] == [0, LIVER]


def test_the_background_brush_stays_chosen_when_a_class_goes(opened: Opened) -> None:
    opened.sync.select_class(BRUSH)
    opened.remove_class(SPLEEN)
    assert opened.labels.selected_label == BRUSH


def test_the_prediction_layer_says_what_it_holds(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.rename_class(LIVER, "Leber")
    assert opened.prediction.metadata[CLASSES_KEY] == opened.document.classes
    assert opened.prediction.metadata[BACKGROUND_BRUSH_KEY] == BRUSH
    names = dict(zip(opened.labels.features["index"], opened.labels.features["name"], strict=True))
    assert (names[LIVER], names[BRUSH]) == ("Leber", "background")


def test_the_fault_of_the_only_image_is_reported(viewer: ViewerModel) -> None:
    viewer.add_image(np.arange(12.0).reshape(3, 4), name="flat")
    choice = LayerChoice(viewer)
    emitted = Emitted(choice)
    choice.choose_image(None)
    assert len(emitted.problems) == 1
    assert "flat" in emitted.problems[0]
    assert emitted.images[-1] == (["flat"], None)
    choice.close()


def test_labels_that_are_refused_are_left_as_they_are(opened: Opened) -> None:
    painted = np.arange(480, dtype=np.int32).reshape(SHAPE)
    painted.setflags(write=False)
    opened.viewer.add_labels(painted, **layer_kwargs(opened.document.volume) | {"name": "too many"})
    opened.choice.choose_labels("too many")
    assert "The labels hold every value from 1 to 255" in opened.emitted.problems[-1]
    assert opened.viewer.layers["too many"].data is painted


def test_an_image_in_other_units_with_a_single_frame_is_overlaid_exactly(
    viewer: ViewerModel,
) -> None:
    data = np.arange(480.0).reshape(1, *SHAPE)
    image = viewer.add_image(data, scale=(1, 3, 2, 2), translate=(0, 5, 6, 7), name="frame")
    choice = LayerChoice(viewer)
    choice.choose_image(None)
    labels = viewer.layers["frame labels"]
    assert np.allclose(labels.extent.world, image.extent.world[:, 1:])
    assert choice.sync is not None
    choice.sync.view.go_to(4)
    assert choice.sync.view.index == 4
    assert viewer.dims.current_step[1] == 4
    assert choice.document is not None
    choice.sync.apply_predictions([(4, plane(1), plane(9))])
    assert np.allclose(viewer.layers["frame prediction"].extent.world, labels.extent.world)
    assert not choice.has_known_orientation
    choice.close()


def test_the_prediction_layer_stays_when_the_plane_changes(opened: Opened) -> None:
    opened.predict(3, 1)
    prediction = opened.prediction
    opened.choice.choose_axis(2)
    assert opened.prediction is prediction
    assert np.array_equal(prediction.data, opened.document.mask())
    opened.apply([(1, np.full((6, 8), 2, np.uint8), np.full((6, 8), 9, np.uint8))], opened.document)
    assert (prediction.data[:, :, 1] == SPLEEN).all()
    prediction.data[0, 0, 1] = LIVER
    opened.choice.flush()
    assert opened.document.corrected == (1,)


def test_a_stroke_during_which_everything_is_closed_ends_in_peace(opened: Opened) -> None:
    mouse = Mouse(opened.labels, (3, 0, 0))
    opened.choice.close()
    mouse.release()
    assert not any(callback.__name__ == "_on_drag" for callback in opened.labels.mouse_drag_callbacks)


def test_undoing_a_correction_shows_the_prediction_again(opened: Opened) -> None:
    opened.predict(3, 1)
    stroke(opened.prediction, SPLEEN, 3)
    opened.choice.flush()
    opened.predict(3, 2)
    opened.undo()
    assert np.array_equal(opened.prediction.data[3], plane(SPLEEN))
    assert opened.emitted.slices[-1].state is SliceState.UNLABELLED


def test_a_class_value_beyond_the_type_of_the_layers_widens_them(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.labels.data = opened.labels.data.astype(np.int32)
    stroke(opened.labels, 300, 3)
    opened.choice.flush()
    assert opened.document.classes[-1].value == 300
    assert opened.prediction.data.dtype == np.uint16
    assert opened.prediction.data[3, 4, 5] == 300
