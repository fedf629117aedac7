"""Finished volumes that are given to a command."""

from __future__ import annotations

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from knowsam.atlas.proposal import Atlas
from knowsam.commands.atlases import classes_of, read_atlases
from knowsam.data.annotation import LabelClass
from knowsam.errors import InputError
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

OPTIONS = Namespace(pick=None, missing_as_background=False)


def other_image(folder: Path) -> Volume:
    image = read_image(folder / "image.nii.gz")
    return replace(image, array=image.array + 1)


@pytest.mark.parametrize(("mask", "is_told"), [("labels", False), ("truth", False), ("gaps", True)])
def test_a_mask_of_single_slices_is_not_taken_for_finished_without_a_word(
    folder: Path, mask: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    truth = nib.load(folder / "truth.nii.gz")
    single = np.asarray(truth.dataobj).copy()
    single[..., 2:6] = 0
    nib.Nifti1Image(single, truth.affine).to_filename(folder / "gaps.nii.gz")
    read_atlases([folder / "image.nii.gz"], [folder / f"{mask}.nii.gz"], OPTIONS, other_image(folder))
    assert ("gaps holds labels in 2 of the 6 slices" in caplog.text) == is_told


def test_masks_that_call_one_value_by_different_names_are_refused(folder: Path) -> None:
    image, mask = read_image(folder / "image.nii.gz"), read_labels(folder / "truth.nii.gz")
    liver, spleen, unnamed = (
        Atlas(image, replace(mask, name=name, classes=(LabelClass(2, name, (1, 2, 3)),)))
        for name in ("liver", "spleen", "class 2")
    )
    assert [one.name for one in classes_of([liver, unnamed])] == ["background", "liver", "class 7"]
    with pytest.raises(InputError, match="value 2 is “liver” here, but “spleen” in spleen"):
        classes_of([liver, unnamed, spleen])


def test_an_image_is_not_proposed_from_itself(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, truth = folder / "image.nii.gz", folder / "truth.nii.gz"
    copy, other = folder / "copy.nii.gz", folder / "other.nii.gz"
    shutil.copy(image, copy)
    nib.Nifti1Image(other_image(folder).array.T, nib.load(image).affine).to_filename(other)
    atlases = read_atlases([copy, other], [truth, truth], OPTIONS, read_image(image))
    assert [atlas.image.name for atlas in atlases] == ["other"]
    assert "image itself is among the finished volumes; it was left out" in caplog.text
    with pytest.raises(InputError, match="image itself is the only finished volume"):
        read_atlases([copy], [truth], OPTIONS, read_image(image))
