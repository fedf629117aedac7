"""Damaged copies of a file, as a broken disk, a broken network or somebody with bad intent would make them."""

from __future__ import annotations

import gzip
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowsam.errors import KnowSAMError

if TYPE_CHECKING:
    from types import FrameType

_TELLING = (
    *tuple(map(bytes.fromhex, ("00", "ff", "ffff", "7fffffff", "80000000", "ffffffff", "00" * 8))),
    b"nan",
    b"-1",
)
"""Values at which readers stumble."""

_HEADER_BYTES = 1024
_LONGEST_S = 20


class ReadTooLongError(BaseException):
    """Raised out of a reader that hangs; no `except Exception` may hide it."""


def damaged(data: bytes, order: np.random.Generator) -> bytes:
    """Change one to eight bytes or pieces of a file, most of them in the header; sometimes cut it off."""
    found = bytearray(data)
    for _ in range(int(order.integers(1, 9))):
        end = min(len(found), _HEADER_BYTES) if order.random() < 0.8 else len(found)
        place = int(order.integers(0, max(end, 1)))
        match int(order.integers(0, 6)):
            case 0:
                found[place : place + 1] = bytes([found[place] ^ 1 << int(order.integers(0, 8))]) if found else b""
            case 1:
                found[place : place + 1] = order.bytes(1)
            case 2:
                piece = _TELLING[int(order.integers(0, len(_TELLING)))]
                found[place : place + len(piece)] = piece
            case 3:
                del found[place : place + int(order.integers(1, 64))]
            case 4:
                found[place:place] = order.bytes(int(order.integers(1, 64)))
            case _:
                other = int(order.integers(0, max(end, 1)))
                found[place : place + 16] = found[other : other + 16]
    if order.random() < 0.1:
        del found[int(order.integers(0, len(found) + 1)) :]
    return bytes(found)


def damaged_inside_gzip(data: bytes, order: np.random.Generator) -> bytes:
    """Damage what a gzip file holds, or now and then the gzip file itself."""
    if order.random() < 0.2:
        return damaged(data, order)
    return gzip.compress(damaged(gzip.decompress(data), order), compresslevel=1)


def outcomes(
    path: Path, read: Callable[[], object], count: int, *, seed: int = 0, damage: Callable = damaged
) -> Counter[str]:
    """Read `count` damaged copies of a file in its place; count those that were read and those that were refused.

    Raises
    ------
    AssertionError
        If anything but an error of our own comes out of the reader, or if it takes too long; with the number of the
        copy, by which it can be made again.
    """
    whole, counted = path.read_bytes(), Counter[str]()
    try:
        for number in range(count):
            path.write_bytes(damage(whole, np.random.default_rng((seed, number))))
            try:
                with _limited():
                    read()
            except KnowSAMError:
                counted["refused"] += 1
            except (Exception, ReadTooLongError) as error:
                raise AssertionError(f"copy {number} of {path.name} (seed {seed}) raised {error!r}") from error
            else:
                counted["read"] += 1
    finally:
        path.write_bytes(whole)
    return counted


@contextmanager
def _limited() -> Iterator[None]:
    """Break off what takes too long, where the system can."""
    if sys.platform == "win32":
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise ReadTooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
