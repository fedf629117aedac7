"""The name of a file says of what kind it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowsam.io.image_file import MASK_SUFFIXES, is_image_name, with_mask_suffix


@pytest.mark.parametrize("suffix", [*MASK_SUFFIXES, ".mhd", ".NRRD"])
def test_what_can_be_a_mask_can_be_an_image_as_well(suffix: str) -> None:
    assert is_image_name(Path(f"case.7{suffix}"))


def test_a_file_of_another_name_is_none() -> None:
    assert not is_image_name(Path("nii.png"))


@pytest.mark.parametrize(
    ("given", "completed"),
    [("liver.v2", "liver.v2.nii.gz"), ("liver.nii", "liver.nii"), ("liver.seg.nrrd", "liver.seg.nrrd")],
)
def test_a_name_without_a_known_ending_becomes_nifti(given: str, completed: str) -> None:
    assert with_mask_suffix(Path(given)).name == completed
