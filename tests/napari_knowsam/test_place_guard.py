"""What is painted lies where it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from knowsam.data.volume import Volume


@pytest.mark.parametrize("which", [0, 1], ids=["image", "labels"])
@pytest.mark.parametrize(
    ("attribute", "value"),
    [("scale", (1, 1, 1)), ("translate", (9, 9, 9)), ("affine", np.diag([1.0, 2.0, 2.0, 1.0])), ("rotate", 30)],
)
def test_a_layer_that_is_worked_on_is_put_back_where_its_file_says(
    viewer: ViewerModel, tiny: Volume, which: int, attribute: str, value: object
) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    choice, problems = LayerChoice(viewer), []
    choice.choose_image(None)
    choice.signals.problem.connect(problems.append)
    layer = viewer.layers[which]
    before = layer.data_to_world((1, 2, 3))
    setattr(layer, attribute, value)
    assert layer.data_to_world((1, 2, 3)) == pytest.approx(before)
    (sentence,) = problems
    assert sentence.startswith(f"{layer.name} was moved, turned or scaled, and was put back")
    choice.close()
    setattr(layer, attribute, value)
    assert layer.data_to_world((1, 2, 3)) != pytest.approx(before)


def test_other_layers_go_where_they_like(viewer: ViewerModel, tiny: Volume) -> None:
    data, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(data, **kwargs)
    choice = LayerChoice(viewer)
    choice.choose_image(None)
    points = viewer.add_points(np.zeros((1, 3)))
    points.scale = (2, 2, 2)
    assert points.scale.tolist() == [2, 2, 2]
    choice.close()
