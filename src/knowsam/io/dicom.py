"""DICOM: a folder with one series of slices in, one volume out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut

from knowsam.data.orientation import Affine, to_working
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

Vector = npt.NDArray[np.float64]

SERIES_NAME = "DICOM series"
"""What messages call the volume; folder and files may be called after the patient."""

_GAP_TOLERANCE = 0.01
"""How far gaps may differ: by this fraction, and by this many mm since positions may be written with two decimals."""

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_dicom_series(folder: Path) -> Volume:
    """Read the one series whose slices lie in a folder, in the order of their positions.

    Modality rescaling is applied slice by slice. Values stay integers where every slice maps integers to integers, else
    they become float32. Where low values are displayed white (MONOCHROME1) the values are inverted.

    Raises
    ------
    InputError
        If the folder does not hold the complete, evenly spaced slices of exactly one grey series.
    """
    slices = _image_headers(folder)
    _refuse_several_series(slices)
    for header in slices:
        _refuse_unsupported(header)
    for what, of in _SAME_IN_ALL.items():
        _refuse_different(slices, what, of)
    positions = np.array([_numbers(header, "ImagePositionPatient", 3) for header in slices])
    normal = np.cross(*_directions(slices[0]))
    order = np.argsort(positions @ normal, kind="stable")
    slices, positions = [slices[index] for index in order], positions[order]
    _refuse_uneven(positions @ normal)
    _refuse_sheared(positions, normal, _numbers(slices[0], "PixelSpacing", 2).min())
    affine = _affine(slices[0], positions)
    array_ijk = _pixels(slices).T
    shape = (array_ijk.shape[0], array_ijk.shape[1], array_ijk.shape[2])
    return Volume(to_working(array_ijk, affine), Grid(shape, affine), SERIES_NAME)


def _image_headers(folder: Path) -> list[FileDataset]:
    """Read the headers of all DICOM images in the folder; other files, DICOMDIR among them, are passed over."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Give the folder that holds the slices of the DICOM series.")
    headers = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        if "Rows" in header:
            headers.append(header)
    if len(headers) < 2:
        raise InputError(
            f"The folder holds {len(headers)} DICOM images, but at least 2 slices are needed. "
            "Give the folder in which all slices of the series lie."
        )
    return headers


def _refuse_several_series(headers: Sequence[FileDataset]) -> None:
    files = Counter((header.get("SeriesInstanceUID"), header.get("SeriesNumber")) for header in headers)
    if len({uid for uid, _ in files}) > 1:
        found = ", ".join(f"series {number} with {count} files" for (_, number), count in files.items())
        raise InputError(f"The folder holds {found}, but one series is needed. Put it into a folder of its own.")


def _refuse_unsupported(header: FileDataset) -> None:
    if int(header.get("NumberOfFrames", 1)) > 1:
        raise InputError(
            "The series holds files of several frames, but one slice in each file is needed. "
            "Export it as classic single-frame DICOM, or convert it to NIfTI."
        )
    color = header.get("PhotometricInterpretation", "unknown")
    if color not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"The series has {color} pixels, but grey values are needed. Give the original grey series.")


def _refuse_different(headers: Sequence[FileDataset], what: str, of: Callable[[FileDataset], Any]) -> None:
    first = of(headers[0])
    count = sum(not np.allclose(of(header), first, rtol=0, atol=1e-4) for header in headers)
    if count:
        raise InputError(
            f"In {count} of {len(headers)} slices the {what} differs from that of the first, but all must agree. "
            "Take localizers and other stacks out of the folder."
        )


def _refuse_uneven(distances_mm: Vector) -> None:
    """Check the distances of the sorted slices along their normal."""
    gaps_mm = np.diff(distances_mm)
    usual_mm = float(np.median(gaps_mm))
    if gaps_mm.min() <= _GAP_TOLERANCE:
        raise InputError(
            "Several slices lie at the same position, but one at each is needed. "
            "Put one time point, echo or reconstruction into a folder of its own."
        )
    uneven = ~np.isclose(gaps_mm, usual_mm, rtol=_GAP_TOLERANCE, atol=_GAP_TOLERANCE)
    if uneven.any():
        after = int(np.argmax(uneven))
        raise InputError(
            f"Slices {after + 1} and {after + 2} lie {gaps_mm[after]:.2f} mm apart, but the others {usual_mm:.2f} mm. "
            "Slices are missing or unevenly spaced: export the whole series again, or resample it."
        )


