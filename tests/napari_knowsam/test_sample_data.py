from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from knowsam.data.orientation import file_index
from napari_knowsam.volume_layers import require_layers_match, volume_of

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

pytestmark = pytest.mark.usefixtures("plugins")


def test_the_phantom_opens_as_one_image(phantom: Volume) -> None:
    (layer,) = ViewerModel().open_sample("napari-knowsam", "phantom")
    assert isinstance(layer, Image)
    assert np.array_equal(volume_of(layer).array, phantom.array)
    assert layer.name == "phantom"


def test_three_slices_are_painted_as_in_the_truth_and_no_other(phantom: Volume, phantom_labels: Volume) -> None:
    image, labels = ViewerModel().open_sample("napari-knowsam", "painted_phantom")
    assert isinstance(labels, Labels)
    require_layers_match(image, labels)
    painted = np.flatnonzero(labels.data.any(axis=(1, 2)))
    assert sorted(file_index(phantom.grid, 0, int(index)) for index in painted) == [9, 16, 21]
    assert np.array_equal(labels.data[painted], phantom_labels.array[painted])


def test_the_painted_classes_have_names_and_every_one_is_painted() -> None:
    _, labels = ViewerModel().open_sample("napari-knowsam", "painted_phantom")
    classes = labels.metadata["knowsam_classes"]
    assert [label_class.name for label_class in classes] == ["background", "liver", "kidneys", "lesion"]
    assert np.unique(labels.data).tolist() == [label_class.value for label_class in classes]
