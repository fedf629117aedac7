"""Strokes and predictions meet in a real viewer: no stroke is lost, and nobody is disturbed at work."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from napari.layers import Image, Labels

from knowsam.data.annotation import IGNORE, LabelClass, LabelSlice, SliceState
from knowsam.data.identity import Identity
from napari_knowsam.layer_bridge import LayerBridge
from napari_knowsam.layer_edits import DEBOUNCE_MS
from napari_knowsam.volume_layers import BACKGROUND_BRUSH_KEY, CLASSES_KEY, image_layer_data, layer_kwargs

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume
    from napari_knowsam.worksheet import Worksheet

SHAPE = (6, 8, 10)
LIVER, SPLEEN, BRUSH = 2, 5, 255
Plane = npt.NDArray[np.uint8]


class Heard:
    """What the signals of a bridge said."""

    def __init__(self, bridge: LayerBridge) -> None:
        self.slices: list[LabelSlice] = []
        self.problems: list[str] = []
        self.classes: list[tuple[LabelClass, ...]] = []
        self.images: list[tuple[list[str], str | None]] = []
        self.labels: list[tuple[list[str], str | None]] = []
        self.selected: list[int] = []
        self.looked_at: list[int] = []
        self.changed: list[tuple[int, ...]] = []
        self.worksheets: list[Worksheet | None] = []
        bridge.slice_annotated.connect(self.slices.append)
        bridge.problem.connect(self.problems.append)
        bridge.classes_changed.connect(self.classes.append)
        bridge.images_changed.connect(lambda names, current: self.images.append((names, current)))
        bridge.labels_changed.connect(lambda names, current: self.labels.append((names, current)))
        bridge.class_selected.connect(self.selected.append)
        bridge.looked_at.connect(self.looked_at.append)
        bridge.slices_changed.connect(self.changed.append)
        bridge.worksheet_changed.connect(lambda: self.worksheets.append(bridge.worksheet))


class Desk:
    """A viewer with one image and its labels, and a bridge that has chosen them."""

    def __init__(self, viewer: Viewer, volume: Volume, classes: tuple[LabelClass, ...]) -> None:
        self.viewer = viewer
        data, kwargs, _ = image_layer_data(volume)
        self.image = viewer.add_image(data, **kwargs)
        kwargs = layer_kwargs(volume) | {"name": "mine"}
        kwargs["metadata"] |= {"knowsam_classes": classes}
        self.labels = viewer.add_labels(np.zeros(SHAPE, np.uint8), **kwargs)
        viewer.dims.set_current_step(0, 3)
        self.bridge = LayerBridge(viewer)
        self.bridge.choose_image(None)
        self.heard = Heard(self.bridge)

    @property
    def sheet(self) -> Worksheet:
        assert self.bridge.worksheet is not None
        return self.bridge.worksheet

    @property
    def prediction(self) -> Labels:
        return self.viewer.layers["tiny prediction"]

    def prediction_of(self, index: int) -> Labels:
        """The prediction layer, after a slice was predicted."""
        self.predict(index, 1)
        return self.prediction

    def predict(self, index: int, class_index: int, percent: int = 40) -> None:
        self.bridge.apply_predictions([(index, plane(class_index), plane(percent))], self.sheet)


@pytest.fixture
def desk(make_napari_viewer: Callable[[], Viewer], tiny: Volume, classes: tuple[LabelClass, ...]) -> Iterator[Desk]:
    desk = Desk(make_napari_viewer(), tiny, classes)
    yield desk
    desk.bridge.close()


def plane(value: int) -> Plane:
    return np.full(SHAPE[1:], value, dtype=np.uint8)


def stroke(layer: Labels, value: int, z: int, y: int = 4, x: int = 5) -> None:
    """Paint one voxel as the brush does."""
    layer.selected_label = value
    layer.brush_size = 1
    layer.n_edit_dimensions = 2
    layer.paint((z, y, x), value)


def add_other(desk: Desk, tiny: Volume) -> Image:
    """Add a second image on the voxels of the first one."""
    return desk.viewer.add_image(np.array(tiny.array), **layer_kwargs(tiny) | {"name": "other"})


class Mouse:
    """The event of a drag, as napari hands it to a layer."""

    type = "mouse_press"


def begin_drag(layer: Labels) -> Callable[[], None]:
    """Press the mouse on a layer, and return what releases it."""
    mouse = Mouse()
    (press,) = [callback for callback in layer.mouse_drag_callbacks if callback.__name__ == "_on_drag"]
    drag = press(layer, mouse)
    next(drag)

    def release() -> None:
        mouse.type = "mouse_release"
        with pytest.raises(StopIteration):
            next(drag)

    return release


def test_the_first_image_and_the_labels_on_its_voxels_are_chosen(desk: Desk) -> None:
    assert desk.sheet.axis == 0
    assert desk.sheet.brush_value == BRUSH
    assert [c.value for c in desk.sheet.classes] == [0, LIVER, SPLEEN]
    assert desk.labels.metadata["knowsam_background_brush"] == BRUSH
    assert desk.bridge.current_index == 3
    assert desk.bridge.has_known_orientation
    assert desk.bridge.holds(desk.sheet)
    assert np.allclose(desk.labels.get_color(LIVER), [230 / 255, 75 / 255, 53 / 255, 1])
    assert desk.labels.get_color(BRUSH)[:3] == pytest.approx([0.5] * 3, abs=0.01)
    assert desk.labels.selected_label == LIVER


def test_labels_are_made_where_there_are_none_and_nothing_else_changes(
    make_napari_viewer: Callable[[], Viewer], tiny: Volume
) -> None:
    viewer = make_napari_viewer()
    data, kwargs, _ = image_layer_data(tiny)
    image = viewer.add_image(data, **kwargs)
    bridge = LayerBridge(viewer)
    heard = Heard(bridge)
    bridge.choose_image("tiny")
    labels = viewer.layers["tiny labels"]
    assert labels.data.dtype == np.uint8
    assert np.allclose(labels.extent.world, image.extent.world)
    assert viewer.layers.selection.active is image
    assert labels.mode == "pan_zoom"
    assert heard.images[-1] == (["tiny"], "tiny")
    assert heard.labels[-1] == (["tiny labels"], "tiny labels")
    bridge.close()


def test_an_image_that_is_opened_later_is_chosen(
    make_napari_viewer: Callable[[], Viewer], tiny: Volume, qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    bridge = LayerBridge(viewer)
    bridge.choose_image(None)
    assert bridge.worksheet is None
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    viewer.add_labels((data > 470).astype(np.uint8), **layer_kwargs(tiny) | {"name": "came with it"})
    qtbot.waitUntil(lambda: bridge.worksheet is not None)
    assert len(viewer.layers) == 2
    assert bridge.worksheet is not None
    assert bridge.worksheet.annotated
    bridge.close()


def test_labels_without_classes_get_one_for_each_value(make_napari_viewer: Callable[[], Viewer], tiny: Volume) -> None:
    viewer = make_napari_viewer()
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    painted = np.zeros(SHAPE, np.int64)
    painted[:, 2, :3] = [1, 7, 255]
    viewer.add_labels(painted, **{key: kwargs[key] for key in ("scale", "translate", "units", "axis_labels")})
    bridge = LayerBridge(viewer)
    bridge.choose_image(None)
    assert bridge.worksheet is not None
    assert bridge.worksheet.axis == 1
    assert [c.value for c in bridge.worksheet.classes] == [0, 1, 7, 255]
    assert bridge.worksheet.brush_value == 254
    bridge.close()


def test_strokes_become_annotations_after_a_moment(desk: Desk, qtbot: QtBot) -> None:
    stroke(desk.labels, LIVER, 3)
    assert desk.sheet.annotated == ()
    with qtbot.waitSignal(desk.bridge.slice_annotated):
        pass
    (heard,) = desk.heard.slices
    assert (heard.index, heard.labels[4, 5], heard.state) == (3, 1, SliceState.COMPLETE)
    assert desk.sheet.undo_name == "painting of slice 3"


def test_undoing_a_stroke_in_napari_is_noticed(desk: Desk, qtbot: QtBot) -> None:
    stroke(desk.labels, LIVER, 3)
    desk.bridge.flush()
    with qtbot.waitSignal(desk.bridge.slice_annotated):
        desk.labels.undo()
    assert desk.sheet.annotated == ()
    assert desk.heard.slices[-1].state is SliceState.UNLABELLED


def test_a_stroke_across_the_slices_reaches_all_of_them(desk: Desk, qtbot: QtBot) -> None:
    desk.viewer.dims.order = (1, 0, 2)
    desk.labels.selected_label = SPLEEN
    desk.labels.data_setitem((np.array([1, 2, 4]), np.array([4, 4, 4]), np.array([5, 5, 5])), SPLEEN)
    with qtbot.waitSignal(desk.bridge.slices_changed):
        pass
    assert desk.sheet.annotated == (1, 2, 4)
    with qtbot.waitSignal(desk.bridge.slices_changed):
        desk.labels.undo()
    assert desk.sheet.annotated == ()


def test_filling_a_volume_reaches_all_slices(desk: Desk, qtbot: QtBot) -> None:
    desk.labels.n_edit_dimensions = 3
    desk.labels.fill((3, 4, 5), SPLEEN)
    with qtbot.waitSignal(desk.bridge.slices_changed):
        pass
    assert desk.sheet.annotated == (0, 1, 2, 3, 4, 5)


def test_another_array_in_the_labels_is_compared_everywhere(desk: Desk, qtbot: QtBot) -> None:
    painted = np.zeros(SHAPE, np.uint8)
    painted[[0, 5], 2] = LIVER
    with qtbot.waitSignal(desk.bridge.slices_changed):
        desk.labels.data = painted
    assert desk.sheet.annotated == (0, 5)


def test_a_slice_change_takes_over_at_once_what_a_script_painted(desk: Desk) -> None:
    desk.labels.data[3, 1] = LIVER
    desk.bridge.go_to(4)
    assert desk.sheet.annotated == (3,)
    assert desk.heard.looked_at == [4]
    assert desk.bridge.current_index == 4


def test_flushing_finds_what_was_painted_in_any_way(desk: Desk) -> None:
    desk.labels.data[0, 1] = LIVER
    desk.bridge.flush()
    assert desk.sheet.annotated == (0,)


def test_an_unknown_value_becomes_a_class(desk: Desk) -> None:
    stroke(desk.labels, 6, 3)
    desk.bridge.flush()
    assert [c.value for c in desk.heard.classes[-1]] == [0, LIVER, SPLEEN, 6]
    assert desk.labels.metadata["knowsam_classes"] == desk.sheet.classes
    assert desk.sheet.label_slice(3).labels[4, 5] == 3
    assert desk.labels.get_color(6)[:3] == pytest.approx(np.array(desk.sheet.classes[3].color) / 255)


def test_a_prediction_shows_between_image_and_labels_and_disturbs_nobody(desk: Desk, qtbot: QtBot) -> None:
    viewer = desk.viewer
    viewer.layers.selection.active = desk.labels
    desk.labels.mode = "paint"
    desk.labels.brush_size = 7
    # Before napari 0.9, the camera was the viewer's own.
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom, camera.center = 3.7, (0, 4, 5)
    before = (camera.model_dump(), viewer.dims.current_step, desk.image.contrast_limits, viewer.cursor.style)
    desk.predict(3, 1)
    desk.bridge.set_uncertainty_visible(True)
    desk.predict(3, 2)
    after = (camera.model_dump(), viewer.dims.current_step, desk.image.contrast_limits, viewer.cursor.style)
    assert before == after
    assert viewer.layers.selection == {desk.labels}
    assert viewer.layers.selection.active is desk.labels
    assert (desk.labels.mode, desk.labels.brush_size) == ("paint", 7)
    assert [layer.name for layer in viewer.layers] == ["tiny", "tiny uncertainty", "tiny prediction", "mine"]
    assert np.array_equal(desk.prediction.data[3], plane(SPLEEN))
    assert viewer.layers["tiny uncertainty"].data[3].max() == 40
    assert np.allclose(desk.prediction.extent.world, desk.image.extent.world)
    assert desk.heard.labels[-1] == (["mine"], "mine")
    assert desk.heard.images[-1] == (["tiny"], "tiny")


def test_an_empty_or_multiple_selection_stays_as_it_is(desk: Desk) -> None:
    desk.viewer.layers.selection.clear()
    desk.predict(3, 1)
    assert not desk.viewer.layers.selection
    desk.viewer.layers.selection.update({desk.image, desk.labels})
    desk.bridge.set_uncertainty_visible(True)
    assert set(desk.viewer.layers.selection) == {desk.image, desk.labels}


def test_only_a_prediction_that_can_be_seen_is_drawn(desk: Desk) -> None:
    desk.predict(3, 1)
    drawn: list[Any] = []
    desk.prediction.events.set_data.connect(drawn.append)
    desk.predict(0, 2)
    desk.predict(3, 1)
    assert drawn == []
    desk.predict(3, 2)
    assert len(drawn) == 1
    assert np.array_equal(desk.prediction.data[0], plane(SPLEEN))


def test_a_rendered_volume_is_drawn_once_a_second_at_most(desk: Desk, qtbot: QtBot) -> None:
    desk.predict(3, 1)
    desk.viewer.dims.ndisplay = 3
    drawn: list[Any] = []
    desk.prediction.events.set_data.connect(drawn.append)
    for index in range(5):
        desk.predict(index, 2)
    assert drawn == []
    qtbot.waitUntil(lambda: len(drawn) == 1, timeout=30_000)
    assert np.array_equal(desk.prediction.data[4], plane(SPLEEN))


def test_painting_over_a_prediction_is_a_correction_that_outlives_the_next_one(desk: Desk, qtbot: QtBot) -> None:
    desk.predict(3, 1)
    with qtbot.waitSignal(desk.bridge.slice_annotated):
        stroke(desk.prediction, SPLEEN, 3)
    desk.predict(3, 0)
    assert desk.sheet.corrected == (3,)
    assert desk.prediction.data[3, 4, 5] == SPLEEN
    assert desk.prediction.data[3, 0, 0] == LIVER
    assert not desk.labels.data.any()
    assert desk.heard.slices[-1].labels[4, 5] == 2


@pytest.mark.parametrize("index", [3, 1])
def test_a_stroke_that_nobody_was_told_of_outlives_a_prediction(desk: Desk, index: int) -> None:
    desk.predict(index, 1)
    desk.prediction.data[index, 4, 5] = SPLEEN
    desk.predict(index, 0)
    assert desk.prediction.data[index, 4, 5] == SPLEEN
    assert desk.prediction.data[index, 0, 0] == LIVER
    assert desk.sheet.corrected == (index,)


def test_during_a_stroke_the_slice_under_it_stays_as_it_is(desk: Desk, qtbot: QtBot) -> None:
    desk.predict(3, 1)
    release = begin_drag(desk.prediction)
    desk.predict(3, 2)
    desk.predict(1, 2)
    assert np.array_equal(desk.prediction.data[3], plane(LIVER))
    assert np.array_equal(desk.prediction.data[1], plane(SPLEEN))
    release()
    qtbot.waitUntil(lambda: np.array_equal(desk.prediction.data[3], plane(SPLEEN)))


def test_a_prediction_that_waits_for_the_end_of_a_stroke_does_not_outlive_its_classes(desk: Desk, qtbot: QtBot) -> None:
    desk.bridge.add_class()
    desk.predict(3, 1)
    release = begin_drag(desk.prediction)
    desk.predict(3, 2)
    desk.bridge.remove_class(SPLEEN)
    release()
    qtbot.wait(2 * DEBOUNCE_MS)
    assert np.array_equal(desk.prediction.data[3], plane(LIVER))


def test_what_came_during_a_stroke_is_shown_before_the_next_action(desk: Desk) -> None:
    desk.predict(3, 1)
    release = begin_drag(desk.prediction)
    desk.predict(3, 2)
    release()
    desk.bridge.accept_slice()
    assert np.array_equal(desk.labels.data[3], plane(SPLEEN))


def test_the_background_brush_on_a_prediction_makes_background(desk: Desk) -> None:
    desk.predict(3, 0)
    stroke(desk.prediction, BRUSH, 3)
    desk.bridge.flush()
    assert desk.prediction.data[3, 4, 5] == 0
    assert desk.sheet.corrected == ()
    assert desk.sheet.undo_name is None
    desk.predict(3, 1)
    stroke(desk.prediction, BRUSH, 3)
    desk.bridge.flush()
    assert desk.prediction.data[3, 4, 5] == 0
    assert desk.sheet.label_slice(3).labels[4, 5] == 0


def test_strokes_on_the_labels_show_in_the_prediction(desk: Desk) -> None:
    desk.predict(3, 1)
    stroke(desk.labels, SPLEEN, 3)
    desk.bridge.flush()
    assert desk.prediction.data[3, 4, 5] == SPLEEN
    assert desk.prediction.data[3, 0, 0] == 0
    assert np.array_equal(desk.prediction.data, desk.sheet.mask())


def test_a_slice_painted_during_training_is_partial_until_it_is_left(desk: Desk) -> None:
    desk.bridge.set_training(True)
    desk.predict(3, 1)
    stroke(desk.labels, SPLEEN, 3)
    desk.bridge.flush()
    assert desk.sheet.open_index == 3
    assert desk.heard.slices[-1].labels[0, 0] == IGNORE
    assert desk.prediction.data[3, 0, 0] == LIVER
    stroke(desk.labels, SPLEEN, 3, x=6)
    desk.bridge.flush()
    assert desk.sheet.state(3) is SliceState.PARTIAL
    desk.bridge.go_to(2)
    assert desk.heard.slices[-1].state is SliceState.COMPLETE
    assert desk.prediction.data[3, 0, 0] == 0
    desk.bridge.go_to(3)
    assert desk.sheet.state(3) is SliceState.COMPLETE


def test_the_end_of_training_completes_the_open_slice(desk: Desk) -> None:
    desk.bridge.set_training(True)
    stroke(desk.labels, SPLEEN, 3)
    desk.bridge.flush()
    desk.bridge.set_training(False)
    assert desk.sheet.open_index is None
    assert desk.heard.slices[-1].state is SliceState.COMPLETE


def test_accepting_paints_the_labels_and_can_be_undone_after_a_slice_change(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.bridge.accept_slice()
    assert np.array_equal(desk.labels.data[3], plane(LIVER))
    assert desk.heard.slices[-1].state is SliceState.COMPLETE
    desk.bridge.go_to(0)
    desk.bridge.undo()
    assert not desk.labels.data.any()
    assert desk.heard.slices[-1].state is SliceState.UNLABELLED
    assert np.array_equal(desk.prediction.data[3], plane(LIVER))
    desk.bridge.redo()
    assert np.array_equal(desk.labels.data[3], plane(LIVER))
    desk.bridge.flush()
    assert desk.sheet.undo_name == "accept slice 3"


def test_accepting_between_takes_the_slices_inside_only(desk: Desk) -> None:
    for index in range(6):
        desk.predict(index, 1)
    for index in (1, 4):
        stroke(desk.labels, SPLEEN, index)
        desk.bridge.flush()
    desk.bridge.accept_between()
    assert desk.sheet.annotated == (1, 2, 3, 4)
    desk.bridge.accept_all()
    assert desk.sheet.annotated == (0, 1, 2, 3, 4, 5)
    assert desk.labels.data[1, 0, 0] == 0


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (lambda bridge: bridge.accept_slice(), "Slice 3 holds nothing to accept"),
        (lambda bridge: bridge.accept_between(), "Annotate a slice on each side"),
        (lambda bridge: bridge.accept_all(), "Train first"),
        (lambda bridge: bridge.mark(SliceState.COMPLETE), "Background only"),
    ],
)
def test_what_cannot_be_done_is_said(desk: Desk, action: Callable[[LayerBridge], None], sentence: str) -> None:
    action(desk.bridge)
    assert sentence in desk.heard.problems[-1]
    assert desk.heard.slices == []


def test_marking_acts_on_the_slice_on_the_screen(desk: Desk) -> None:
    desk.bridge.mark(SliceState.BACKGROUND_ONLY)
    assert desk.sheet.state(3) is SliceState.BACKGROUND_ONLY
    assert desk.heard.slices[-1].index == 3
    stroke(desk.labels, LIVER, 5)
    desk.bridge.go_to(5)
    desk.bridge.mark(SliceState.PARTIAL)
    assert desk.sheet.state(5) is SliceState.PARTIAL


def test_annotated_slices_are_found_in_both_directions(desk: Desk) -> None:
    for index in (0, 2, 5):
        desk.labels.data[index, 4] = LIVER
    desk.bridge.flush()
    desk.bridge.go_to_annotated(1)
    assert desk.bridge.current_index == 5
    desk.bridge.go_to_annotated(1)
    assert desk.bridge.current_index == 5
    desk.bridge.go_to_annotated(-1)
    assert desk.bridge.current_index == 2


def test_a_chosen_class_is_painted_on_both_layers(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.bridge.select_class(SPLEEN)
    assert desk.labels.selected_label == desk.prediction.selected_label == SPLEEN
    desk.prediction.selected_label = LIVER
    assert desk.labels.selected_label == LIVER
    assert desk.heard.selected == [SPLEEN, LIVER]


def test_a_removed_class_leaves_all_layers_and_comes_back(desk: Desk) -> None:
    desk.predict(2, 2)
    stroke(desk.labels, SPLEEN, 3)
    desk.bridge.remove_class(SPLEEN)
    assert not desk.labels.data.any()
    assert not desk.prediction.data.any()
    assert [c.value for c in desk.heard.classes[-1]] == [0, LIVER]
    desk.bridge.undo()
    assert desk.labels.data[3, 4, 5] == SPLEEN
    assert [c.value for c in desk.heard.classes[-1]] == [0, LIVER, SPLEEN]


def test_classes_are_added_renamed_and_recoloured(desk: Desk) -> None:
    desk.bridge.add_class()
    assert desk.labels.selected_label == desk.sheet.classes[-1].value == 6
    desk.bridge.rename_class(6, "lesion")
    desk.bridge.recolor_class(6, (255, 0, 51))
    assert desk.heard.classes[-1][-1] == LabelClass(6, "lesion", (255, 0, 51))
    assert desk.labels.get_color(6) == pytest.approx([1, 0, 0.2, 1])
    assert desk.labels.metadata["knowsam_classes"][-1].name == "lesion"


def test_a_removed_prediction_comes_back_with_all_corrections(desk: Desk) -> None:
    desk.predict(3, 1)
    stroke(desk.prediction, SPLEEN, 3)
    desk.viewer.layers.remove(desk.prediction)
    assert desk.sheet.corrected == (3,)
    desk.bridge.set_live_visible(True)
    assert desk.prediction.data[3, 4, 5] == SPLEEN
    desk.viewer.layers.remove(desk.prediction)
    desk.predict(1, 1)
    assert desk.prediction.data[3, 4, 5] == SPLEEN
    assert np.array_equal(desk.prediction.data[1], plane(LIVER))


def test_removed_labels_stay_annotations_and_can_be_restored(desk: Desk) -> None:
    stroke(desk.labels, LIVER, 3)
    desk.viewer.layers.remove(desk.labels)
    assert 'Press "New" to get it back' in desk.heard.problems[-1]
    assert desk.sheet.annotated == (3,)
    assert desk.heard.labels[-1] == ([], None)
    desk.bridge.restore_labels()
    restored = desk.viewer.layers["tiny labels"]
    assert restored.data[3, 4, 5] == LIVER
    assert desk.heard.labels[-1] == (["tiny labels"], "tiny labels")
    stroke(restored, LIVER, 2)
    desk.bridge.flush()
    assert desk.sheet.annotated == (2, 3)


def test_new_labels_are_empty_and_ready_for_the_brush(desk: Desk) -> None:
    stroke(desk.labels, LIVER, 3)
    sheet = desk.sheet
    desk.bridge.new_labels()
    new = desk.viewer.layers["tiny labels"]
    assert desk.viewer.layers.selection.active is new
    assert new.mode == "paint"
    assert desk.sheet.annotated == ()
    desk.bridge.choose_labels("mine")
    assert desk.sheet is sheet
    assert desk.sheet.annotated == (3,)


def test_the_prediction_layer_follows_the_chosen_labels(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.bridge.set_uncertainty_visible(True)
    desk.bridge.new_labels()
    assert not desk.prediction.data.any()
    desk.predict(2, 1)
    assert np.array_equal(desk.prediction.data[2], plane(1))
    assert desk.viewer.layers["tiny uncertainty"].data[2].max() == 40
    desk.bridge.choose_labels("mine")
    assert np.array_equal(desk.prediction.data[3], plane(LIVER))
    assert not desk.prediction.data[2].any()


def test_names_of_layers_mean_nothing(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.image.name, desk.labels.name, desk.prediction.name = "a", "b", "c"
    assert desk.heard.images[-1] == (["a"], "a")
    assert desk.heard.labels[-1] == (["b"], "b")
    desk.bridge.apply_predictions([(3, plane(2), plane(0))], desk.sheet)
    assert np.array_equal(desk.viewer.layers["c"].data[3], plane(SPLEEN))
    assert len(desk.viewer.layers) == 3


def test_the_work_on_an_image_waits_while_another_is_chosen(desk: Desk, tiny: Volume) -> None:
    sheet = desk.sheet
    stroke(desk.labels, LIVER, 3)
    kwargs = layer_kwargs(tiny) | {"name": "other"}
    desk.viewer.add_image(np.array(tiny.array[:4]), scale=kwargs["scale"], name="other")
    desk.bridge.choose_image("other")
    assert sheet.annotated == (3,)
    assert desk.sheet.volume.shape == (4, 8, 10)
    assert "other labels" in desk.viewer.layers
    desk.bridge.choose_image("tiny")
    assert desk.sheet is sheet
    assert desk.bridge.holds(sheet)


def test_a_removed_image_takes_its_work_along(desk: Desk, qtbot: QtBot) -> None:
    sheet = desk.sheet
    desk.viewer.layers.remove(desk.image)
    assert desk.bridge.worksheet is None
    assert not desk.bridge.holds(sheet)
    assert desk.heard.images[-1] == ([], None)
    desk.bridge.flush()
    desk.bridge.accept_all()


def test_labels_of_another_shape_are_refused(desk: Desk) -> None:
    sheet = desk.sheet
    desk.viewer.add_labels(np.zeros((2, 3, 4), np.uint8), name="small")
    desk.bridge.choose_labels("small")
    assert "small" in desk.heard.problems[-1]
    assert desk.sheet is sheet
    assert desk.heard.labels[-1] == (["mine", "small"], "mine")


def test_labels_of_another_patient_are_neither_taken_along_nor_chosen(
    make_napari_viewer: Callable[[], Viewer], tiny: Volume, classes: tuple[LabelClass, ...]
) -> None:
    desk = Desk(make_napari_viewer(), replace(tiny, identity=Identity(patient_id="0001")), classes)
    other = replace(tiny, identity=Identity(patient_id="0002"))
    desk.viewer.add_image(np.array(other.array), **layer_kwargs(other) | {"name": "other"})
    desk.bridge.choose_image("other")
    assert desk.heard.labels[-1][1] == "other labels"
    desk.bridge.choose_labels("mine")
    assert "mine and other are of different patients" in desk.heard.problems[-1]
    assert "000" not in desk.heard.problems[-1]
    desk.bridge.close()


def test_labels_that_get_another_shape_are_let_go(desk: Desk) -> None:
    stroke(desk.labels, LIVER, 3)
    desk.bridge.flush()
    desk.labels.data = np.zeros((2, 3, 4), np.uint8)
    desk.bridge.flush()
    assert "has got the shape (2, 3, 4), but the image has (6, 8, 10)" in desk.heard.problems[-1]
    assert desk.sheet.annotated == (3,)
    assert desk.heard.labels[-1][1] is None


def test_an_unusable_image_is_refused(desk: Desk) -> None:
    desk.viewer.add_image(np.arange(12.0).reshape(3, 4), name="flat")
    desk.bridge.choose_image("flat")
    assert "flat" in desk.heard.problems[-1]
    assert desk.heard.images[-1][1] == "tiny"


def test_read_only_labels_can_be_painted(desk: Desk) -> None:
    painted = np.zeros(SHAPE, np.uint8)
    painted.setflags(write=False)
    kwargs = layer_kwargs(desk.sheet.volume) | {"name": "read-only"}
    desk.viewer.add_labels(painted, **kwargs)
    desk.bridge.choose_labels("read-only")
    stroke(desk.viewer.layers["read-only"], 1, 3)
    desk.bridge.flush()
    assert desk.sheet.annotated == (3,)


def test_a_narrow_type_is_widened_for_the_background_brush(desk: Desk) -> None:
    kwargs = layer_kwargs(desk.sheet.volume) | {"name": "mask"}
    mask = desk.viewer.add_labels(np.zeros(SHAPE, np.int8), **kwargs)
    desk.bridge.choose_labels("mask")
    stroke(mask, BRUSH, 3)
    desk.bridge.flush()
    assert desk.sheet.state(3) is SliceState.BACKGROUND_ONLY


def test_the_plane_changes_while_nothing_is_annotated(desk: Desk) -> None:
    desk.predict(3, 1)
    sheet = desk.sheet
    desk.bridge.choose_axis(1)
    assert desk.sheet.axis == 1
    assert desk.sheet.predicted == ()
    assert not desk.bridge.holds(sheet)
    desk.bridge.go_to(6)
    assert desk.viewer.dims.current_step[1] == 6
    assert desk.bridge.current_index == 6


@pytest.mark.parametrize(
    "annotate",
    [
        lambda desk: stroke(desk.labels, LIVER, 3),
        lambda desk: desk.labels.data.fill(LIVER),
        lambda desk: stroke(desk.prediction, SPLEEN, 3),
        lambda desk: desk.bridge.mark(SliceState.BACKGROUND_ONLY),
    ],
)
def test_the_plane_stays_once_something_is_annotated(desk: Desk, annotate: Callable[[Desk], None]) -> None:
    desk.predict(3, 1)
    annotate(desk)
    desk.bridge.choose_axis(1)
    assert desk.heard.problems == [
        'What you painted was painted in axial slices. Make new labels ("New") to paint in another plane.'
    ]
    assert desk.sheet.axis == 0
    desk.bridge.new_labels()
    desk.bridge.choose_axis(1)
    assert desk.sheet.axis == 1
    assert desk.sheet.annotated == ()


def test_the_plane_stays_while_the_labels_are_gone(desk: Desk) -> None:
    desk.viewer.layers.remove(desk.labels)
    desk.bridge.choose_axis(1)
    assert 'Press "New" to get it back before' in desk.heard.problems[-1]
    assert desk.sheet.axis == 0


def test_live_opacity_and_uncertainty_are_remembered_until_there_is_a_layer(desk: Desk) -> None:
    desk.bridge.set_live_visible(False)
    desk.bridge.set_opacity(0.3)
    desk.predict(3, 1)
    assert not desk.prediction.visible
    assert desk.prediction.opacity == 0.3
    desk.bridge.set_live_visible(True)
    assert desk.prediction.visible
    desk.bridge.set_uncertainty_visible(True)
    desk.bridge.set_uncertainty_visible(False)
    assert not desk.viewer.layers["tiny uncertainty"].visible


def test_closing_takes_over_the_last_stroke_and_leaves_the_layers(desk: Desk) -> None:
    desk.predict(3, 1)
    sheet = desk.sheet
    stroke(desk.labels, LIVER, 3)
    desk.bridge.close()
    assert sheet.annotated == (3,)
    assert len(desk.viewer.layers) == 3
    desk.viewer.dims.set_current_step(0, 1)
    stroke(desk.labels, LIVER, 1)
    desk.viewer.layers.remove(desk.image)
    assert sheet.annotated == (3,)


def test_a_closed_bridge_leaves_nothing_behind(
    make_napari_viewer: Callable[[], Viewer], tiny: Volume, classes: tuple[LabelClass, ...]
) -> None:
    desk = Desk(make_napari_viewer(), tiny, classes)
    desk.predict(3, 1)
    desk.bridge.close()
    viewer, gone = desk.viewer, [weakref.ref(desk.bridge), weakref.ref(desk.heard)]
    del desk
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert isinstance(viewer.layers[0], Image)


def test_a_slice_change_looks_at_no_more_than_the_two_slices(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(6):
        desk.predict(index, 1)
    desk.bridge.accept_all()
    compared: list[int] = []
    shown = desk.sheet.shown
    monkeypatch.setattr(desk.sheet, "shown", lambda index: compared.append(index) or shown(index))
    desk.bridge.go_to(5)
    assert 3 in compared
    assert set(compared) <= {3, 5}


def test_choosing_another_image_completes_the_open_slice(desk: Desk) -> None:
    sheet = desk.sheet
    desk.viewer.add_image(np.arange(480.0).reshape(SHAPE), name="other")
    desk.bridge.set_training(True)
    stroke(desk.labels, LIVER, 3)
    desk.bridge.flush()
    assert sheet.open_index == 3
    desk.bridge.choose_image("other")
    assert sheet.open_index is None
    assert desk.heard.slices[-1].state is SliceState.COMPLETE


def test_two_images_can_share_their_labels(desk: Desk, tiny: Volume, qtbot: QtBot) -> None:
    add_other(desk, tiny)
    sheet = desk.sheet
    desk.bridge.choose_image("other")
    desk.bridge.choose_labels("mine")
    assert desk.sheet is not sheet
    with qtbot.waitSignal(desk.bridge.slice_annotated):
        stroke(desk.labels, LIVER, 2)
    qtbot.wait(DEBOUNCE_MS)
    assert sheet.annotated == ()
    desk.heard.slices.clear()
    desk.bridge.choose_image("tiny")
    assert desk.sheet is sheet
    assert sheet.annotated == (2,)
    assert [one.index for one in desk.heard.slices] == [2]


def test_predictions_reach_their_worksheet_while_another_image_is_chosen(desk: Desk, tiny: Volume) -> None:
    add_other(desk, tiny)
    sheet, mine = desk.sheet, desk.prediction_of(3)
    desk.bridge.choose_image("other")
    desk.bridge.apply_predictions([(2, plane(2), plane(40))], sheet)
    assert sheet.predicted == (2, 3)
    assert np.array_equal(mine.data[2], plane(SPLEEN))
    assert desk.sheet.predicted == ()
    assert "other prediction" not in desk.viewer.layers
    desk.bridge.choose_image("tiny")
    assert sheet.annotated == ()


def test_a_correction_of_the_hidden_image_is_told_of_when_it_comes_back(desk: Desk, tiny: Volume) -> None:
    add_other(desk, tiny)
    sheet, mine = desk.sheet, desk.prediction_of(3)
    desk.bridge.choose_image("other")
    mine.data[3, 4, 5] = SPLEEN
    desk.bridge.apply_predictions([(3, plane(0), plane(40))], sheet)
    assert desk.heard.slices == []
    desk.bridge.choose_image("tiny")
    assert sheet.corrected == (3,)
    assert [one.index for one in desk.heard.slices] == [3]


def test_predictions_for_a_worksheet_that_is_gone_are_dropped(desk: Desk) -> None:
    sheet = desk.sheet
    desk.bridge.choose_axis(1)
    desk.bridge.apply_predictions([(3, plane(1), plane(40))], sheet)
    assert sheet.predicted == desk.sheet.predicted == ()


def test_the_removal_of_an_image_that_is_not_shown_is_told(desk: Desk, tiny: Volume) -> None:
    add_other(desk, tiny)
    sheet = desk.sheet
    desk.bridge.choose_image("other")
    desk.heard.worksheets.clear()
    desk.viewer.layers.remove(desk.image)
    assert desk.heard.worksheets == [desk.sheet]
    assert not desk.bridge.holds(sheet)


def test_the_results_of_another_image_look_as_the_panel_says(desk: Desk, tiny: Volume) -> None:
    add_other(desk, tiny)
    mine, sheet = desk.prediction_of(3), desk.sheet
    desk.bridge.set_uncertainty_visible(True)
    desk.bridge.choose_image("other")
    desk.bridge.set_live_visible(False)
    desk.bridge.set_opacity(0.3)
    desk.bridge.set_uncertainty_visible(False)
    desk.bridge.choose_image("tiny")
    assert not mine.visible
    assert mine.opacity == 0.3
    assert not desk.viewer.layers["tiny uncertainty"].visible
    desk.bridge.choose_image("other")
    desk.bridge.set_live_visible(True)
    desk.viewer.layers.remove(mine)
    desk.bridge.apply_predictions([(2, plane(2), plane(40))], sheet)
    desk.bridge.choose_image("tiny")
    assert np.array_equal(desk.prediction.data, sheet.mask())


def test_a_removed_class_does_not_come_back_with_the_next_stroke(desk: Desk) -> None:
    desk.bridge.select_class(SPLEEN)
    desk.bridge.remove_class(SPLEEN)
    assert desk.labels.selected_label == LIVER
    assert desk.heard.selected[-1] == LIVER
    desk.bridge.undo()
    desk.bridge.select_class(SPLEEN)
    desk.bridge.redo()
    assert desk.labels.selected_label == LIVER
    stroke(desk.labels, desk.labels.selected_label, 3)
    desk.bridge.flush()
    assert [c.value for c in desk.sheet.classes] == [0, LIVER]


def test_the_background_brush_stays_chosen_when_a_class_goes(desk: Desk) -> None:
    desk.bridge.select_class(BRUSH)
    desk.bridge.remove_class(SPLEEN)
    assert desk.labels.selected_label == BRUSH


def test_the_prediction_layer_says_what_it_holds(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.bridge.rename_class(LIVER, "Leber")
    assert desk.prediction.metadata[CLASSES_KEY] == desk.sheet.classes
    assert desk.prediction.metadata[BACKGROUND_BRUSH_KEY] == BRUSH
    names = dict(zip(desk.labels.features["index"], desk.labels.features["name"], strict=True))
    assert (names[LIVER], names[BRUSH]) == ("Leber", "background")


def test_why_the_only_image_cannot_be_used_is_said(make_napari_viewer: Callable[[], Viewer]) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.arange(12.0).reshape(3, 4), name="flat")
    bridge = LayerBridge(viewer)
    heard = Heard(bridge)
    bridge.choose_image(None)
    assert len(heard.problems) == 1
    assert "flat" in heard.problems[0]
    assert heard.images[-1] == (["flat"], None)
    bridge.close()


def test_labels_that_are_refused_are_left_as_they_are(desk: Desk) -> None:
    painted = np.arange(480, dtype=np.int32).reshape(SHAPE)
    painted.setflags(write=False)
    desk.viewer.add_labels(painted, **layer_kwargs(desk.sheet.volume) | {"name": "too many"})
    desk.bridge.choose_labels("too many")
    assert "The labels hold every value from 1 to 255" in desk.heard.problems[-1]
    assert desk.viewer.layers["too many"].data is painted


def test_an_image_in_other_units_with_a_single_frame_is_overlaid_exactly(
    make_napari_viewer: Callable[[], Viewer],
) -> None:
    viewer = make_napari_viewer()
    data = np.arange(480.0).reshape(1, *SHAPE)
    image = viewer.add_image(data, scale=(1, 3, 2, 2), translate=(0, 5, 6, 7), name="frame")
    bridge = LayerBridge(viewer)
    bridge.choose_image(None)
    labels = viewer.layers["frame labels"]
    assert np.allclose(labels.extent.world, image.extent.world[:, 1:])
    bridge.go_to(4)
    assert bridge.current_index == 4
    assert viewer.dims.current_step[1] == 4
    assert bridge.worksheet is not None
    bridge.apply_predictions([(4, plane(1), plane(9))], bridge.worksheet)
    assert np.allclose(viewer.layers["frame prediction"].extent.world, labels.extent.world)
    assert not bridge.has_known_orientation
    bridge.close()


def test_the_prediction_layer_stays_when_the_plane_changes(desk: Desk) -> None:
    desk.predict(3, 1)
    prediction = desk.prediction
    desk.bridge.choose_axis(2)
    assert desk.prediction is prediction
    assert np.array_equal(prediction.data, desk.sheet.mask())
    desk.bridge.apply_predictions([(1, np.full((6, 8), 2, np.uint8), np.full((6, 8), 9, np.uint8))], desk.sheet)
    assert (prediction.data[:, :, 1] == SPLEEN).all()
    prediction.data[0, 0, 1] = LIVER
    desk.bridge.flush()
    assert desk.sheet.corrected == (1,)


def test_a_stroke_during_which_the_bridge_closes_ends_in_peace(desk: Desk) -> None:
    release = begin_drag(desk.labels)
    desk.bridge.close()
    release()
    assert not any(callback.__name__ == "_on_drag" for callback in desk.labels.mouse_drag_callbacks)


def test_undoing_a_correction_shows_the_prediction_again(desk: Desk) -> None:
    desk.predict(3, 1)
    stroke(desk.prediction, SPLEEN, 3)
    desk.bridge.flush()
    desk.predict(3, 2)
    desk.bridge.undo()
    assert np.array_equal(desk.prediction.data[3], plane(SPLEEN))
    assert desk.heard.slices[-1].state is SliceState.UNLABELLED


def test_a_class_value_beyond_the_type_of_the_layers_widens_them(desk: Desk) -> None:
    desk.predict(3, 1)
    desk.labels.data = desk.labels.data.astype(np.int32)
    stroke(desk.labels, 300, 3)
    desk.bridge.flush()
    assert desk.sheet.classes[-1].value == 300
    assert desk.prediction.data.dtype == np.uint16
    assert desk.prediction.data[3, 4, 5] == 300