def _refuse_sheared(positions_mm: npt.NDArray[np.float64], normal: Vector, pixel_mm: float) -> None:
    """Check that no slice lies more than half a pixel beside the normal through the first."""
    offsets = positions_mm - positions_mm[0]
    sideways_mm = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1).max()
    if sideways_mm > pixel_mm / 2:
        raise InputError(
            f"The slices are shifted sideways by up to {sideways_mm:.2f} mm, as by a tilted gantry, but must lie "
            "straight above each other. Resample the series to an upright grid first."
        )


def _affine(first: FileDataset, positions_mm: npt.NDArray[np.float64]) -> Affine:
    """Return the affine from (column, row, slice) to RAS+ mm (DICOM PS3.3, C.7.6.2.1.1)."""
    along_row, along_column = _directions(first)
    row_spacing_mm, column_spacing_mm = _numbers(first, "PixelSpacing", 2)
    lps = np.eye(4)
    lps[:3, 0] = along_row * column_spacing_mm
    lps[:3, 1] = along_column * row_spacing_mm
    lps[:3, 2] = (positions_mm[-1] - positions_mm[0]) / (len(positions_mm) - 1)
    lps[:3, 3] = positions_mm[0]
    return _RAS_FROM_LPS @ lps


def _pixels(headers: Sequence[FileDataset]) -> npt.NDArray[Any]:
    """Read the rescaled pixels of the sorted slices, (slices, rows, columns)."""
    # float32 holds 16-bit integers exactly.
    array = np.empty((len(headers), headers[0].Rows, headers[0].Columns), dtype=np.float32)
    for plane, header in zip(array, headers, strict=True):
        plane[:] = _slice_pixels(header)
    if headers[0].PhotometricInterpretation == "MONOCHROME1":
        array = array.max() + array.min() - array
    if not all(_maps_integers(header) for header in headers):
        return array
    fits = np.iinfo(np.int16).min <= array.min() and array.max() <= np.iinfo(np.int16).max
    return array.astype(np.int16 if fits else np.int32)


def _slice_pixels(header: FileDataset) -> npt.NDArray[Any]:
    dataset = pydicom.dcmread(header.filename)
    name, syntax = Path(header.filename).name, dataset.file_meta.TransferSyntaxUID.name
    try:
        return apply_modality_lut(dataset.pixel_array, dataset)
    except RuntimeError as error:
        raise InputError(
            f"The pixels of {name} are compressed ({syntax}) and cannot be decoded here. "
            'Install decoders with `pip install "pylibjpeg[all]"`, or export the series uncompressed.'
        ) from error
    except (ValueError, AttributeError) as error:
        raise InputError(f"The pixels of {name} are damaged or cut off ({error}). Export the series again.") from error


def _maps_integers(header: FileDataset) -> bool:
    intercept = float(header.get("RescaleIntercept", 0.0))
    sixteen_bits = header.BitsAllocated <= 16 and "ModalityLUTSequence" not in header
    return sixteen_bits and float(header.get("RescaleSlope", 1.0)) == 1.0 and intercept.is_integer()


def _directions(header: FileDataset) -> tuple[Vector, Vector]:
    """Return the LPS unit vectors along a row and along a column."""
    cosines = _numbers(header, "ImageOrientationPatient", 6)
    along_row, along_column = cosines[:3], cosines[3:]
    if not np.allclose(
        [along_row @ along_row, along_column @ along_column, along_row @ along_column], [1, 1, 0], atol=1e-3
    ):
        raise InputError(
            f"The image orientation is {cosines.tolist()}, but two perpendicular directions are needed. "
            "Export the series again, or convert it to NIfTI."
        )
    return along_row, along_column


def _numbers(header: FileDataset, keyword: str, count: int) -> Vector:
    values = header.get(keyword)
    numbers = np.array([] if values is None else values, dtype=np.float64).reshape(-1)
    if len(numbers) != count:
        raise InputError(
            f"A slice has no complete {keyword}, without which its place in the body is unknown. "
            "Give a cross-sectional series such as CT or MR, exported with all its attributes."
        )
    return numbers


_SAME_IN_ALL: dict[str, Callable[[FileDataset], Any]] = {
    "number of rows and columns": lambda header: (header.Rows, header.Columns),
    "orientation": lambda header: np.concatenate(_directions(header)),
    "pixel spacing": lambda header: _numbers(header, "PixelSpacing", 2),
    "meaning of low values (black or white)": lambda header: header.PhotometricInterpretation == "MONOCHROME1",
}
