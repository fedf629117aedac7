"""DICOM: a folder with one series of slices in, one volume out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID

from knowsam.data.orientation import Affine, to_working
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError

Vectors = npt.NDArray[np.float64]

SERIES_NAME = "DICOM series"
"""What messages call the volume; its folder may be called after the patient."""

_GAP_TOLERANCE = 0.01
"""How far gaps may differ: by this fraction, and by this many mm since positions may be written with two decimals."""

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Slice:
    """What the header of one file says; positions and directions are LPS+.

    Parameters
    ----------
    photometric : meaning of the pixel values, such as MONOCHROME2.
    whole : whether rescaling maps integers to integers that float32 holds exactly.
    position_mm : (3,), centre of the first pixel.
    directions : (6,), unit vectors along a row and along a column.
    spacing_mm : (2,), distance of neighbouring rows and of neighbouring columns.
    """

    path: Path
    series: tuple[str, str]
    frames: int
    shape: tuple[int, int]
    photometric: str
    whole: bool
    position_mm: Vectors
    directions: Vectors
    spacing_mm: Vectors

    @property
    def normal(self) -> Vectors:
        """(3,), unit vector across the slice."""
        return np.cross(self.directions[:3], self.directions[3:])


def read_dicom_series(folder: Path) -> Volume:
    """Read the one series whose slices lie in a folder, in the order of their positions.

    Modality rescaling is applied slice by slice. Values stay integers where every slice maps integers to integers, else
    they become float32. Where low values are displayed white (MONOCHROME1) the values are inverted.

    Raises
    ------
    InputError
        If the folder does not hold the complete, evenly spaced slices of exactly one grey series.
    """
    slices = _read_headers(folder)
    _refuse_several_series(slices)
    for found in slices:
        _refuse_unsupported(found)
    _refuse_different(slices)
    normal = slices[0].normal
    slices = sorted(slices, key=lambda found: float(found.position_mm @ normal))
    positions_mm = np.array([found.position_mm for found in slices])
    _refuse_uneven(positions_mm @ normal)
    _refuse_sheared(positions_mm, normal, slices[0].spacing_mm.min())
    affine = _affine(slices[0], positions_mm)
    rows, columns = slices[0].shape
    grid = Grid((columns, rows, len(slices)), affine)
    files = tuple(found.path for found in slices)
    return Volume(to_working(_read_pixels(slices).T, affine), grid, SERIES_NAME, dicom_files=files)


def _read_headers(folder: Path) -> list[_Slice]:
    """Read the headers of all DICOM images in the folder; other files, DICOMDIR among them, are passed over."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Give the folder that holds the slices of a DICOM series.")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    slices = [found for found in map(_read_header, files) if found is not None]
    if len(slices) < 2:
        raise InputError(
            f"The folder holds {len(slices)} DICOM images, but at least 2 slices are needed. "
            "Give the folder in which all slices of the series lie."
        )
    return slices


