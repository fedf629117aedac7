"""The header of a NIfTI file: its images, their encoding and their grid."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import HeaderDataError

from knowsam.data.orientation import is_regular
from knowsam.data.volume import Grid, NiftiGeometry
from knowsam.errors import InputError
from knowsam.io.notices import corners_apart_mm, notice_of_unit
from knowsam.io.voxels import Encoding, gunzipped, is_gzip, opened_plain

HEADER_FIELDS = tuple(field.name for field in fields(NiftiGeometry) if field.name != "version")
"""The header's own names of the fields that hold its geometry."""

COMMENT_CODE = 6
"""Code of a header extension with plain text."""

_UNITS = {1: ("metres", 1000.0), 2: ("mm", 1.0), 3: ("micrometres", 0.001)}
"""Name and mm by the code of the header; files that name no unit are in millimetres."""

_HEADER_TYPES = (nib.Nifti1Header, nib.Nifti2Header)
_MOST_COMMENT_BYTES = 1 << 20
_CONTRADICTION_VX = 0.1
"""Two forms contradict each other if they place a voxel further apart than this; rounding stays far below."""

_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
_MOST_EXCESS = 1e-3
"""Excess of the square of a quaternion that rounding explains; the nearest half turn is then used."""

_CERTAIN_DEG = 0.1


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """One header.

    Parameters
    ----------
    path : the file.
    usable : as repaired by nibabel and by `_with_sound_forms`.
    stored : as in the file; masks get this one.
    comments : its extensions with plain text.
    """

    path: Path
    usable: nib.Nifti1Header
    stored: nib.Nifti1Header
    comments: tuple[bytes, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K) of one image."""
        i, j, k = (int(count) for count in self.usable.get_data_shape()[:3])
        return i, j, k

    @property
    def frames(self) -> int:
        """How many images there are."""
        return math.prod(int(count) for count in self.usable.get_data_shape()[3:])

    def encoding(self, frame: int) -> Encoding:
        """Return the encoding in the file of the voxels of one image, counted from 0."""
        dtype = self.usable.get_data_dtype()
        slope, inter = self.usable.get_slope_inter()
        frame_bytes = math.prod(self.shape) * dtype.itemsize
        return Encoding(
            dtype,
            unpack=gunzipped if is_gzip(self.path) else None,
            skipped=self.usable.get_data_offset() + frame * frame_bytes,
            following=(self.frames - 1 - frame) * frame_bytes,
            slope=1.0 if slope is None else slope,
            inter=0.0 if inter is None else inter,
        )

    @property
    def display_range(self) -> tuple[float, float] | None:
        """Grey values of the display window in the header."""
        low, high = float(self.stored["cal_min"]), float(self.stored["cal_max"])
        return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None

    def grid(self) -> Grid:
        """Return the grid of the voxels.

        Raises
        ------
        InputError
            If the header has no usable geometry.
        """
        spacing = self.stored["pixdim"][1:4]
        if self.usable["sform_code"] <= 0 and not (np.isfinite(spacing).all() and spacing.all()):
            raise InputError(
                f"The spacing in {self.path.name} is {spacing.tolist()}, but must be finite and not zero. "
                "Repair the header, for example by converting the image again from DICOM."
            )
        _, mm = self._unit()
        # NumPy warns of NaN and of overflow in the conversion to mm; the grid refuses both.
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                affine = self.usable.get_best_affine().astype(float)
            except (HeaderDataError, ValueError):
                raise InputError(
                    f"The qform in {self.path.name} is no rotation, but must be one where no sform is sound. "
                    "Repair the header, for example by converting the image again from DICOM."
                ) from None
            affine[:3] *= mm
        return Grid(self.shape, affine, self._geometry())

    def notices(self) -> tuple[str | None, ...]:
        """Return sentences on the geometry in the header where it is doubtful."""
        with np.errstate(over="ignore", invalid="ignore"):
            return (
                self._notice_of_sform(),
                self._notice_of_quaternion(),
                self._notice_of_forms(),
                notice_of_unit(*self._unit()),
            )

    def _unit(self) -> tuple[str, float]:
        # The low three bits hold the unit of space, the others that of time.
        return _UNITS.get(int(self.stored["xyzt_units"]) & 7, _UNITS[2])

    def _geometry(self) -> NiftiGeometry:
        # All fields have four numbers at most, except pixdim, whose others are not spatial.
        values = {name: np.atleast_1d(self.stored[name])[:4].tolist() for name in HEADER_FIELDS}
        geometry: dict[str, Any] = {name: v[0] if len(v) == 1 else tuple(v) for name, v in values.items()}
        return NiftiGeometry(version=2 if isinstance(self.stored, nib.Nifti2Header) else 1, **geometry)

    def _notice_of_sform(self) -> str | None:
        code, sform = int(self.stored["sform_code"]), self.stored.get_sform()
        if not code > 0 >= self.usable["sform_code"]:
            return None
        why = f"has the unknown code {code}" if is_regular(sform) else "has no three independent axes"
        return f"The sform of the file {'is all zeros' if not sform[:3].any() else why}; it is not used."

    def _notice_of_quaternion(self) -> str | None:
        uncertain_deg = float(np.degrees(2 * np.sqrt(max(_excess(self.stored), 0.0))))
        if self.usable["sform_code"] > 0 or self.usable["qform_code"] <= 0 or uncertain_deg < _CERTAIN_DEG:
            return None
        return (
            f"The qform of the file has so few digits that its rotation is uncertain by up to {uncertain_deg:.1f} "
            "degrees; the nearest rotation is used."
        )

    def _notice_of_forms(self) -> str | None:
        codes = (int(self.usable["sform_code"]), int(self.usable["qform_code"]))
        if codes == (0, 0):
            return (
                "The file does not say how it lies in the body (it has neither sform nor qform). Its axes are taken to "
                "run to the left, to the front and to the head; check the sides."
            )
        if 0 in codes:
            return None
        _, mm = self._unit()
        sform = self.usable.get_sform()
        try:
            apart_mm = corners_apart_mm(sform, self.usable.get_qform(), self.shape) * mm
        except (HeaderDataError, ValueError):
            apart_mm = np.nan
        if not np.isfinite(apart_mm):
            return "The qform of the file is no rotation; the sform is used."
        if apart_mm <= _CONTRADICTION_VX * mm * voxel_sizes(sform).min():
            return None
        return (
            f"The sform and the qform of the file place it up to {apart_mm:.3g} mm apart. The sform is used; a program "
            "that uses the qform shows the image elsewhere."
        )


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of a file, without its voxels.

    Raises
    ------
    InputError
        If it has no 3D image, or its voxels are in another file.
    OSError, EOFError, zlib.error, HeaderDataError, ValueError, OverflowError
        If the file is damaged or not NIfTI.
    """
    with opened_plain(path) as opened, np.errstate(all="ignore"):
        block = opened.read(nib.Nifti2Header.sizeof_hdr)
        header_type = next((one for one in _HEADER_TYPES if one.may_contain_header(block)), None)
        if header_type is None:
            raise ValueError("its first bytes are no header")
        # Only the header itself, so that nibabel does not read extensions, whose sizes it trusts.
        block = block[: header_type.sizeof_hdr]
        stored = header_type.from_fileobj(BytesIO(block), check=False)
        _require_own_voxels(path, stored)
        usable = _with_sound_forms(header_type.from_fileobj(BytesIO(block)))
        _require_3d(path, usable)
        opened.seek(header_type.sizeof_hdr)
        return NiftiHeader(path, usable, stored, tuple(_comments(opened, usable)))


