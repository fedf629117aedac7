"""Safe opening of the files of a folder: bounded walks, bounded inflating, damage as one error."""

from __future__ import annotations

import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from knowsam.damage import damage_error
from knowsam.errors import InputError

_DEEPEST_FOLDER = 20
_MOST_FILES = 100_000
_FILES_LOOKED_AT = 100

# pydicom reads an attribute when it is accessed, so that damage shows in many ways and at any access.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)

_PREAMBLE_BYTES = 128
_PREFIX = b"DICM"
META_START = _PREAMBLE_BYTES + len(_PREFIX)
"""Where the meta information of a DICOM file starts, behind preamble and prefix."""

_DEFLATED, _INFLATED = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1\0\0\0"
_HEAD_BYTES = _PREAMBLE_BYTES + 4096
"""Preamble and meta information are at most this long."""

_FIRST_GROUP = 0x0008
_PLAUSIBLE_BYTES = 2**28
_PLAUSIBLE_RATIO = 1000
_MOST_INFLATED = 100


@contextmanager
def damage_refused(sentence: str) -> Iterator[None]:
    """Turn all errors of a damaged file into one with this sentence, which quotes nothing of the file.

    Raises
    ------
    InputError
        If the block fails.
    """
    try:
        yield
    except DAMAGE as error:
        # Messages of pydicom quote values and paths, and a traceback shows those of all causes.
        raise damage_error(sentence, error) from None


def damaged_header(place: str) -> str:
    """Return the sentence that a header cannot be read."""
    return f"The header of {place} is damaged. Export the series again, or take the file out of the folder."


class _Silence:
    """Shared by all threads, as warnings and loggers are: the first to enter begins it, the last to leave ends it."""

    def __init__(self) -> None:
        self._readers, self._lock, self._quiet = 0, Lock(), ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._quiet.enter_context(_quiet_pydicom())
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._quiet.close()


pydicom_silenced = _Silence()
"""Hides warnings and logs of pydicom, which quote values of the header."""


@contextmanager
def _quiet_pydicom() -> Iterator[None]:
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def files_under(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, by name; linked folders are not entered.

    Raises
    ------
    InputError
        If there are too many, or folders lie too deep in each other.
    """
    count, root_depth = 0, len(folder.parts)
    for place, folders, names in os.walk(folder):
        folders.sort()
        if folders and len(Path(place).parts) - root_depth >= _DEEPEST_FOLDER:
            raise InputError(
                f"Folders lie more than {_DEEPEST_FOLDER} deep in each other. Give the folder of the series."
            )
        count += len(names)
        if count > _MOST_FILES:
            raise InputError(f"The folder holds more than {_MOST_FILES} files. Give the folder of the series.")
        # Reading a pipe or a device would wait for ever.
        yield from (path for path in (Path(place, name) for name in sorted(names)) if path.is_file())


def is_dicom(path: Path) -> bool:
    """Return whether a file is a DICOM file, by its first bytes, whatever its name."""
    try:
        with path.open("rb") as file:
            return _start_of(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def holds_dicom(folder: Path) -> bool:
    """Return whether one of the first files in a folder and its subfolders is a DICOM file.

    Raises
    ------
    InputError
        As `files_under`.
    """
    return any(is_dicom(file) for file in islice(files_under(folder), _FILES_LOOKED_AT))


def opened(path: Path) -> BinaryIO | None:
    """Open a DICOM file; None if it is none.

    A file that is deflated as a whole is inflated in memory; a missing preamble and meta information are added there.

    Raises
    ------
    InputError
        If a small file would inflate to a huge one.
    """
    file = path.open("rb")
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    start = _start_of(head)
    if start == b"" and _DEFLATED not in head:
        return file
    with file:
        if start is None:
            return None
        content = start + file.read()
        return BytesIO(_inflated(content) if _DEFLATED in head else content)


def refuse_implausible(claimed_bytes: int, stored_bytes: int) -> None:
    """Check that compressed data can hold as many bytes as the header claims, before memory is allocated.

    Raises
    ------
    InputError
        If they are smaller than any image of that size compresses to.
    """
    if claimed_bytes > max(_PLAUSIBLE_BYTES, _PLAUSIBLE_RATIO * stored_bytes):
        raise InputError(
            f"The DICOM files say that they hold {claimed_bytes / 2**20:.0f} MiB of pixels, but have only "
            f"{stored_bytes / 2**20:.2f} MiB. They are damaged; export the series again."
        )


def _start_of(head: bytes) -> bytes | None:
    """Return the bytes that are missing before the first ones of a DICOM file, or None if it is none.

    Old archives hold data sets without preamble, and without the meta information that names their transfer syntax.
    """
    if head[_PREAMBLE_BYTES:META_START] == _PREFIX:
        return b""
    if head[:6] == b"\2\0\0\0UL":
        return bytes(_PREAMBLE_BYTES) + _PREFIX
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        if _begins_as(head, syntax):
            return bytes(_PREAMBLE_BYTES) + _PREFIX + _meta(syntax)
    return None


def _begins_as(head: bytes, syntax: UID) -> bool:
    """Return whether bytes begin with two short elements of the group that comes first in a data set (PS3.5, 7.1)."""
    before, position = -1, 0
    for _ in range(2):
        first = head[position : position + 8]
        if len(first) < 8:
            return False
        group, element, length = struct.unpack("<HHL", first)
        if not syntax.is_implicit_VR:
            (length,) = struct.unpack("<H", first[6:])
        if group != _FIRST_GROUP or element <= before or (first[4:6].isalpha() == syntax.is_implicit_VR):
            return False
        before, position = element, position + 8 + length
    return True


def _meta(syntax: UID) -> bytes:
    name = syntax.encode().ljust(len(syntax) + len(syntax) % 2, b"\0")
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(name)) + name
    return struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(element)) + element


def _inflated(content: bytes) -> bytes:
    """Return the file as it would be without deflating (DICOM PS3.5, A.5)."""
    (meta_length,) = struct.unpack_from("<I", content, _PREAMBLE_BYTES + 12)
    start = _PREAMBLE_BYTES + 16 + meta_length
    limit = max(_PLAUSIBLE_BYTES, _MOST_INFLATED * len(content))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    dataset = inflater.decompress(content[start:], limit)
    if inflater.unconsumed_tail:
        raise InputError(
            f"A deflated DICOM file of {len(content) / 2**20:.2f} MiB grows beyond {limit / 2**20:.0f} MiB, which no "
            "image does. Export the series again without deflating."
        )
    return content[:start].replace(_DEFLATED, _INFLATED) + dataset
