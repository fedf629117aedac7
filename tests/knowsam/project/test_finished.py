"""Images that are done are read with their masks, and the masks written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from knowsam.data.ends import Side
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.snapshot_file import write_snapshot
from knowsam.errors import InputError, OutputError
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels
from knowsam.project.case import ProjectCase
from knowsam.project.finished import mask_paths, read_finished, write_mask
from knowsam.project.project import Project

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass

Finish = Callable[[Project, ProjectCase], ProjectCase]


def test_a_finished_image_is_read_with_its_mask_and_classes(
    folder: Path, classes: tuple[LabelClass, ...], finish: Finish
) -> None:
    project = Project(folder)
    volume, mask = read_finished(project, finish(project, project.cases[0]))
    assert volume.name == "p1"
    assert mask.classes == classes[1:]
    assert mask.grid == volume.grid
    expected = np.zeros(volume.shape)
    expected[:, 1, 2] = classes[1].value
    np.testing.assert_array_equal(mask.array, expected)


def begun_again(
    project: Project, case: ProjectCase, classes: tuple[LabelClass, ...]
) -> tuple[AnnotationDocument, Path]:
    """Return work on the image of a case that was begun anew, and the file that would hold it."""
    document = AnnotationDocument(read_image(case.path), 0, classes)
    return document, project.work_folder / f"{case.fingerprint}.2.npz"


def test_the_newest_painting_counts_and_must_be_complete(
    folder: Path, classes: tuple[LabelClass, ...], finish: Finish
) -> None:
    project = Project(folder)
    case = finish(project, project.cases[0])
    document, newest = begun_again(project, case, classes)
    plane = np.full(document.volume.shape[1:], classes[2].value, np.uint8)
    document.paint(dict.fromkeys(range(document.slice_count), plane))
    write_snapshot(newest, document.snapshot())
    assert set(np.unique(read_finished(project, case)[1].array)) == {classes[2].value}
    document.paint({1: 0 * plane})
    write_snapshot(newest, document.snapshot())
    with pytest.raises(InputError, match="is not complete"):
        read_finished(project, case)


def test_a_structure_that_may_go_on_beside_its_only_slice_is_not_complete(
    folder: Path, classes: tuple[LabelClass, ...], finish: Finish
) -> None:
    project = Project(folder)
    case = finish(project, project.cases[0])
    document, newest = begun_again(project, case, classes)
    document.paint({1: np.full(document.volume.shape[1:], classes[1].value, np.uint8)})
    write_snapshot(newest, document.snapshot())
    with pytest.raises(InputError, match="is not complete"):
        read_finished(project, case)
    for side in Side:
        document.toggle_end(1, classes[1].value, side)
    write_snapshot(newest, document.snapshot())
    assert read_finished(project, case)[1].array.any(axis=(1, 2)).tolist() == [False, True, False, False]


def test_another_image_of_the_same_name_is_refused(folder: Path, finish: Finish) -> None:
    project = Project(folder)
    case = finish(project, project.cases[0])
    (folder / "p1.nii.gz").write_bytes((folder / "p2.nii.gz").read_bytes())
    with pytest.raises(InputError, match="another image than the one that was segmented"):
        read_finished(project, case)


def test_painting_that_is_gone_or_damaged_is_refused(folder: Path, finish: Finish) -> None:
    project = Project(folder)
    case = finish(project, project.cases[0])
    kept = project.work_folder / f"{case.fingerprint}.npz"
    kept.write_bytes(kept.read_bytes()[:50])
    with pytest.raises(InputError):
        read_finished(project, case)
    kept.unlink()
    with pytest.raises(InputError, match="Bring its files back"):
        read_finished(project, case)


def test_masks_lie_on_the_grid_of_their_image_and_replace_nothing(folder: Path, tmp_path: Path, finish: Finish) -> None:
    project = Project(folder)
    case = finish(project, project.cases[1])
    paths = mask_paths(project, tmp_path / "new" / "masks")
    assert paths == {case: tmp_path / "new" / "masks" / "p2_mask.nii.gz"}
    write_mask(project, case, paths[case])
    written, image = nib.load(paths[case]), nib.load(case.path)
    assert written.shape == image.shape
    np.testing.assert_array_equal(written.affine, image.affine)
    assert [one.name for one in read_labels(paths[case]).classes] == ["liver", "spleen"]
    with pytest.raises(OutputError, match="exists already"):
        write_mask(project, case, paths[case])


def test_masks_of_one_name_and_of_nothing_are_refused(folder: Path, tmp_path: Path, finish: Finish) -> None:
    project = Project(folder)
    with pytest.raises(InputError, match="None of the 3 images is done"):
        mask_paths(project, tmp_path)
    nib.load(folder / "p1.nii.gz").to_filename(folder / "p1.nii")
    project = Project(folder)
    for case in project.cases[:2]:
        finish(project, case)
    with pytest.raises(InputError, match="Two images have the same name"):
        mask_paths(project, tmp_path)
