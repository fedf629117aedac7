from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from gui_robot import PAINTED_SAMPLE, PROPAGATING, Robot

from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from knowsam.data.volume import Volume

_LONG_AFTER_MS = 500


@pytest.fixture
def make(make_robot: Callable[..., Robot]) -> Callable[..., Robot]:
    """Open a sample where opened labels are propagated."""

    def make(sample: str = PAINTED_SAMPLE) -> Robot:
        robot = make_robot(sample)
        robot.settings(Budget(seconds=120.0), PROPAGATING)
        return robot

    return make


def test_opened_labels_are_propagated_once_without_a_stroke(make: Callable[..., Robot]) -> None:
    robot = make()
    robot.wait_until(lambda: robot.has_prediction and not robot.document.unpredicted)
    worker, image = robot.worker, robot.image
    _open_another(robot)
    robot.qtbot.wait(_LONG_AFTER_MS)
    robot.presenter.layers.choose_image(image.name)
    robot.qtbot.wait(_LONG_AFTER_MS)
    assert robot.worker is worker


def test_what_was_not_propagated_yet_follows_when_its_image_is_chosen_again(make: Callable[..., Robot]) -> None:
    robot = make()
    image, document = robot.image, robot.document
    _open_another(robot)
    robot.qtbot.wait(_LONG_AFTER_MS)
    assert robot.worker is None
    robot.presenter.layers.choose_image(image.name)
    robot.wait_until(lambda: not document.unpredicted)


def test_nothing_is_propagated_beyond_opened_labels_of_a_whole_structure(
    make: Callable[..., Robot], phantom_labels: Volume
) -> None:
    robot = make("phantom")
    image = robot.image
    robot.viewer.add_labels(
        np.where(phantom_labels.array == 1, 1, 0), scale=image.scale, translate=image.translate, affine=image.affine
    )
    robot.qtbot.wait(_LONG_AFTER_MS)
    assert robot.document.is_finished
    assert robot.worker is None


def test_where_no_prediction_is_to_be_seen_opened_labels_are_propagated_once_it_is(make: Callable[..., Robot]) -> None:
    robot = make()
    robot.click(robot.widget.result, "Live segmentation")
    robot.qtbot.wait(_LONG_AFTER_MS)
    assert robot.worker is None
    robot.click(robot.widget.result, "Live segmentation")
    robot.wait_until(lambda: robot.has_prediction)


def _open_another(robot: Robot) -> None:
    image: Image = robot.image
    robot.viewer.add_image(image.data + 1, name="other", scale=image.scale, translate=image.translate)
    robot.presenter.layers.choose_image("other")
    assert robot.presenter.layers.sync.image.name == "other"
