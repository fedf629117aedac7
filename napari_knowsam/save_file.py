"""The file in which one window keeps the work on one image."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QLockFile

from knowsam.document.kept_files import TRAINING, fingerprint, is_kept_file
from knowsam.document.snapshot_file import read_snapshot, write_snapshot
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume
    from knowsam.document.snapshot import Snapshot
    from knowsam.training.continuation import Continuation

KEPT_DAYS = 60
MOST_KEPT_BYTES = 4 << 30
"""The oldest trainings of other images, some 100 MB each, are deleted beyond this size."""

_SECONDS_PER_DAY = 86_400


class SaveFile:
    """The file of the work on an image; no other window, of this program or another, writes there until `release`.

    A second window on the same image has a file of its own, which is found with the others when the image is opened
    the next time.

    Parameters
    ----------
    folder : made when it is needed; the locks of open files lie beside it.
    for_good : also keep work that nobody has opened for a long time.

    Attributes
    ----------
    path : of the file.
    is_second : whether the same image is open in another window.
    """

    def __init__(self, folder: Path, volume: Volume, *, for_good: bool = False) -> None:
        self._kept_s = math.inf if for_good else KEPT_DAYS * _SECONDS_PER_DAY
        self._fingerprint = fingerprint(volume)
        for number in count(1):
            name = self._fingerprint if number == 1 else f"{self._fingerprint}.{number}"
            lock = _lock(folder.with_name("open") / f"{name}.lock")
            # Where no lock can be made, nobody can be warned.
            if lock.tryLock(0) or lock.error() != QLockFile.LockError.LockFailedError:
                break
        self._lock = lock
        self._has_kept_training = False
        self.path = folder / f"{name}.npz"
        self.is_second = number > 1

    def keep(self, snapshot: Snapshot, *, set_aside: bool) -> None:
        """Write a snapshot; where `set_aside`, keep what another document has left there and this one lacks.

        That is so at the first time, when files of other images that are too old go, too.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if set_aside:
            _set_aside(self.path, snapshot)
        write_snapshot(self.path, snapshot)
        if set_aside:
            _delete_old(self.path.parent, but=self._fingerprint, kept_s=self._kept_s)

    def keep_training(self, continuation: Continuation) -> None:
        """Write the continuation of a training; the first time, that of an earlier day is set aside."""
        from knowsam.training.continuation import write_continuation

        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = training_path(self.path)
        if not self._has_kept_training and path.exists():
            os.replace(path, _training_before(path))
        write_continuation(path, continuation)
        self._has_kept_training = True

    def release(self) -> None:
        """Let other windows have the file."""
        self._lock.unlock()


def training_path(path: Path) -> Path:
    """Return the path of the training beside a file of annotations."""
    return path.with_suffix(TRAINING)


def kept_training(path: Path) -> Path | None:
    """Return the file of the training beside a file of annotations, None if there is none.

    It is the one before if the program was killed while it wrote the newest one.
    """
    newest = training_path(path)
    return next((one for one in (newest, _training_before(newest)) if one.is_file()), None)


def _training_before(path: Path) -> Path:
    return path.with_name(path.name.replace(TRAINING, f".previous{TRAINING}"))


def _lock(path: Path) -> QLockFile:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = QLockFile(str(path))
    # However old, it holds while its process lives.
    lock.setStaleLockTime(0)
    return lock


def _set_aside(path: Path, snapshot: Snapshot) -> None:
    try:
        before = read_snapshot(path, snapshot.shape)
    except FileNotFoundError:
        return
    except InputError:
        os.replace(path, next(aside for aside in _beside(path, "damaged") if not aside.exists()))
        return
    if not snapshot.holds(before):
        os.replace(path, next(aside for aside in _beside(path, "previous") if _may_replace(aside, before)))


def _may_replace(path: Path, snapshot: Snapshot) -> bool:
    """Return whether nothing is lost if a snapshot replaces a file."""
    try:
        return snapshot.holds(read_snapshot(path, snapshot.shape))
    except FileNotFoundError:
        return True
    except (OSError, InputError):
        return False


def _delete_old(folder: Path, but: str, kept_s: float) -> None:
    """Delete files that nobody has opened for a long time, except those of the image with this fingerprint.

    If the others take more than `MOST_KEPT_BYTES`, the oldest trainings go sooner; annotations do not.
    """
    oldest = time.time() - kept_s
    others = [(path, _facts(path)) for path in folder.iterdir() if is_kept_file(path)]
    left = MOST_KEPT_BYTES
    for path, (changed_at, size) in sorted(others, key=lambda one: one[1], reverse=True):
        if path.name.startswith(but):
            continue
        left -= size
        if changed_at < oldest or (left < 0 and path.name.endswith(TRAINING)):
            # It may be gone already, or not ours to delete; the next time will do.
            with suppress(OSError):
                path.unlink()


def _facts(path: Path) -> tuple[float, int]:
    """Return when a file was changed and how many bytes it has; now and none if it is gone."""
    with suppress(OSError):
        facts = path.stat()
        return facts.st_mtime, facts.st_size
    return time.time(), 0


def _beside(path: Path, what: str) -> Iterator[Path]:
    """Return `.previous`, `.previous-2`, `.previous-3` and so on."""
    for number in count(1):
        yield path.with_suffix(f".{what}{'' if number == 1 else f'-{number}'}{path.suffix}")
