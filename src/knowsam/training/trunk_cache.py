"""Cached outputs of the frozen blocks of a pretrained SAM, through which each slice passes once."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import torch
from torch import Tensor

from knowsam.inference.device import to_device
from knowsam.io.atomic import written_whole

if TYPE_CHECKING:
    from knowsam.config import TeacherConfig

logger = logging.getLogger(__name__)

_SUFFIX = ".trunk"
_FORMAT = b"1"
_MIB = 2**20
_SPARE_BYTES = 1 << 30
"""So much of the disk is left to others."""


class TrunkCache:
    """Tokens of slices in bfloat16: in memory up to a limit, then in a file; what fits in neither is made anew.

    Parameters
    ----------
    count : number of slices.
    sign : returns the `signature` of all that the tokens depend on; called only if a file is needed.
    folder : of the files; None stands for the user's cache folder.
    """

    def __init__(
        self, count: int, config: TeacherConfig, sign: Callable[[], str], *, folder: Path | None = None
    ) -> None:
        self._count, self._sign = count, sign
        self._memory_bytes, self._disk_bytes = config.trunk_memory_mib * _MIB, config.trunk_disk_mib * _MIB
        self._folder = folder or Path(platformdirs.user_cache_dir("napari-knowsam", appauthor=False)) / "trunk"
        self._tokens: dict[int, Tensor] = {}
        self._used_bytes = 0
        self._file: _TokenFile | None = None
        self._file_tried = False

    def tokens(self, rows: Sequence[int], images: Sequence[Tensor], trunk: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the tokens (B, h, w, E) of some slices, float32.

        Parameters
        ----------
        rows : numbers of the slices.
        images : of each, (3, H, W); looked at only where the tokens are not there yet.
        trunk : maps images (B, 3, H, W) to tokens.
        """
        found = {row: self._find(row, image.device) for row, image in zip(rows, images, strict=True)}
        missing = {row: image for row, image in zip(rows, images, strict=True) if found[row] is None}
        if missing:
            with torch.no_grad():
                made = trunk(torch.stack(list(missing.values()))).to(torch.bfloat16)
            for row, own in zip(missing, made, strict=True):
                found[row] = own
                self._keep(row, own)
        return torch.stack([own for row in rows if (own := found[row]) is not None]).float()

    def _find(self, row: int, device: torch.device) -> Tensor | None:
        if row in self._tokens:
            return self._tokens[row]
        if self._file is None or (stored := self._file.read(row)) is None:
            return None
        return to_device(stored, device)

    def _keep(self, row: int, tokens: Tensor) -> None:
        own_bytes = tokens.numel() * tokens.element_size()
        if self._used_bytes + own_bytes <= self._memory_bytes:
            # A view would keep the whole batch alive.
            self._tokens[row] = tokens.clone()
            self._used_bytes += own_bytes
            return
        if not self._file_tried:
            self._file_tried = True
            self._file = self._open_file(tuple(tokens.shape))
        if self._file is not None:
            self._file.write(row, tokens)

    def _open_file(self, shape: tuple[int, ...]) -> _TokenFile | None:
        """Open the file of this signature, and delete the oldest others where they take too much room."""
        needed = _TokenFile.bytes_for(self._count, shape)
        if needed > self._disk_bytes:
            return None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{self._sign()}{_SUFFIX}"
            _make_room(self._folder, path, self._disk_bytes - needed)
            if not path.exists() and shutil.disk_usage(self._folder).free < needed + _SPARE_BYTES:
                return None
            return _TokenFile(path, self._count, shape)
        except OSError as exc:
            logger.warning("The frozen part of SAM is computed anew for some slices: no cache file (%s).", exc)
            return None


class _TokenFile:
    """A memory-mapped file of a mark for each slice, whether its tokens are there, and then the tokens."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...]) -> None:
        size = self.bytes_for(count, shape)
        if not path.exists() or path.stat().st_size != size:
            # Another process that has the same file open, or begins it too, must not see it shrink.
            with written_whole(path) as complete:
                complete.touch()
                os.truncate(complete, size)
        content = np.memmap(path, np.uint8, mode="r+", shape=(size,))
        path.touch()
        self._content = content
        self._held = content[:count]
        self._tokens = content[count:].reshape(count, -1)
        self._shape = shape

    @staticmethod
    def bytes_for(count: int, shape: tuple[int, ...]) -> int:
        return count * (1 + 2 * math.prod(shape))

    def read(self, row: int) -> Tensor | None:
        """Return the tokens of a slice on the CPU, bfloat16, or None."""
        if not self._held[row]:
            return None
        return torch.from_numpy(np.array(self._tokens[row])).view(torch.bfloat16).view(self._shape)

    def write(self, row: int, tokens: Tensor) -> None:
        self._tokens[row] = tokens.cpu().contiguous().view(-1).view(torch.uint8).numpy()
        # The mark must not reach the disk before what it promises.
        self._content.flush()
        self._held[row] = 1


def _make_room(folder: Path, keep: Path, limit_bytes: int) -> None:
    others = sorted((p for p in folder.glob(f"*{_SUFFIX}") if p != keep), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for path in others:
        total += path.stat().st_size
        if total > limit_bytes:
            # Another session may have it open, which Windows does not let us delete.
            with suppress(PermissionError):
                path.unlink(missing_ok=True)


def signature(planes: Iterable[Tensor], state: Mapping[str, Tensor], *settings: object) -> str:
    """Return a digest of the planes of all volumes, each (N, H, W), of the weights that see them, and of settings."""
    digest = hashlib.sha256(_FORMAT + repr((torch.__version__, settings)).encode())
    for name, tensor in [*((f"planes {i}", own) for i, own in enumerate(planes)), *sorted(state.items())]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
