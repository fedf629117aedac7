"""A CT can be shown in the windows that radiologists use; other images are left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from knowsam.data.ct_windows import CT_WINDOWS
from knowsam.data.intensity import is_ct, shown_range
from napari_knowsam.contrast import OWN, Contrast
from napari_knowsam.layer_choice import LayerChoice
from napari_knowsam.volume_layers import image_layer_data

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from knowsam.data.volume import Volume

Emitted = list[tuple[list[str], str | None]]


@pytest.fixture
def ct(tiny: Volume) -> Volume:
    """Half air, half soft tissue, as its file would have it shown from -400 to 600."""
    values = np.where(np.arange(480).reshape(6, 8, 10) % 2, -1000 + np.arange(480).reshape(6, 8, 10) % 90, 40)
    return replace(tiny, array=values.astype(np.int16), display_range=(-400.0, 600.0))


def _opened(viewer: ViewerModel, volume: Volume) -> tuple[Any, Contrast, Emitted]:
    data, kwargs, _ = image_layer_data(volume)
    image = viewer.add_image(data, **kwargs)
    layers, emitted = LayerChoice(viewer), Emitted()
    contrast = Contrast(layers)
    contrast.changed.connect(lambda names, current: emitted.append((names, current)))
    layers.choose_image(None)
    return image, contrast, emitted


def test_a_ct_is_recognised_by_its_grey_values(ct: Volume, tiny: Volume) -> None:
    assert is_ct(ct)
    assert not is_ct(tiny)


def test_the_windows_of_ct_are_offered_and_that_of_the_file_is_the_first(viewer: ViewerModel, ct: Volume) -> None:
    _, _, emitted = _opened(viewer, ct)
    assert emitted[-1] == ([OWN, *CT_WINDOWS], OWN)


@pytest.mark.parametrize("name", CT_WINDOWS)
def test_a_chosen_window_is_how_the_image_is_shown(viewer: ViewerModel, ct: Volume, name: str) -> None:
    image, contrast, emitted = _opened(viewer, ct)
    contrast.choose(name)
    assert tuple(image.contrast_limits) == CT_WINDOWS[name]
    assert emitted[-1][1] == name
    contrast.choose(OWN)
    assert tuple(image.contrast_limits) == shown_range(ct)


def test_a_window_set_by_hand_has_no_name(viewer: ViewerModel, ct: Volume) -> None:
    image, _, emitted = _opened(viewer, ct)
    image.contrast_limits = (-37, 111)
    assert emitted[-1][1] is None


def test_for_another_image_none_is_offered(viewer: ViewerModel, tiny: Volume) -> None:
    _, _, emitted = _opened(viewer, tiny)
    assert emitted[-1] == ([], None)


def test_a_closed_one_emits_nothing(viewer: ViewerModel, ct: Volume) -> None:
    image, contrast, emitted = _opened(viewer, ct)
    contrast.close()
    emitted.clear()
    image.contrast_limits = (0, 100)
    assert emitted == []
