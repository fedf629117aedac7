"""Every reader, given damaged files: only our own errors come out, nothing hangs, and no header costs much memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
from damage import damaged, damaged_inside_gzip, outcomes
from seg_sources import enhanced, grid, mask, series

from knowsam.config import Config
from knowsam.data.annotation import default_classes
from knowsam.data.orientation import from_working
from knowsam.io.dicom.seg_writer import write_dicom_seg
from knowsam.io.image import image_choices, read_volume
from knowsam.io.labels import read_labels, write_labels
from knowsam.models.students import Students
from knowsam.training.trained_model import TrainedModel, load_model, save_model

FEW, MANY = 40, 20_000
_MOST_MEMORY_MIB = 512
"""That a reader may take, whatever the header of so small a file says."""

Prepared = tuple[Path, Callable[[], object]]
"""A file, and how it is read."""


def _nifti_image(suffix: str, folder: Path) -> Prepared:
    path, values = folder / f"image{suffix}", np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    image = nib.Nifti1Image(values, grid().affine)
    image.header.set_xyzt_units("micron")
    image.header.set_slope_inter(2.0, -1.0)
    nib.save(image, path)
    return path, partial(_read_every, path)


def _labels(suffix: str, folder: Path) -> Prepared:
    path = folder / f"labels{suffix}"
    write_labels(path, mask().array, grid(), mask().classes)
    return path, partial(read_labels, path)


def _header_beside(folder: Path) -> Prepared:
    """Write a MetaImage header for the voxels of a NIfTI file, whose own header is to be skipped."""
    write_labels(folder / "voxels.nii", mask().array, grid())
    sizes = " ".join(map(str, grid().shape))
    path = folder / "header.mhd"
    path.write_text(
        f"NDims = 3\nDimSize = {sizes}\nElementType = MET_UCHAR\nHeaderSize = -1\nElementDataFile = voxels.nii\n"
    )
    return path, partial(_read_every, path)


def _image(suffix: str, folder: Path) -> Prepared:
    path = folder / f"image{suffix}"
    write_labels(path, mask().array, grid(), mask().classes)
    return path, partial(_read_every, path)


def _layers(folder: Path) -> Prepared:
    """Write two segments that do not overlap into layers, which nothing of ours does."""
    nrrd = pytest.importorskip("nrrd", reason="writes the layers that are damaged")
    path = folder / "layers.seg.nrrd"
    voxels = from_working(mask().array, grid())
    layers = np.stack([voxels == segment.value for segment in mask().classes]).astype(np.uint8)
    fields = {"space": "left-posterior-superior", "space directions": [[np.nan] * 3, *np.eye(3)], "encoding": "raw"}
    names = {f"Segment{number}_Name": f"segment {number}" for number in range(len(mask().classes))}
    nrrd.write(str(path), layers, fields | names, index_order="F")
    return path, partial(read_labels, path)


def _dicom_series(folder: Path) -> Prepared:
    whole = series(folder / "series")
    return whole / "IM3", partial(_read_every, whole)


def _dicom_frames(folder: Path) -> Prepared:
    (path,) = enhanced(folder).dicom_files
    return path, partial(_read_every, path)


def _dicom_segmentation(folder: Path) -> Prepared:
    pytest.importorskip("highdicom", reason="writes the segmentation that is damaged")
    path = folder / "seg.dcm"
    write_dicom_seg(path, mask(), read_volume(series(folder / "series")))
    return path, partial(read_labels, path)


def _model(folder: Path) -> Prepared:
    config = Config().with_values(width=4)
    students = Students(2, config=config.students, prior=config.method.shape_prior)
    model = TrainedModel(students, {}, config, default_classes([1]), axis=0, pixel_mm=1.0, steps=1)
    path = save_model(model, folder)
    return path, partial(load_model, path)


def _read_every(path: Path) -> None:
    """Read all images of a file or a folder, as a person may who looks for the right one."""
    for number in range(1, len(image_choices(path)) + 1):
        read_volume(path, number)


READERS: dict[str, Callable[[Path], Prepared]] = {
    "NIfTI image": partial(_nifti_image, ".nii"),
    "compressed NIfTI image": partial(_nifti_image, ".nii.gz"),
    "NIfTI labels": partial(_labels, ".nii"),
    "compressed NIfTI labels": partial(_labels, ".nii.gz"),
    "NRRD image": partial(_image, ".nrrd"),
    "3D Slicer segmentation": partial(_labels, ".seg.nrrd"),
    "3D Slicer layers": _layers,
    "MetaImage labels": partial(_labels, ".mha"),
    "MetaImage header": _header_beside,
    "DICOM series": _dicom_series,
    "DICOM frames": _dicom_frames,
    "DICOM segmentation": _dicom_segmentation,
    "model": _model,
}


def check(name: str, folder: Path, count: int) -> None:
    """Damage the file of one reader `count` times, and print what became of it."""
    path, read = READERS[name](folder)
    read()
    before_mib = _peak_mib()
    counted = outcomes(path, read, count, damage=damaged_inside_gzip if path.suffix == ".gz" else damaged)
    taken_mib = _peak_mib() - before_mib
    sentence = (
        f"{name}: {count} damaged files, {counted['refused']} refused, {counted['read']} read, {taken_mib:.0f} MiB"
    )
    sys.stdout.write(sentence + "\n")
    assert counted["refused"] > count / 20
    assert taken_mib < _MOST_MEMORY_MIB


def _peak_mib() -> float:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_of_many_damaged_files_each_is_read_or_refused(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, MANY)
