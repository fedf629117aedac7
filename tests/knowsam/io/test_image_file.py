"""The name of a file says of what kind it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knowsam.data.volume import Grid, Volume
from knowsam.io.image_file import MASK_SUFFIXES, is_image_name, suggested_path, with_mask_suffix


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


def test_a_mask_is_suggested_beside_its_image_under_a_name_that_a_file_may_have(tmp_path: Path) -> None:
    volume = Volume(np.zeros((2, 2, 2)), Grid((2, 2, 2), np.diag([-1.0, -1, -1, 1])), folder=tmp_path)
    assert suggested_path('AX T1/FS: "post"_mask', volume) == tmp_path / "AX T1_FS_ _post__mask.nii.gz"
