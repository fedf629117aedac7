"""NRRD files, those of 3D Slicer's segmentations among them: images and labels in, labels out."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import from_matvec

from knowsam.damage import damage_error
from knowsam.data.orientation import RAS_FROM_LPS, to_working
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError, KnowSAMError, OutputError
from knowsam.io.atomic import mask_written
from knowsam.io.label_values import as_label_values, labels_in_file_order
from knowsam.io.notices import notice_of_shear, notice_of_unit
from knowsam.io.segment_fields import classes_from_fields, segment_fields, segments_from_fields
from knowsam.io.segment_layers import merged_layers
from knowsam.io.voxels import Encoding, notice_of_surplus, read_voxels, require_size

if TYPE_CHECKING:
    from types import ModuleType

    from knowsam.data.annotation import LabelClass
    from knowsam.data.orientation import Affine

_MOST_HEADER_BYTES = 4 << 20
_PLACELESS = (
    "The file does not say how it lies in the body. Its axes are taken to run to the left, to the back and "
    "to the head; check the sides."
)
_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
_GZIP = ("gzip", "gz")
_TO_RAS = {
    **dict.fromkeys(("right-anterior-superior", "RAS"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "LAS"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "LPS"), (-1, -1, 1)),
}
_MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "µm": 0.001}
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}


@dataclass(frozen=True)
class _Header:
    """The fields of one header, as pynrrd reads them, and how many bytes it takes."""

    path: Path
    fields: dict[str, Any]
    length: int

    @property
    def gzipped(self) -> bool:
        return self.fields.get("encoding") in _GZIP

    @property
    def sizes(self) -> list[int]:
        """Voxels along each axis, the fastest first."""
        return [int(count) for count in np.atleast_1d(self.fields["sizes"])]

    @property
    def has_layers(self) -> bool:
        """Whether these are segments in several layers, as 3D Slicer stores those that may overlap."""
        named = any(field.startswith("Segment0_") for field in self.fields)
        return named and len(self.sizes) == 4 and min(self.sizes) > 0


def read_nrrd(path: Path) -> Volume:
    """Read an image: integers keep their type, real numbers become float32.

    Raises
    ------
    InputError
        If the file is missing or damaged, in several pieces, no 3D image of real numbers, has no usable geometry, if
        segments in several layers overlap and none lies inside the other, or pynrrd is not installed.
    """
    return _volume(path, np.float32)


def read_nrrd_labels(path: Path) -> Volume:
    """Read label values into the smallest of uint8, uint16 and int32, with the names of the segments.

    Raises
    ------
    InputError
        As `read_nrrd`, and if a value is no label.
    """
    volume = _volume(path, np.float64)
    return replace(volume, array=as_label_values(path.name, volume.array))


def write_nrrd_labels(
    path: Path,
    labels_zyx: npt.NDArray[np.integer],
    grid: Grid,
    classes: Sequence[LabelClass] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write label values on a grid, in one layer, whole or not at all.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) in the working orientation, non-negative.
    classes : become segments, as 3D Slicer names them.
    overwrite : replace an existing file.

    Raises
    ------
    OutputError
        If the file cannot be written or pynrrd is not installed.
    """
    content = BytesIO()
    stored = labels_in_file_order(labels_zyx, grid)
    fields = {"encoding": "gzip", "kinds": ["domain"] * 3} | _place_fields(grid)
    pynrrd(OutputError).write(content, stored, fields, compression_level=6, index_order="F")
    # pynrrd drops what is not ASCII from a header; names of classes may be in any script.
    header, voxels = content.getvalue().split(b"\n\n", 1)
    segments = "".join(f"\n{key}:={value}" for key, value in segment_fields(classes, grid.shape).items())
    with mask_written(path, overwrite=overwrite) as complete:
        complete.write_bytes(header + segments.encode(errors="replace") + b"\n\n" + voxels)


def pynrrd(error_type: type[KnowSAMError] = InputError) -> ModuleType:
    """Return the module of pynrrd.

    Raises
    ------
    error_type
        If it is not installed.
    """
    try:
        import nrrd
    except ImportError as error:
        raise error_type(
            "NRRD files need pynrrd, which is not installed. Install it with pip install 'napari-knowsam[formats]', "
            "or use .nii.gz or .mha."
        ) from error
    return nrrd  # type: ignore[no-any-return]


def _volume(path: Path, real: npt.DTypeLike) -> Volume:
    header = _read_header(path)
    _require_one_image(header)
    if header.has_layers:
        return _merged(header)
    grid, notices = _grid(header)
    array = _voxels(header, grid, real)
    return Volume(array, grid, _stem(header.path), notices, classes_from_fields(header.fields))


def _merged(header: _Header) -> Volume:
    """Read layers of segments, which are the fastest axis, into one; the segments are numbered from 1."""
    grid, notices = _grid(header)
    (i, j, k), layers = grid.shape, header.sizes[0]
    # Of a grid whose axes run as the working ones do, the voxels come as they are stored.
    stored = _voxels(header, Grid((layers * i, j, k), np.diag([-1.0, -1.0, -1.0, 1.0])), np.float64)
    labels = as_label_values(header.path.name, stored).reshape(k, j, i, layers)
    segments = segments_from_fields(header.fields)
    merged, told = merged_layers(header.path.name, labels, segments)
    classes = tuple(replace(segment.label_class, value=number) for number, segment in enumerate(segments, 1))
    return Volume(to_working(merged.T, grid.affine), grid, _stem(header.path), (*notices, *told), classes)


