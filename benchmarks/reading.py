"""What does reading a volume cost beside the bare library that reads its voxels?

A volume of 16 bits, noise on a slope, is written into a temporary folder as .nii, .nii.gz and as a DICOM series. Ours
and the library take turns on the same file, which the system keeps in memory. Ours gives the voxels in working order
and compares compressed ones with their checksum. Memory is the peak of a process of its own, above that of its imports.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
from provenance import provenance
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from tables import table

from knowsam.io.image import read_volume

LIMIT_MEMORY = 2.5

Read = Callable[[Path], Any]


class Rivals(NamedTuple):
    """A form of the volume, who reads it, and how often the time of the library ours may take."""

    name: str
    library: str
    read: Read
    limit: float


def nibabel_array(path: Path) -> npt.NDArray[Any]:
    """Read what a map of the file would leave on the disk as well."""
    return np.asanyarray(nib.load(path, mmap=False).dataobj)


def pydicom_array(folder: Path) -> npt.NDArray[Any]:
    """Read all slices, in the order of their names, into one array."""
    paths = sorted(folder.iterdir())
    first = pydicom.dcmread(paths[0])
    voxels = np.empty((len(paths), first.Rows, first.Columns), np.int16)
    for index, path in enumerate(paths):
        voxels[index] = pydicom.dcmread(path).pixel_array
    return voxels


RIVALS = (
    Rivals("volume.nii", "nibabel", nibabel_array, 1.3),
    Rivals("volume.nii.gz", "nibabel", nibabel_array, 1.3),
    Rivals("dicom", "pydicom", pydicom_array, 1.5),
)


def main() -> None:
    """Print one line for each form of the volume."""
    options = _options()
    if options.write:
        _write(Path(options.write), tuple(options.shape))
    elif options.measure:
        who, path = options.measure
        print(_peak_bytes(who, Path(path)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            _compare(Path(folder), options)


def _compare(folder: Path, options: argparse.Namespace) -> None:
    # A process inherits the peak of the one that starts it, so that the large ones come last.
    _own_process("--write", str(folder), "--shape", *map(str, options.shape))
    volume_bytes = 2 * int(np.prod(options.shape))
    memory = [[_peak(who, folder / r.name) / volume_bytes for who in (r.name, "ours")] for r in RIVALS]
    rows = [_row(rivals, *peaks, folder, options.repeats) for rivals, peaks in zip(RIVALS, memory, strict=True)]
    header = ["file", "library", "library s", "ours s", "ratio", "limit", "library's memory", "our memory", "limit"]
    print("\n".join(provenance(f"median of {options.repeats}, memory as multiples of the volume")))
    print(table(header, rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shape", type=int, nargs=3, default=[512, 512, 300], metavar="N", help="columns, rows, slices"
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each reader (default: %(default)s)")
    parser.add_argument("--write", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("WHO", "PATH"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _row(rivals: Rivals, their_memory: float, our_memory: float, folder: Path, repeats: int) -> list[str]:
    path = folder / rivals.name
    turns = [(_seconds(rivals.read, path), _seconds(read_volume, path)) for _ in range(repeats)]
    theirs, ours = np.median(turns, axis=0)
    times = [f"{theirs:.2f}", f"{ours:.2f}", f"{ours / theirs:.2f}", f"{rivals.limit}"]
    return [rivals.name, rivals.library, *times, f"{their_memory:.2f}", f"{our_memory:.2f}", f"{LIMIT_MEMORY}"]


def _seconds(read: Read, path: Path) -> float:
    start = time.perf_counter()
    read(path)
    return time.perf_counter() - start


def _peak(who: str, path: Path) -> int:
    return int(_own_process("--measure", who, str(path)))


def _own_process(*words: str) -> str:
    return subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True).stdout


def _peak_bytes(who: str, path: Path) -> int:
    read = next((rivals.read for rivals in RIVALS if rivals.name == who), read_volume)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    volume = read(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del volume
    return (peak - before) * 1024


def _write(folder: Path, shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(0).normal(scale=20, size=shape).astype(np.int16)
    voxels += np.linspace(-1000, 1000, shape[0], dtype=np.int16)[:, None, None]
    for name in ("volume.nii", "volume.nii.gz"):
        nib.Nifti1Image(voxels, np.diag([0.7, 0.7, 1.0, 1.0])).to_filename(folder / name)
    _write_series(folder / "dicom", voxels)


def _write_series(folder: Path, voxels: npt.NDArray[np.int16]) -> None:
    folder.mkdir()
    study, series, frame = (generate_uid() for _ in range(3))
    for index in range(voxels.shape[2]):
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, generate_uid(), "CT"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.PatientName, dataset.PatientID, dataset.InstanceNumber = "", "", index + 1
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, index], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 1
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = voxels.shape[1], voxels.shape[0], 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = voxels[:, :, index].tobytes(order="F")
        dataset.save_as(folder / f"{index:04}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
