"""What the guide and the README say of numbers is what the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowsam.config import Config
from knowsam.training.dice_estimate import FEWEST_SLICES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "sentence"), [("docs/guide.md", "From {} on"), ("README.md", "From {} painted slices")]
)
def test_the_texts_name_the_number_of_slices_from_which_there_is_a_score(page: str, sentence: str) -> None:
    """Between both outermost ones lie those that are annotated."""
    assert sentence.format(FEWEST_SLICES + 2) in (ROOT / page).read_text(encoding="utf-8")


def test_the_guide_names_the_number_of_slices_from_which_some_are_held_out() -> None:
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    assert f"From {Config().training.holdout_minimum} on, training holds one in five out" in guide