def _voxels(header: _Header, grid: Grid, real: npt.DTypeLike) -> npt.NDArray[Any]:
    path, encoding = header.path, Encoding(_dtype(header), 0 if header.gzipped else header.length)
    require_size(path, encoding.end(grid.shape), compressed=header.gzipped)
    with path.open("rb") as opened:
        opened.seek(header.length)
        stream = gzip.GzipFile(fileobj=opened) if header.gzipped else opened
        return read_voxels(path.name, stream, grid, encoding, real)  # type: ignore[arg-type]


def _read_header(path: Path) -> _Header:
    if not path.is_file():
        raise InputError(f"There is no file {path}. Check the path.")
    library = pynrrd()
    try:
        with path.open("rb") as opened:
            start = opened.read(_MOST_HEADER_BYTES)
        blank = re.search(rb"\n\r?\n", start)
        head = start[: blank.start()] if blank else start
        # NumPy would warn of numbers that are none; the checks that follow refuse them.
        with np.errstate(all="ignore"):
            fields = dict(library.read_header(head.decode(errors="replace").split("\n")))
            int(np.prod(fields["sizes"]))
    except (OSError, ValueError, LookupError, TypeError, OverflowError, library.NRRDError) as error:
        sentence = f"{path.name} is not a readable NRRD file ({error}). Save it again as .nrrd."
        raise damage_error(sentence, error) from error
    return _Header(path, fields, blank.end() if blank else len(start))


def _require_one_image(header: _Header) -> None:
    name, fields, sizes = header.path.name, header.fields, header.sizes
    if not header.has_layers and (len(sizes) != 3 or min(sizes) < 1):
        raise InputError(
            f"{name} has sizes {sizes}, but one 3D image of grey values is needed. Save it as its own file."
        )
    if any(field in fields for field in ("data file", "datafile")):
        raise InputError(f"{name} keeps its voxels in another file, but one file is needed. Save it as .nrrd again.")
    if fields.get("encoding") not in ("raw", *_GZIP) or any(fields.get(skip) for skip in _SKIPS):
        raise InputError(f"{name} stores its voxels in a rare form, but raw or gzip is needed. Save it as .nrrd again.")


def _dtype(header: _Header) -> np.dtype[Any]:
    code = _CODES.get(str(header.fields.get("type")))
    if code is None:
        raise InputError(
            f"{header.path.name} holds voxels of type {header.fields.get('type')}, but real numbers are needed. "
            "Convert it to grey values."
        )
    return np.dtype((">" if header.fields.get("endian") == "big" else "<") + code)


def _grid(header: _Header) -> tuple[Grid, tuple[str, ...]]:
    """Return where the voxels lie, and what is doubtful of it."""
    fields = header.fields
    i, j, k = header.sizes[-3:]
    unit, mm, to_ras = *_unit(fields), _TO_RAS.get(fields.get("space", ""))
    try:
        affine = _file_affine(fields)
    except (TypeError, ValueError) as error:
        sentence = f"{header.path.name} gives its voxels no place in 3D ({error}). Save it as .nrrd with directions."
        raise damage_error(sentence, error) from error
    placeless = None if to_ras else _PLACELESS
    # The grid refuses what is no number and has no place.
    with np.errstate(all="ignore"):
        affine = np.diag([*np.multiply(to_ras or (-1, -1, 1), mm), 1.0]) @ affine
        notices = (placeless, notice_of_unit(unit, mm), notice_of_shear(affine), _notice_of_surplus(header))
    return Grid((i, j, k), affine), tuple(notice for notice in notices if notice)


def _notice_of_surplus(header: _Header) -> str | None:
    voxel_bytes = math.prod(header.sizes) * _dtype(header).itemsize
    return None if header.gzipped else notice_of_surplus(header.path, header.length + voxel_bytes)


def _unit(fields: Mapping[str, Any]) -> tuple[str, float]:
    units = {*fields.get("space units", ())} or {"mm"}
    unit = units.pop() if len(units) == 1 else "mm"
    return unit, _MM_PER_UNIT.get(unit, 1.0)


def _file_affine(fields: Mapping[str, Any]) -> Affine:
    """Return the affine (4, 4) in the space and the unit of the file."""
    if "space directions" in fields:
        # Layers come before the axes of space, and have no direction.
        axes = list(fields["space directions"])[len(fields["sizes"]) - 3 :]
        rows = np.array(axes, dtype=float).reshape(3, 3)
    else:
        rows = np.diag(np.asarray(fields.get("spacings", (1, 1, 1)), dtype=float))
    affine: Affine = from_matvec(rows.T, np.array(fields.get("space origin", (0, 0, 0)), dtype=float).reshape(3))
    return affine


def _place_fields(grid: Grid) -> dict[str, Any]:
    lps = RAS_FROM_LPS @ grid.affine
    return {"space": "left-posterior-superior", "space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}


def _stem(path: Path) -> str:
    return re.sub(r"(\.seg)?\.nrrd$", "", path.name, flags=re.IGNORECASE)
