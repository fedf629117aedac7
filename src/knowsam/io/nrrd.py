"""NRRD files, including segmentations of 3D Slicer: reads images and labels, writes labels."""

from __future__ import annotations

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
from knowsam.io.label_values import as_label_values
from knowsam.io.length_units import mm_of_units
from knowsam.io.notices import notice_of_shear
from knowsam.io.segment_fields import Segment, classes_from_fields, segment_fields, segments_from_fields
from knowsam.io.segment_layers import merged_layers
from knowsam.io.stored_image import ReadImage, StoredImage
from knowsam.io.voxels import Encoding, gunzipped

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
    """The fields of one header, as pynrrd reads them, and its length in bytes."""

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
        """Whether these are segments in several layers, as 3D Slicer stores segments that may overlap."""
        named = any(field.startswith("Segment0_") for field in self.fields)
        return named and len(self.sizes) == 4 and min(self.sizes) > 0


def nrrd_images(path: Path) -> tuple[ReadImage]:
    """Return a reader of the image in a file, or of its segments, which become one image.

    Raises
    ------
    InputError
        If the file is damaged, in several pieces, no 3D image of real numbers, has no usable geometry, is too small for
        the voxels it claims, gives a label value two names, or pynrrd is not installed.
    """
    header = _read_header(path)
    _require_one_image(header)
    grid, notices = _grid(header)
    encoding = Encoding(_dtype(header), header.length, gunzipped if header.gzipped else None)
    if not header.has_layers:
        return (StoredImage(path, grid, encoding, None, notices, classes_from_fields(path.name, header.fields)).read,)
    i, j, k = grid.shape
    # A grid along the working axes leaves the voxels in their stored order.
    stored = StoredImage(path, Grid((header.sizes[0] * i, j, k), np.diag([-1.0, -1.0, -1.0, 1.0])), encoding)
    return (lambda *_: _merged(stored.read(np.float64), grid, notices, segments_from_fields(header.fields)),)


def write_nrrd(path: Path, labels_ijk: npt.NDArray[np.integer], grid: Grid, classes: Sequence[LabelClass]) -> None:
    """Write label values in one layer; their classes become segments, as 3D Slicer names them."""
    content = BytesIO()
    fields = {"encoding": "gzip", "kinds": ["domain"] * 3} | _place_fields(grid)
    pynrrd(OutputError).write(content, labels_ijk, fields, compression_level=6, index_order="F")
    # pynrrd drops what is not ASCII from a header; names of classes may be in any script.
    header, voxels = content.getvalue().split(b"\n\n", 1)
    segments = "".join(f"\n{key}:={value}" for key, value in segment_fields(classes, grid.shape).items())
    path.write_bytes(header + segments.encode(errors="replace") + b"\n\n" + voxels)


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


def _merged(stored: Volume, grid: Grid, notices: tuple[str | None, ...], segments: Sequence[Segment]) -> Volume:
    """Merge layers of segments, the fastest axis, into one image; the segments are numbered from 1."""
    i, j, k = grid.shape
    labels = as_label_values(stored.name, stored.array).reshape(k, j, i, -1)
    merged, more = merged_layers(stored.name, labels, segments)
    classes = tuple(replace(segment.label_class, value=number) for number, segment in enumerate(segments, 1))
    array = to_working(merged.T, grid.affine)
    said = (notice for notice in (*notices, notice_of_shear(grid.affine)) if notice)
    return Volume(array, grid, stored.name, (*said, *stored.notices, *more), classes)


def _read_header(path: Path) -> _Header:
    library = pynrrd()
    try:
        with path.open("rb") as opened:
            start = opened.read(_MOST_HEADER_BYTES)
        blank = re.search(rb"\n\r?\n", start)
        head = start[: blank.start()] if blank else start
        # NumPy would warn of NaN; the checks that follow refuse it.
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
    dtype, endian = np.dtype(code), header.fields.get("endian")
    if dtype.itemsize > 1 and endian not in ("little", "big"):
        raise InputError(
            f"{header.path.name} does not say in which order the bytes of its numbers are (endian: {endian}), but "
            "little or big is needed. Save it as .nrrd again."
        )
    return dtype.newbyteorder(">" if endian == "big" else "<")


def _grid(header: _Header) -> tuple[Grid, tuple[str | None, ...]]:
    """Return the grid of the voxels, and notices where it is doubtful."""
    fields = header.fields
    i, j, k = header.sizes[-3:]
    mm, converted = mm_of_units(header.path.name, _units(fields))
    to_ras = _TO_RAS.get(fields.get("space", ""))
    try:
        affine = _file_affine(fields)
        # The grid refuses NaN.
        with np.errstate(all="ignore"):
            affine = np.diag([*np.multiply(to_ras or (-1, -1, 1), mm), 1.0]) @ affine
    except (TypeError, ValueError) as error:
        sentence = f"{header.path.name} gives its voxels no place in 3D ({error}). Save it as .nrrd with directions."
        raise damage_error(sentence, error) from error
    return Grid((i, j, k), affine), (None if to_ras else _PLACELESS, converted)


def _units(fields: Mapping[str, Any]) -> list[str]:
    """Return the units of the three axes of space, or of the file axes if it has no directions."""
    if "space directions" in fields:
        return list(fields.get("space units", ("mm",) * 3))
    return list(fields.get("units", fields.get("space units", ("mm",) * 3)))


def _file_affine(fields: Mapping[str, Any]) -> Affine:
    """Return the affine (4, 4) in the space and the unit of the file."""
    if "space directions" in fields:
        # Layers come before the axes of space, and have no direction.
        axes = list(fields["space directions"])[len(fields["sizes"]) - 3 :]
        rows = np.array(axes, dtype=float).reshape(3, 3)
        first = np.array(fields.get("space origin", (0, 0, 0)), dtype=float)
    else:
        spacing = np.asarray(fields.get("spacings", (1, 1, 1)), dtype=float)
        rows, first = np.diag(spacing), _first_voxel(fields, spacing)
    affine: Affine = from_matvec(rows.T, first.reshape(3))
    return affine


def _first_voxel(fields: Mapping[str, Any], spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the middle of the first voxel in a file without directions, as ITK places it."""
    if "space origin" in fields:
        return np.array(fields["space origin"], dtype=float)
    mins = fields.get("axis mins", fields.get("axismins"))
    if mins is None:
        return np.zeros(3)
    # A cell begins at the minimum, a node lies there.
    is_node = np.array([word == "node" for word in fields.get("centerings", ("cell",) * 3)])
    first: npt.NDArray[np.float64] = np.where(is_node, mins, mins + spacing / 2)
    return first


def _place_fields(grid: Grid) -> dict[str, Any]:
    lps = RAS_FROM_LPS @ grid.affine
    return {"space": "left-posterior-superior", "space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
