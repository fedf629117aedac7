"""A model says so of images that are unlike those it has learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knowsam.data.image_statistics import FAR, ImageStatistics, difference_sentence, require_known_modality
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

FLAT = tuple(np.linspace(0.05, 0.95, 19))


def statistics(is_ct: bool = False, shift: float = 0.0, slice_mm: float = 3.0) -> ImageStatistics:
    return ImageStatistics(is_ct, tuple(value + shift for value in FLAT), slice_mm)


def image(values: np.ndarray, slice_mm: float = 2.0) -> Volume:
    return Volume(values, Grid(values.shape[::-1], np.diag([-1.0, -1.0, -slice_mm, 1.0])), "scan")


def test_a_scan_counts_alike_whatever_its_gain() -> None:
    values = np.random.default_rng(0).gamma(2.0, 50.0, (8, 32, 32))
    once, louder = (ImageStatistics.of(image(gain * values), 0, 0.5) for gain in (1.0, 7.0))
    assert once.slice_mm == 2.0
    assert not once.is_ct
    assert once.distance(louder) < 1e-4
    assert list(once.quantiles) == sorted(once.quantiles)


def test_a_ct_is_distinguished_from_other_images() -> None:
    generator = np.random.default_rng(0)
    values = np.where(generator.random((8, 32, 32)) < 0.4, -1000.0, generator.normal(50, 20, (8, 32, 32)))
    assert ImageStatistics.of(image(values), 0, 0.5).is_ct


@pytest.mark.parametrize(
    ("learnt", "shown", "words"), [(True, False, "learnt from images that are CT"), (False, True, "scan is CT")]
)
def test_a_model_of_ct_refuses_mr_and_the_other_way_round(learnt: bool, shown: bool, words: str) -> None:
    with pytest.raises(InputError, match=words):
        require_known_modality(shown, [learnt], "scan")
    require_known_modality(shown, [learnt, shown], "scan")
    require_known_modality(shown, [], "scan")


def test_an_image_unlike_all_known_ones_is_reported() -> None:
    known = [statistics(), statistics(shift=-0.1, slice_mm=5.0)]
    assert difference_sentence(statistics(shift=0.1), known, "scan") == ""
    assert "grey values" in difference_sentence(statistics(shift=FAR + 0.01), known, "scan")
    assert "12 mm apart, not 3 to 5 mm" in difference_sentence(statistics(slice_mm=12.0), known, "scan")
    assert "3 mm apart, not 1 mm" in difference_sentence(statistics(), [replace(known[0], slice_mm=1.0)], "scan")
    assert difference_sentence(statistics(shift=0.5, slice_mm=99.0), [], "scan") == ""
