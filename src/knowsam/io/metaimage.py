"""MetaImage files: reads images and labels from .mha and .mhd, writes labels as .mha.

Not by ITK, whose reader accepts damaged compressed voxels and cuts names at the first space.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import from_matvec, voxel_sizes

from knowsam.damage import damage_error
from knowsam.data.orientation import RAS_FROM_LPS
from knowsam.data.volume import Grid
from knowsam.errors import InputError
from knowsam.io.length_units import mm_of_units
from knowsam.io.segment_fields import classes_from_fields, segment_fields
from knowsam.io.stored_image import ReadImage, StoredImage
from knowsam.io.voxels import Encoding, inflated

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.orientation import Affine

_MOST_HEADER_BYTES = 4 << 20
_CODES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_CODE_NAMES = {"u1": "MET_UCHAR", "u2": "MET_USHORT", "i4": "MET_INT"}
_FLAGS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_ALL_BUT_THE_VOXELS = -1
_DIRECTION_FIELDS = ("TransformMatrix", "Rotation", "Orientation")


@dataclass(frozen=True)
class _Header:
    """The fields of one header, the file of its voxels, and the length of the header in that file."""

    path: Path
    fields: Mapping[str, str]
    voxels: Path
    own_bytes: int

    @property
    def compressed(self) -> bool:
        return self.flag("CompressedData", default=False)

    def flag(self, *names: str, default: bool) -> bool:
        """Return a flag that may have several names, which must not contradict each other."""
        words = {self.fields[name] for name in names if name in self.fields}
        values = {_FLAGS.get(word.lower()) for word in words} or {default}
        value = values.pop()
        if values or value is None:
            raise ValueError(f"{names[0]} is {' and '.join(sorted(words)) or 'empty'}, but True or False was expected")
        return value

    def offset(self, voxel_bytes: int) -> int:
        """Return the number of bytes before the first voxel.

        Parameters
        ----------
        voxel_bytes : of all voxels, before they are compressed.
        """
        text = self.fields.get("HeaderSize", "0")
        skipped = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
        if skipped == _ALL_BUT_THE_VOXELS and not self.compressed:
            return max(self.own_bytes, self.voxels.stat().st_size - voxel_bytes)
        # Voxels in the same file begin right behind this header.
        if skipped is None or skipped < 0 or (self.own_bytes and skipped not in (0, self.own_bytes)):
            raise ValueError(f"HeaderSize is {text!r}, which does not say where the voxels begin")
        return max(self.own_bytes, skipped)

    def numbers(self, *names: str, default: str) -> list[float]:
        """Return the numbers of the first field that is present; later names are older ones."""
        return [float(word) for word in next((self.fields[n] for n in names if n in self.fields), default).split()]


def metaimage_images(path: Path) -> tuple[ReadImage]:
    """Return a reader of the image in a file.

    Raises
    ------
    InputError
        If a file is missing or damaged, no 3D image of real numbers, too small for the voxels it claims, or gives a
        label value two names.
    """
    header = _read_header(path)
    try:
        (grid, converted), dtype = _grid(header), _dtype(header)
        offset = header.offset(Encoding(dtype).end(grid.shape))
        encoding = Encoding(dtype, offset, inflated if header.compressed else None)
    except (ValueError, OverflowError) as error:
        sentence = f"The header of {path.name} makes no sense ({error}). Save it again as .mha."
        raise damage_error(sentence, error) from error
    classes = classes_from_fields(path.name, header.fields)
    return (StoredImage(path, grid, encoding, header.voxels, (converted,), classes).read,)


def write_metaimage(path: Path, labels_ijk: npt.NDArray[np.integer], grid: Grid, classes: Sequence[LabelClass]) -> None:
    """Write label values as .mha; their classes become fields of the header."""
    voxels = zlib.compress(labels_ijk.astype(labels_ijk.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(voxels)),
        **_place_fields(grid),
        **segment_fields(classes, grid.shape),
        "DimSize": _listed(grid.shape),
        "ElementType": _CODE_NAMES[labels_ijk.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    header = "".join(f"{key} = {value}\n" for key, value in fields.items())
    path.write_bytes(header.encode(errors="replace") + voxels)


def _read_header(path: Path) -> _Header:
    fields: dict[str, str] = {}
    with path.open("rb") as opened:
        while "ElementDataFile" not in fields and opened.tell() < _MOST_HEADER_BYTES:
            key, is_field, value = opened.readline(_MOST_HEADER_BYTES).decode(errors="replace").partition("=")
            if not is_field:
                raise InputError(f"{path.name} is not a readable MetaImage file. Save it again as .mha.")
            fields[key.strip()] = value.strip()
        own_bytes = opened.tell()
    name = fields.get("ElementDataFile", "")
    if name.upper() == "LOCAL":
        return _Header(path, fields, path, own_bytes)
    beside = path.with_name(Path(name).name or path.name)
    several = name.upper().split()[:1] == ["LIST"] or "%" in name
    if several or Path(name) != Path(beside.name) or not beside.is_file() or beside == path:
        raise InputError(
            f"{path.name} names {name or 'nothing'} as the file of its voxels, but one file beside it is needed. "
            f"{'Save' if several else 'Copy both into one folder, or save'} it as .mha."
        )
    return _Header(path, fields, beside, 0)


def _dtype(header: _Header) -> np.dtype[Any]:
    fields, name = header.fields, header.path.name
    code = _CODES.get(fields.get("ElementType", ""))
    if code is None or fields.get("ElementNumberOfChannels", "1") != "1":
        raise InputError(
            f"{name} holds {fields.get('ElementNumberOfChannels', '1')} x {fields.get('ElementType')} in each voxel, "
            "but one real number is needed. Convert it to grey values."
        )
    if not header.flag("BinaryData", default=True):
        raise InputError(f"{name} stores its voxels as text, but binary ones are needed. Save it again as .mha.")
    big = header.flag("BinaryDataByteOrderMSB", "ElementByteOrderMSB", default=False)
    return np.dtype((">" if big else "<") + code)


def _grid(header: _Header) -> tuple[Grid, str | None]:
    """Return the grid of the voxels, and a notice of converted lengths."""
    sizes = [int(count) for count in header.fields.get("DimSize", "").split()]
    if len(sizes) != 3 or min(sizes) < 1:
        raise InputError(f"{header.path.name} has sizes {sizes}, but one 3D image is needed. Save it as its own file.")
    i, j, k = sizes
    # A row of the matrix is the direction of one axis.
    directions = np.reshape(header.numbers(*_DIRECTION_FIELDS, default="1 0 0 0 1 0 0 0 1"), (3, 3)).T
    spacing = np.reshape(header.numbers("ElementSpacing", "ElementSize", default="1 1 1"), 3)
    origin = np.reshape(header.numbers("Offset", "Position", "Origin", default="0 0 0"), 3)
    mm, converted = mm_of_units(header.path.name, [header.fields.get("DistanceUnits", "mm")])
    return Grid(
        (i, j, k), np.diag([*mm * 3, 1.0]) @ RAS_FROM_LPS @ from_matvec(directions * spacing, origin)
    ), converted


def _place_fields(grid: Grid) -> dict[str, str]:
    lps: Affine = RAS_FROM_LPS @ grid.affine
    spacing = voxel_sizes(lps)
    return {
        "TransformMatrix": _listed((lps[:3, :3] / spacing).T.ravel()),
        "Offset": _listed(lps[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _listed(spacing),
    }


def _listed(numbers: Any) -> str:
    return " ".join(f"{number:.17g}" for number in numbers)
