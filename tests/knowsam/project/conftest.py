"""A folder of images, and the work on one of them as the window keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.kept_files import fingerprint
from knowsam.document.snapshot_file import write_snapshot
from knowsam.io.image import read_image
from knowsam.project.case import CaseState, ProjectCase

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.project.project import Project

AXIAL = 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, 6 x 5 x 4 voxels each, and the mask of one."""
    folder = tmp_path / "hearts"
    folder.mkdir()
    for number, name in enumerate(("p10", "p2", "p1", "p2_mask")):
        array = np.random.default_rng(number).integers(0, 9, (6, 5, 4)).astype(np.uint8)
        nib.Nifti1Image(array, np.diag([2.0, 1.0, 3.0, 1.0])).to_filename(folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def finish(classes: tuple[LabelClass, ...]) -> Callable[[Project, ProjectCase], ProjectCase]:
    """Paint all slices of an image, each with one voxel of a class, and call it done."""

    def finish(project: Project, case: ProjectCase) -> ProjectCase:
        volume = read_image(case.path)
        document = AnnotationDocument(volume, AXIAL, classes)
        planes = np.zeros(volume.shape, np.uint8)
        planes[:, 1, 2] = classes[1].value
        document.paint(dict(enumerate(planes)))
        project.work_folder.mkdir(parents=True, exist_ok=True)
        mark = fingerprint(volume)
        write_snapshot(project.work_folder / f"{mark}.npz", document.snapshot())
        done = ProjectCase(case.path, CaseState.DONE, mark)
        project.keep(done, classes, AXIAL)
        return done

    return finish
