"""Finished volumes propose a mask of another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gui_robot import PROPAGATING, Robot
from nibabel.affines import from_matvec

from knowsam.data.annotation import default_classes
from knowsam.data.volume import Grid, Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.inference.metrics import dice_score
from knowsam.training import proposal_session
from knowsam.training.schedule import Budget
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from gui_robot import Values

ENTRY = "Propose from finished volumes"
CLASSES = default_classes([1, 2, 3])


class Coarse:
    """The sample in four times larger voxels, which are registered in a quarter of the time.

    Attributes
    ----------
    truth : (Z, Y, X), its labels.
    """

    def __init__(self, phantom: Volume, labels: Volume) -> None:
        z_mm, y_mm, x_mm = np.multiply(phantom.spacing_mm, (1, 2, 2))
        array, self.truth = (np.ascontiguousarray(one.array[:, ::2, ::2]) for one in (phantom, labels))
        affine = from_matvec(np.array([[0, 0, -x_mm], [0, -y_mm, 0], [-z_mm, 0, 0]]))
        self._volume = Volume(array, Grid(array.shape, affine), "sample")

    def show(self, robot: Robot, name: str, shift: int = 0) -> None:
        """Open it, moved to the side by some voxels."""
        volume = replace(self._volume, array=np.roll(self._volume.array, shift, axis=2), name=name)
        data, kwargs, _ = image_layer_data(volume)
        robot.viewer.add_image(data, **kwargs)
        robot.wait_until(lambda: robot.document.volume.name == name)

    def finish(self, robot: Robot, shift: int = 0) -> None:
        """Paint all of it."""
        sync = robot.presenter.layers.require_sync()
        sync.change(AnnotationDocument.take_classes, CLASSES)
        slices: Values = np.moveaxis(np.roll(self.truth, shift, axis=2), sync.document.axis, 0)
        sync.change(AnnotationDocument.paint, dict(enumerate(slices)))
        assert robot.document.is_finished


@pytest.fixture(scope="module")
def coarse(phantom: Volume, phantom_labels: Volume) -> Coarse:
    return Coarse(phantom, phantom_labels)


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    robot = make_robot(None)
    robot.settings(Budget(seconds=120.0), PROPAGATING)
    return robot


def test_without_a_finished_volume_the_window_explains_what_one_is(robot: Robot, coarse: Coarse) -> None:
    coarse.show(robot, "first")
    robot.choose(ENTRY)
    assert "No other open volume is finished" in robot.result_message
    assert not robot.presenter.controller.is_busy


def test_a_finished_volume_proposes_and_a_correction_takes_its_place(robot: Robot, coarse: Coarse) -> None:
    coarse.show(robot, "first")
    coarse.finish(robot)
    first = robot.document
    coarse.show(robot, "next", 1)
    work = robot.document
    assert not work.annotated
    robot.choose(ENTRY)
    assert robot.presenter.controller.is_busy
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)
    assert work.classes == CLASSES
    expected = np.roll(coarse.truth, 1, axis=2)
    assert min(dice_score(work.mask(), expected, one.value) for one in CLASSES[1:]) > 0.9
    assert not work.annotated
    before = work.mask()
    held = np.flatnonzero(before.any(axis=(1, 2)))
    for index in (int(held[len(held) // 4]), int(held[3 * len(held) // 4])):
        robot.presenter.layers.require_sync().change(AnnotationDocument.accept, [index])
    robot.wait_until(lambda: bool((work.mask() != before).any()))
    np.testing.assert_array_equal(first.mask(), coarse.truth)


def test_three_finished_volumes_teach_how_their_proposals_err(
    robot: Robot, coarse: Coarse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposal_session, "CORRECTION_BUDGET", Budget(steps=2))
    for shift in range(3):
        coarse.show(robot, f"shifted {shift}", shift)
        coarse.finish(robot, shift)
    coarse.show(robot, "next", 3)
    robot.choose(ENTRY)
    robot.wait_until(lambda: not robot.presenter.controller.is_busy)
    assert robot.document.mask().any()
    robot.wait_until(lambda: "in finished volumes that were left out" in robot.train_message)
    assert robot.document.proposal is not None
    assert not robot.document.annotated
