"""What a stroke means: painting afresh where nothing is predicted, a correction where something is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from opened import BRUSH, LIVER, SPLEEN, begin_drag, click, plane, stroke

from knowsam.data.annotation import IGNORE, SliceState
from knowsam.document.annotation_document import AnnotationDocument

if TYPE_CHECKING:
    from opened import Opened, Plane


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
    assert opened.heard.slices[-1].state is SliceState.COMPLETE
    assert opened.document.history.undo_name == "correction of slice 3"
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
    release = begin_drag(opened.labels, (3, 4, 5))
    opened.predict(3, 1)
    release()
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
    assert opened.heard.slices[-1].labels[0, 0] == IGNORE
    stroke(opened.labels, SPLEEN, 3, x=6)
    opened.choice.flush()
    assert opened.document.state(3) is SliceState.PARTIAL
    opened.sync.view.go_to(2)
    assert opened.heard.slices[-1].state is SliceState.COMPLETE
    opened.sync.view.go_to(3)
    assert opened.document.state(3) is SliceState.COMPLETE


def test_a_stroke_of_an_unsaid_class_on_a_prediction_is_undone_with_it(opened: Opened) -> None:
    opened.predict(3, 1)
    click(opened.labels, "paint", 9, (3, 4, 5))
    opened.choice.flush()
    assert opened.prediction.data[3, 4, 5] == 9
    opened.sync.change(AnnotationDocument.undo)
    assert np.array_equal(opened.prediction.data[3], plane(LIVER))