def _require_own_voxels(path: Path, header: nib.Nifti1Header) -> None:
    # Other programs read such files as well, each from a different byte on.
    if not header["vox_offset"] >= header.single_vox_offset:
        raise InputError(
            f"The header of {path.name} says that its voxels begin at byte {float(header['vox_offset']):g}, but in one "
            f"file they cannot before byte {header.single_vox_offset}. If they are in an .img file beside it, convert "
            "both to .nii; else export the image again."
        )


def _with_sound_forms(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a header without an unusable sform, if it has a qform, and with a valid quaternion."""
    if header["qform_code"] > 0 and header["sform_code"] > 0 and not is_regular(header.get_sform()):
        header["sform_code"] = 0
    excess = _excess(header)
    if 0 < excess <= _MOST_EXCESS:
        for name in _QUATERNION:
            header[name] /= np.sqrt(1 + excess) * (1 + np.finfo(header[name].dtype).eps)
    return header


def _excess(header: nib.Nifti1Header) -> float:
    """Return by how much the square of the quaternion's imaginary part exceeds 1, if it does."""
    imaginary = np.array([header[name] for name in _QUATERNION], dtype=np.float64)
    return float(imaginary @ imaginary) - 1


def _require_3d(path: Path, header: nib.Nifti1Header) -> None:
    shape = tuple(int(count) for count in header.get_data_shape())
    if len(shape) < 3 or min(shape) < 1:
        raise InputError(f"{path.name} has shape {shape}, but a 3D image is needed. Give a whole volume.")


def _comments(opened: BinaryIO, header: nib.Nifti1Header) -> Iterator[bytes]:
    """Yield the comments between header and voxels, up to the first invalid extension."""
    end = min(header.get_data_offset(), opened.tell() + _MOST_COMMENT_BYTES)
    if opened.read(4)[:1] in (b"", b"\0"):
        return
    while opened.tell() + 8 <= end:
        head = opened.read(8)
        size, code = struct.unpack(f"{header.endianness}ii", head) if len(head) == 8 else (0, 0)
        if size < 8 or opened.tell() + size - 8 > end:
            return
        content = opened.read(size - 8)
        if code == COMMENT_CODE:
            yield content.rstrip(b"\0")
