"""Download of large files: what has arrived is kept when a connection breaks off, and goes on from there."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the bytes that have arrived and those there are in all, 0 if that is not known.

What it raises breaks the download off.
"""

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_WAITING_S = 0.5
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Of file systems without locks."""

_UNSATISFIABLE = 416
"""Status of an answer to whoever asks for more than there is."""


def download(url: str, target: Path, sha256: str, progress: Progress | None = None) -> None:
    """Download a file; it stands at `target` when it is whole and the one that was meant, and not before.

    Proxies are those of the environment. Until it is whole, it is a file beside the target with `.part` at its end.
    Where another process or thread brings it already, this waits, tells the progress of that, and goes on if it ends.

    Raises
    ------
    OSError
        If the server cannot be reached or the file cannot be written. What has arrived is kept for the next time.
    ValueError
        If what came is another file; it is removed.
    """
    with alone(target, progress):
        if not is_whole(target, sha256):
            _bring(url, target, sha256, progress)


def copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a file, as `download` brings one.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    ValueError
        If what arrived is another file, as from a bad stick; it is removed.
    """
    with alone(target):
        if is_whole(target, sha256):
            return
        part = part_of(target)
        shutil.copyfile(source, part)
        if not is_whole(part, sha256):
            part.unlink()
            raise ValueError(f"what was copied from {source} is another file")
        os.replace(part, target)


def is_whole(file: Path, sha256: str) -> bool:
    """Return whether a file is there and the one that was meant."""
    return file.is_file() and sha256_of(file) == sha256


def _bring(url: str, target: Path, sha256: str, progress: Progress | None) -> None:
    """Download a file that nobody else downloads."""
    part = part_of(target)
    is_resumed = part.is_file()
    _complete(url, part, progress)
    found = sha256_of(part)
    if found != sha256 and is_resumed:
        # It may have been begun with another file of that name.
        part.unlink()
        _complete(url, part, progress)
        found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise ValueError(f"what came from {url} is another file")
    os.replace(part, target)


def part_of(target: Path) -> Path:
    """Return where a file grows until it is whole."""
    return target.with_name(f"{target.name}.part")


@contextmanager
def alone(target: Path, progress: Progress | None = None) -> Iterator[None]:
    """Let one process or thread at a time bring a file; the system lets the next one in also where one has crashed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # In a folder that several people share, anybody may take the lock that somebody else left.
    lock = FileLock(target.with_name(f"{target.name}.lock"), mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("%s is being downloaded by another window or command already; waiting for it.", target)
        _wait(lock, part_of(target), progress)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        # The checksum tells if two have written into each other's file all the same.
        logger.warning(
            "The folder %s knows no locks, as some network drives. Do not let two windows or commands download the "
            "same file at once.",
            target.parent,
        )
    try:
        yield
        # Whoever holds the removed one from here on finds the file whole, and downloads nothing.
        with suppress(OSError):
            os.unlink(lock.lock_file)
    finally:
        lock.release()


def _wait(lock: FileLock, part: Path, progress: Progress | None) -> None:
    """Wait for a lock, and tell meanwhile how much of the file whoever holds it has."""
    while True:
        try:
            lock.acquire(timeout=_WAITING_S)
            return
        except Timeout:
            if progress is not None:
                progress(_arrived(part), 0)


def sha256_of(path: Path) -> str:
    """Return the checksum of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(url: str, part: Path, progress: Progress | None) -> None:
    """Bring what is missing of a file; a connection that breaks off is opened again as long as it brings something."""
    before = 0
    while True:
        try:
            _append_rest(url, part, progress)
            return
        except (OSError, HTTPException) as error:
            arrived = _arrived(part)
            if isinstance(error, HTTPError) or arrived <= before:
                raise error if isinstance(error, OSError) else OSError(str(error)) from error
            logger.debug("%s broke off at %d bytes: %s", url, arrived, error)
            before = arrived


def _arrived(part: Path) -> int:
    """Return how many bytes of a file there are."""
    return part.stat().st_size if part.is_file() else 0


def _append_rest(url: str, part: Path, progress: Progress | None) -> None:
    """Bring what is missing of a file; a server that sends all of it again is taken at its word."""
    arrived = _arrived(part)
    with _opened(url, arrived) as response:
        if response is None:
            return
        goes_on = response.status == 206
        arrived = arrived if goes_on else 0
        missing = response.length
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                arrived += len(chunk)
                if progress is not None:
                    file.flush()
                    progress(arrived, 0 if missing is None else arrived + (response.length or 0))
        if response.length:
            raise ConnectionError(f"{response.length} bytes are missing")


@contextmanager
def _opened(url: str, start: int) -> Iterator[HTTPResponse | None]:
    """Ask for a file from a byte on; None if there is nothing beyond it."""
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code != _UNSATISFIABLE:
            raise
        yield None
        return
    with response:
        yield response
