"""Finished volumes propose a mask of another one."""

from __future__ import annotations

import numpy as np
import pytest
from gui_robot import PROPAGATING, Robot

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from knowsam.training import proposal_session
from knowsam.training.schedule import Budget

ENTRY = "Propose from finished volumes"


@pytest.fixture
def robot(robot: Robot) -> Robot:
    robot.settings(Budget(seconds=120.0), PROPAGATING)
    return robot


def test_without_a_finished_volume_it_is_said_what_one_is(robot: Robot) -> None:
    robot.choose(ENTRY)
    assert "No other open volume is finished" in robot.result_message
    assert not robot.presenter.controller.is_busy


def test_a_finished_volume_proposes_and_a_correction_takes_its_place(robot: Robot) -> None:
    first = robot.presenter.layers.sync
    assert first is not None
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz").array
    first.change(AnnotationDocument.paint, dict(enumerate(np.moveaxis(truth, first.document.axis, 0))))
    assert first.document.is_finished
    mask = first.document.mask()
    image = robot.viewer.layers["phantom"]
    moved = np.roll(np.asarray(image.data), 2, axis=2)
    added = robot.viewer.add_image(moved, name="next", scale=image.scale, affine=image.affine, metadata=image.metadata)
    robot.wait_until(lambda: robot.presenter.layers.sync is not None and robot.presenter.layers.sync.image is added)
    work = robot.presenter.layers.document
    assert work is not None
    assert work is not first.document
    assert not work.annotated
    robot.choose(ENTRY)
    assert robot.presenter.controller.is_busy
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)
    assert [one.name for one in work.classes] == [one.name for one in first.document.classes]
    expected = np.roll(mask, 2, axis=2)
    for value in (one.value for one in work.classes[1:]):
        both = ((work.mask() == value) & (expected == value)).sum()
        assert 2 * both / ((work.mask() == value).sum() + (expected == value).sum()) > 0.7
    assert not work.annotated
    before = work.mask()
    held = np.flatnonzero(before.any(axis=(1, 2)))
    sync = robot.presenter.layers.sync
    assert sync is not None
    for index in (int(held[len(held) // 4]), int(held[3 * len(held) // 4])):
        sync.change(AnnotationDocument.accept, [index])
    robot.wait_until(lambda: bool((work.mask() != before).any()))
    np.testing.assert_array_equal(first.document.mask(), mask)


def test_three_finished_volumes_teach_how_their_proposals_err(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_session, "CORRECTION_BUDGET", Budget(steps=2))
    truth = read_labels(sample_folder() / "phantom_labels.nii.gz").array
    image, classes = robot.viewer.layers["phantom"], robot.document.classes
    for shift in (0, 1, 2, 3):
        if shift:
            moved = np.roll(np.asarray(image.data), shift, axis=2)
            robot.viewer.add_image(
                moved, name=f"shifted {shift}", scale=image.scale, affine=image.affine, metadata=image.metadata
            )
            robot.wait_until(lambda: robot.document.volume.name == f"shifted {shift}")  # noqa: B023
        if shift < 3:
            slices = np.moveaxis(np.roll(truth, shift, axis=2), robot.document.axis, 0)
            sync = robot.presenter.layers.require_sync()
            sync.change(AnnotationDocument.take_classes, classes)
            sync.change(AnnotationDocument.paint, dict(enumerate(slices)))
    robot.choose(ENTRY)
    robot.wait_until(lambda: not robot.presenter.controller.is_busy, timeout_s=180.0)
    assert robot.document.mask().any()
    robot.wait_until(lambda: "in finished volumes that were left out" in robot.train_message, timeout_s=180.0)
    assert robot.document.proposal is not None
    assert not robot.document.annotated