def _read_header(path: Path) -> _Slice | None:
    """Read the header of one file; None if it is not a DICOM image."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return _slice(path, header) if _is_image(header) else None
    except InvalidDicomError:
        return None
    # pydicom reads an attribute when it is asked for, so that damage shows in many ways and at any of them.
    except (OSError, EOFError, ValueError, TypeError, AttributeError, RuntimeError, BytesLengthException) as error:
        raise InputError(f"The header of {path.name} is damaged ({error}). Export the series again.") from error


def _is_image(header: pydicom.FileDataset) -> bool:
    # An image that is cut off early has lost its rows, but must be told of and not be passed over.
    kind = header.file_meta.get("MediaStorageSOPClassUID", UID(""))
    return "Rows" in header or "Image Storage" in kind.name


def _slice(path: Path, header: pydicom.FileDataset) -> _Slice:
    unscaled = float(header.get("RescaleSlope", 1)) == 1 and float(header.get("RescaleIntercept", 0)).is_integer()
    return _Slice(
        path=path,
        series=(str(header.get("SeriesInstanceUID")), str(header.get("SeriesNumber"))),
        frames=int(header.get("NumberOfFrames") or 1),
        shape=(int(header.Rows), int(header.Columns)),
        photometric=str(header.get("PhotometricInterpretation")),
        whole=unscaled and int(header.BitsAllocated) <= 16 and "ModalityLUTSequence" not in header,
        position_mm=_numbers(header, "ImagePositionPatient"),
        directions=_numbers(header, "ImageOrientationPatient"),
        spacing_mm=_numbers(header, "PixelSpacing"),
    )


def _numbers(header: pydicom.FileDataset, keyword: str) -> Vectors:
    value = header.get(keyword)
    return np.array([] if value is None else value, dtype=np.float64).reshape(-1)


def _refuse_several_series(slices: Sequence[_Slice]) -> None:
    files = Counter(found.series for found in slices)
    if len(files) > 1:
        listed = ", ".join(f"series {number} with {count} files" for (_, number), count in files.items())
        raise InputError(f"The folder holds {listed}, but one series is needed. Put it into a folder of its own.")


def _refuse_unsupported(found: _Slice) -> None:
    if found.frames > 1:
        raise InputError(
            f"A file holds {found.frames} frames, but one slice in each file is needed. "
            "Export the series as classic single-frame DICOM, or convert it to NIfTI."
        )
    if found.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(
            f"The series has {found.photometric} pixels, but grey values are needed. Give the original grey series."
        )
    if (found.position_mm.size, found.directions.size, found.spacing_mm.size) != (3, 6, 2):
        raise InputError(
            "A slice has no complete position, orientation or pixel spacing, without which its place is unknown. "
            "Give a cross-sectional series such as CT or MR, exported with all its attributes."
        )
    axes = found.directions.reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise InputError(
            f"The image orientation is {found.directions.tolist()}, but two perpendicular unit vectors are needed. "
            "Export the series again, or convert it to NIfTI."
        )


def _refuse_different(slices: Sequence[_Slice]) -> None:
    first = slices[0]
    same = {
        "number of rows and columns": [found.shape == first.shape for found in slices],
        "orientation": [np.allclose(found.directions, first.directions, atol=1e-4) for found in slices],
        "pixel spacing": [np.allclose(found.spacing_mm, first.spacing_mm, rtol=1e-4) for found in slices],
        "photometric interpretation": [found.photometric == first.photometric for found in slices],
    }
    for what, agrees in same.items():
        if not all(agrees):
            raise InputError(
                f"In {agrees.count(False)} of {len(slices)} slices the {what} differs from that of the first, but all "
                "must agree. Take localizers and other stacks out of the folder."
            )


def _refuse_uneven(distances_mm: Vectors) -> None:
    """Check the distances of the sorted slices along their normal."""
    gaps_mm = np.diff(distances_mm)
    if gaps_mm.min() <= _GAP_TOLERANCE:
        raise InputError(
            "Several slices lie at the same position, but one at each is needed. "
            "Put one time point, echo or reconstruction into a folder of its own."
        )
    usual_mm = float(np.median(gaps_mm))
    uneven = ~np.isclose(gaps_mm, usual_mm, rtol=_GAP_TOLERANCE, atol=_GAP_TOLERANCE)
    if uneven.any():
        gap = int(np.argmax(uneven))
        raise InputError(
            f"Slices {gap + 1} and {gap + 2} by position lie {gaps_mm[gap]:.2f} mm apart, but {usual_mm:.2f} mm are "
            "usual in the series. Export it again with all its slices, or resample it to even spacing."
        )


def _refuse_sheared(positions_mm: Vectors, normal: Vectors, pixel_mm: float) -> None:
    """Check that no slice lies more than half a pixel beside the normal through the first."""
    offsets_mm = positions_mm - positions_mm[0]
    sideways_mm = np.linalg.norm(offsets_mm - np.outer(offsets_mm @ normal, normal), axis=1).max()
    if sideways_mm > pixel_mm / 2:
        raise InputError(
            f"The slices are shifted sideways by up to {sideways_mm:.2f} mm, as by a tilted gantry, but must lie "
            "straight above each other. Resample the series to an upright grid first."
        )


def _affine(first: _Slice, positions_mm: Vectors) -> Affine:
    """Return the affine from (column, row, slice) to RAS+ mm (DICOM PS3.3, C.7.6.2.1.1)."""
    row_spacing_mm, column_spacing_mm = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = first.directions[:3] * column_spacing_mm
    lps[:3, 1] = first.directions[3:] * row_spacing_mm
    lps[:3, 2] = (positions_mm[-1] - positions_mm[0]) / (len(positions_mm) - 1)
    lps[:3, 3] = positions_mm[0]
    return _RAS_FROM_LPS @ lps


def _read_pixels(slices: Sequence[_Slice]) -> npt.NDArray[Any]:
    """Read the rescaled pixels of the sorted slices, (slices, rows, columns)."""
    array = np.empty((len(slices), *slices[0].shape), dtype=np.float32)
    for plane, found in zip(array, slices, strict=True):
        plane[:] = _read_plane(found.path)
    if slices[0].photometric == "MONOCHROME1":
        array = array.max() + array.min() - array
    if not all(found.whole for found in slices):
        return array
    limits = np.iinfo(np.int16)
    fits = limits.min <= array.min() and array.max() <= limits.max
    return array.astype(np.int16 if fits else np.int32)


def _read_plane(path: Path) -> npt.NDArray[Any]:
    try:
        dataset = pydicom.dcmread(path)
        return apply_modality_lut(dataset.pixel_array, dataset)
    except RuntimeError as error:
        raise InputError(
            f"The pixels of {path.name} are compressed in a way that cannot be decoded here ({error}). "
            'Install decoders with `pip install "pylibjpeg[all]"`, or export the series uncompressed.'
        ) from error
    except (OSError, EOFError, ValueError, AttributeError) as error:
        raise InputError(f"The pixels of {path.name} are damaged or cut off ({error}). Export it again.") from error
