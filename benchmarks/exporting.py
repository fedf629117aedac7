"""How long does each kind of export take, and how long does the window not answer meanwhile?

In the real window, on a DICOM series of noise: five structures with uneven outlines are predicted, and with `--holes` a
share of their pixels is missing, as after a threshold in noise. Seconds of CPU, of the window and of the thread that
writes; the longest pause is what a timer of 20 ms was late, or how long the click itself took.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from gui_window import Window, lateness_ms, wait
from provenance import provenance
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage
from tables import table

from knowsam.data.segment_terms import term_for
from knowsam.data.volume import Volume
from knowsam.io.image import read_volume
from napari_knowsam import exporting

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray

_KINDS = (".nii.gz", ".seg.dcm", ".rtstruct.dcm", ".html", ".stl", ".obj")
_PLACES = np.array([(0.5, 0.45, 0.35), (0.5, 0.5, 0.7), (0.4, 0.7, 0.4), (0.4, 0.7, 0.65), (0.5, 0.4, 0.6)])
_RADII = np.array([(0.4, 0.22, 0.2), (0.2, 0.1, 0.1), (0.2, 0.08, 0.08), (0.2, 0.08, 0.08), (0.45, 0.03, 0.03)])
"""Of the structures, relative to the volume."""


def main() -> None:
    """Export as every kind and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512), help="slices, rows, columns")
    parser.add_argument("--holes", type=float, default=0.0, help="share of pixels that are missing (default: 0)")
    options = parser.parse_args()
    exporting.ask_terms = lambda _parent, classes: {one.value: term_for(one.name) for one in classes}
    with tempfile.TemporaryDirectory(prefix="exporting-") as folder:
        image = read_volume(_series(Path(folder, "series"), options.shape))
        window = _opened(image, _structures(options.shape, options.holes))
        rows = [_row(window, Path(folder, f"mask{kind}")) for kind in _KINDS]
    print(*provenance("structures by seed 0"), sep="\n")
    print(table(["file", "CPU, s", "longest pause, ms", "MB"], rows))


def _opened(image: Volume, labels: LabelArray) -> Window:
    """Return a window in which the labels are predicted."""
    window = Window(image, Volume(np.zeros_like(labels), image.grid, "painted"))
    window.open_widget()
    sync = window.presenter.layers.sync
    assert sync is not None
    for _ in range(labels.max() - 1):
        sync.add_class()
    uncertainty = np.zeros(labels.shape[1:], np.uint8)
    sync.apply_predictions((index, plane, uncertainty) for index, plane in enumerate(labels))
    # Meanwhile it is measured.
    wait(15.0)
    return window


def _row(window: Window, path: Path) -> list[str]:
    def is_over() -> bool:
        return not window.widget.result.bar._message.text().startswith("Writing")

    cpu_s, clicked = time.process_time(), time.perf_counter()
    window.widget.result.export_requested.emit(path)
    click_ms = 1e3 * (time.perf_counter() - clicked)
    longest_ms = max(click_ms, *lateness_ms(is_over))
    cpu_s = time.process_time() - cpu_s
    written = sum(file.stat().st_size for file in path.parent.glob(f"mask*{''.join(path.suffixes)}"))
    return [path.name.removeprefix("mask"), f"{cpu_s:.1f}", f"{longest_ms:.0f}", f"{written / 1e6:.1f}"]


def _structures(shape: tuple[int, int, int], holes: float) -> LabelArray:
    """Return ellipsoids with uneven outlines, (Z, Y, X)."""
    rng = np.random.default_rng(0)
    grid = [
        np.linspace(0, 1, size).reshape([-1 if axis == own else 1 for own in range(3)])
        for axis, size in enumerate(shape)
    ]
    coarse = rng.normal(0, 0.1, [size // 8 + 2 for size in shape]).astype(np.float32)
    uneven = ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=1)
    labels = np.zeros(shape, np.uint8)
    for value, (place, radius) in enumerate(zip(_PLACES, _RADII, strict=True), 1):
        labels[sum(((axis - p) / r) ** 2 for axis, p, r in zip(grid, place, radius, strict=True)) + uneven < 1] = value
    labels[rng.random(shape, np.float32) < holes] = 0
    return labels


def _series(folder: Path, shape: tuple[int, int, int]) -> Path:
    """Write noise as a DICOM series of single images."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(shape[0]):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.PatientName, image.PatientID, image.Modality, image.InstanceNumber = "Noise", "1", "CT", number + 1
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, float(number)], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [0.8, 0.8], 1.0
        _put_pixels(image, rng.integers(0, 100, shape[1:], dtype=np.int16))
        image.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    return folder


def _put_pixels(image: Dataset, pixels: npt.NDArray[np.int16]) -> None:
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 1
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    image.PixelData = pixels.tobytes()


if __name__ == "__main__":
    main()
