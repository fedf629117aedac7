"""What is selected and painted on in napari is what the panel works on, or the panel says what it works on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from opened import LIVER, SHAPE, SPLEEN, add_other, plane, stroke

from knowsam.data.annotation import SliceState
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import layer_kwargs, screen_grid

if TYPE_CHECKING:
    from napari.layers import Labels
    from opened import Opened
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume
    from knowsam.document.annotation_document import AnnotationDocument


def add_labels(opened: Opened, tiny: Volume, name: str = "theirs") -> Labels:
    """Add a labels layer as somebody does who does not know of the panel."""
    return opened.viewer.add_labels(np.zeros(SHAPE, np.uint8), **layer_kwargs(tiny) | {"name": name})


def test_another_volume_that_is_selected_in_the_list_is_worked_on(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    first, other = opened.document, add_other(opened, tiny)
    qtbot.waitUntil(lambda: opened.emitted.images[-1][1] == "other")
    assert opened.document is not first
    opened.viewer.layers.selection.active = opened.image
    qtbot.waitUntil(lambda: opened.document is first)
    opened.viewer.layers.selection.active = other
    qtbot.waitUntil(lambda: opened.sync.image is other)


def test_a_volume_on_the_same_grid_gets_labels_of_its_own(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    stroke(opened.labels, LIVER, 3)
    opened.choice.flush()
    first, other = opened.document, add_other(opened, tiny)
    qtbot.waitUntil(lambda: opened.sync.image is other)
    assert not opened.document.annotated
    assert opened.sync.layers.labels is not None
    assert opened.sync.layers.labels.layer is not opened.labels
    assert first.annotated == (3,)


def test_a_selected_layer_brings_the_volume_it_belongs_to(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    first, prediction = opened.document, opened.prediction_of(3)
    opened.choice.new_labels()
    second = opened.document
    for layer, document in ((opened.labels, first), (opened.viewer.layers["tiny labels"], second)):
        opened.viewer.layers.selection.active = layer
        qtbot.waitUntil(lambda document=document: opened.document is document)
    opened.viewer.layers.selection.active = prediction
    qtbot.wait(50)
    assert opened.document is second


def test_a_volume_that_cannot_be_used_is_not_worked_on_with_a_message(opened: Opened, qtbot: QtBot) -> None:
    opened.viewer.add_image(np.zeros((8, 10)), name="photo")
    qtbot.waitUntil(lambda: bool(opened.emitted.problems))
    assert "photo" in opened.emitted.problems[-1]
    assert opened.sync.image is opened.image


def test_before_anything_is_painted_the_layer_somebody_paints_on_counts(opened: Opened, tiny: Volume) -> None:
    theirs = add_labels(opened, tiny)
    stroke(theirs, SPLEEN, 3)
    assert opened.emitted.labels[-1][1] == "theirs"
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.COMPLETE
    assert opened.document.axis == 0


def open_painted(opened: Opened, volume: Volume, name: str, qtbot: QtBot) -> Labels:
    """Open labels that somebody has painted on the voxels of a volume."""
    values = np.zeros(volume.shape, np.uint8)
    values[2:4, 2:5, 3:6] = SPLEEN
    labels = opened.viewer.add_labels(values, **layer_kwargs(volume) | {"name": name})
    qtbot.wait(20)
    return labels


def test_painted_labels_that_are_opened_after_their_image_count_if_nothing_is_painted(
    opened: Opened, tiny: Volume, qtbot: QtBot
) -> None:
    open_painted(opened, tiny, "theirs", qtbot)
    assert opened.emitted.labels[-1][1] == "theirs"
    assert opened.document.annotated == (2, 3)
    open_painted(opened, tiny, "others", qtbot)
    assert opened.emitted.labels[-1][1] == "theirs"
    assert opened.emitted.problems[-1] == (
        "others was opened, but what counts for tiny is painted on theirs. "
        "Choose the labels in the panel to change that."
    )


def test_painted_labels_on_the_voxels_of_several_images_are_reported_not_to_count(
    opened: Opened, tiny: Volume, qtbot: QtBot
) -> None:
    add_other(opened, tiny)
    qtbot.waitUntil(lambda: opened.sync.image.name == "other")
    open_painted(opened, tiny, "whose", qtbot)
    assert not opened.document.annotated
    assert opened.emitted.problems == [
        "whose lies on the voxels of other and tiny, and does not count yet. "
        "Choose the image it belongs to, and then whose under Labels."
    ]


def test_painted_labels_that_are_opened_bring_the_only_image_whose_voxels_they_lie_on(
    opened: Opened, tiny: Volume, qtbot: QtBot
) -> None:
    large = replace(tiny, array=np.tile(tiny.array, (2, 1, 1)), grid=screen_grid((12, 8, 10), (1, 1, 1), (0, 0, 0)))
    opened.viewer.add_image(large.array, **layer_kwargs(large) | {"name": "large"})
    qtbot.waitUntil(lambda: opened.sync.image.name == "large")
    theirs = open_painted(opened, tiny, "theirs", qtbot)
    assert opened.sync.image is opened.image
    assert opened.document.annotated == (2, 3)
    assert theirs in opened.sync.layers
    lost = open_painted(opened, replace(large, grid=screen_grid((12, 8, 10), (2, 1, 1), (0, 0, 0))), "lost", qtbot)
    assert "do not lie on the grid of the image" in opened.emitted.problems[-1]
    assert lost not in opened.sync.layers


def test_empty_labels_go_once_opened_ones_take_their_place(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    opened.choice.new_labels()
    assert "tiny labels" in opened.viewer.layers
    open_painted(opened, tiny, "theirs", qtbot)
    assert [layer.name for layer in opened.viewer.layers] == ["tiny", "mine", "theirs"]
    opened.choice.choose_image("tiny")
    assert opened.emitted.labels[-1] == (["mine", "theirs"], "theirs")


def test_empty_labels_go_with_their_image_unless_they_are_those_of_another_one(
    opened: Opened, tiny: Volume, qtbot: QtBot
) -> None:
    for is_shared in (True, False):
        image = add_other(opened, tiny)
        opened.choice.choose_image(image.name)
        made = opened.sync.layers.labels.layer
        if is_shared:
            opened.choice.choose_image("tiny")
            opened.choice.choose_labels(made.name)
        opened.viewer.layers.remove(image)
        qtbot.wait(20)
        assert (made in opened.viewer.layers) is is_shared
    assert opened.labels in opened.viewer.layers


def test_strokes_on_another_labels_layer_are_reported_once_not_to_count(opened: Opened, tiny: Volume) -> None:
    stroke(opened.labels, LIVER, 3)
    opened.choice.flush()
    theirs = add_labels(opened, tiny)
    stroke(theirs, SPLEEN, 2)
    stroke(theirs, SPLEEN, 1)
    assert opened.emitted.problems == [
        "You paint on theirs, but what counts for tiny is painted on mine. "
        "Choose the labels in the panel to change that."
    ]
    assert opened.document.annotated == (3,)
    opened.choice.choose_labels("theirs")
    assert opened.emitted.labels[-1][1] == "theirs"


def test_labels_of_another_shape_are_reported_not_to_belong_to_the_volume(opened: Opened) -> None:
    small = opened.viewer.add_labels(np.zeros((2, 3, 4), np.uint8), name="small")
    stroke(small, SPLEEN, 0, 1, 1)
    assert "The labels small have the shape" in opened.emitted.problems[-1]
    assert opened.emitted.labels[-1][1] == "mine"


def test_results_go_with_their_image_and_what_was_painted_stays(opened: Opened, qtbot: QtBot) -> None:
    opened.predict(3, 1)
    opened.choice.set_uncertainty_visible(True)
    assert len(opened.viewer.layers) == 4
    opened.viewer.layers.remove(opened.image)
    qtbot.waitUntil(lambda: list(opened.viewer.layers) == [opened.labels])


def test_a_prediction_that_was_corrected_stays_when_its_image_goes_with_a_message(
    opened: Opened, tiny: Volume, qtbot: QtBot
) -> None:
    prediction, other, document = opened.prediction_of(3), add_other(opened, tiny), opened.document
    stayed: list[dict[str, AnnotationDocument]] = []
    opened.choice.signals.corrections_stayed.connect(stayed.append)
    opened.choice.set_uncertainty_visible(True)
    stroke(prediction, SPLEEN, 3)
    opened.viewer.layers.remove(opened.image)
    qtbot.waitUntil(lambda: "tiny uncertainty" not in opened.viewer.layers)
    assert opened.sync.image is other
    assert prediction in opened.viewer.layers
    assert prediction.data[3, 4, 5] == SPLEEN
    assert stayed == [{"tiny prediction": document}]


def shown(opened: Opened) -> list[str]:
    return sorted(layer.name for layer in opened.viewer.layers if layer.visible)


def test_what_lies_on_an_image_is_hidden_while_another_is_chosen_and_comes_back_as_it_was(
    opened: Opened, tiny: Volume
) -> None:
    opened.predict(3, 1)
    opened.choice.set_uncertainty_visible(True)
    opened.viewer.layers["tiny uncertainty"].visible = False
    add_other(opened, tiny)
    before = shown(opened)
    opened.choice.choose_image("other")
    assert shown(opened) == ["other", "other labels", "tiny"]
    opened.choice.choose_image("tiny")
    assert shown(opened) == before
    assert "tiny prediction" in before
    assert "tiny uncertainty" not in before


def test_labels_that_two_images_share_are_seen_with_both(opened: Opened, tiny: Volume) -> None:
    add_other(opened, tiny)
    opened.choice.choose_image("other")
    opened.choice.choose_labels("mine")
    add_other(opened, tiny).name = "third"
    for name, is_shared in (("tiny", True), ("other", True), ("third", False), ("tiny", True)):
        opened.choice.choose_image(name)
        assert opened.labels.visible is is_shared


def test_labels_that_were_opened_before_their_image_lie_over_it(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    theirs = add_labels(opened, tiny)
    opened.viewer.layers.remove(opened.image)
    other = add_other(opened, tiny)
    qtbot.waitUntil(lambda: opened.choice.sync is not None)
    assert theirs in opened.sync.layers
    assert list(opened.viewer.layers) == [opened.labels, other, theirs]


def test_a_prediction_whose_image_is_gone_is_no_labels(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    left, other = opened.prediction_of(3), add_other(opened, tiny)
    stroke(left, SPLEEN, 3)
    opened.viewer.layers.remove(opened.image)
    qtbot.waitUntil(lambda: opened.choice.sync is not None and opened.sync.image is other)
    assert opened.emitted.labels[-1] == (["mine"], "mine")
    stroke(left, SPLEEN, 2)
    assert opened.emitted.problems[-1].startswith("The layer tiny prediction shows a prediction, but labels are")
    opened.choice.flush()
    assert not opened.document.annotated


def test_what_was_chosen_for_all_images_meanwhile_counts_when_results_come_back(opened: Opened, tiny: Volume) -> None:
    prediction = opened.prediction_of(3)
    add_other(opened, tiny)
    opened.choice.choose_image("other")
    opened.choice.set_live_visible(False)
    opened.choice.choose_image("tiny")
    assert not prediction.visible


def test_predictions_that_came_while_another_image_was_chosen_are_seen_when_the_image_comes_back(
    opened: Opened, tiny: Volume
) -> None:
    document = opened.document
    add_other(opened, tiny)
    opened.choice.choose_image("other")
    opened.apply([(3, plane(1), plane(40))], document)
    opened.choice.choose_image("tiny")
    assert "tiny prediction" in shown(opened)


def test_an_image_that_is_chosen_is_seen(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    other, overlay = add_other(opened, tiny), add_other(opened, tiny)
    overlay.blending = "additive"
    opened.choice.show_image(opened.image.name)
    assert opened.sync.image is opened.image
    assert [one.visible for one in (opened.image, other, overlay)] == [True, False, True]
    opened.choice.show_image(other.name)
    assert [one.visible for one in (opened.image, other, overlay)] == [True, True, True]
    opened.viewer.layers.selection.active = opened.image
    qtbot.waitUntil(lambda: opened.sync.image is opened.image)
    assert [one.visible for one in (opened.image, other, overlay)] == [True, False, True]


def test_images_that_stand_beside_the_chosen_one_in_the_grid_stay_visible(opened: Opened, tiny: Volume) -> None:
    other, grid = add_other(opened, tiny), opened.viewer.canvas.grid
    grid.enabled = True
    opened.choice.show_image(opened.image.name)
    assert other.visible
    grid.stride = len(opened.viewer.layers)
    opened.choice.show_image(opened.image.name)
    assert not other.visible


def test_the_chosen_image_is_to_be_seen_when_the_grid_is_switched_off(opened: Opened, tiny: Volume) -> None:
    other = add_other(opened, tiny)
    opened.viewer.canvas.grid.enabled = True
    opened.choice.show_image(opened.image.name)
    assert other.visible
    opened.viewer.canvas.grid.enabled = False
    assert not other.visible
    assert opened.image.visible


def test_no_results_stay_hidden_after_closing(opened: Opened, tiny: Volume) -> None:
    opened.predict(3, 1)
    add_other(opened, tiny)
    opened.choice.choose_image("other")
    opened.choice.close()
    assert "tiny prediction" in shown(opened)


def test_a_corrected_prediction_is_seen_when_its_image_goes_while_another_is_chosen(
    opened: Opened, tiny: Volume
) -> None:
    stroke(opened.prediction_of(3), SPLEEN, 3)
    add_other(opened, tiny)
    opened.choice.choose_image("other")
    assert "tiny prediction" not in shown(opened)
    opened.viewer.layers.remove(opened.image)
    assert "tiny prediction" in shown(opened)
    # It is told of; what was painted is another image's, and lies in the list of layers.
    assert "mine" not in shown(opened)


def test_layers_that_are_removed_together_are_removed(opened: Opened, qtbot: QtBot) -> None:
    stayed: list[dict[str, AnnotationDocument]] = []
    opened.choice.signals.corrections_stayed.connect(stayed.append)
    stroke(opened.prediction_of(3), SPLEEN, 3)
    opened.viewer.layers.select_all()
    opened.viewer.layers.remove_selected()
    qtbot.wait(50)
    assert list(opened.viewer.layers) == []
    assert stayed == []


def test_a_prediction_of_a_panel_that_was_closed_does_not_cover_that_of_the_next_one(opened: Opened) -> None:
    left = opened.prediction_of(3)
    opened.choice.close()
    assert left.visible
    opened.choice = LayerChoice(opened.viewer)
    opened.choice.choose_image(None)
    opened.predict(2, 1)
    (live,) = (one.layer for one in opened.sync.layers.results)
    assert live is not left
    assert [live.visible, left.visible, opened.labels.visible] == [True, False, True]
    assert [live.name, left.name] == ["tiny prediction", "tiny prediction (earlier)"]


def test_nothing_is_chosen_any_more_after_closing(opened: Opened, tiny: Volume, qtbot: QtBot) -> None:
    opened.choice.close()
    stroke(add_labels(opened, tiny), SPLEEN, 3)
    add_other(opened, tiny)
    qtbot.wait(50)
    assert opened.choice.document is None
