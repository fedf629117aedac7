"""The files in which the work on images is kept, found again by what an image holds."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

TRAINING = ".training.safetensors"
"""Ending of the file of what was learnt, beside that of the painting."""

_SAMPLES_PER_AXIS = 64
_DIGEST_BYTES = 16
_NAME = rf"[0-9a-f]{{{2 * _DIGEST_BYTES}}}(\.\d+)?"
_OURS = re.compile(rf"{_NAME}((\.(previous|damaged)(-\d+)?)?\.npz|(\.previous)?{re.escape(TRAINING)})")
_PAINTING = re.compile(rf"{_NAME}(\.previous(-\d+)?)?\.npz")


def fingerprint(volume: Volume) -> str:
    """Return letters and digits that differ for different images, from the geometry and a sample of the voxels."""
    sample = volume.array[tuple(slice(None, None, -(-count // _SAMPLES_PER_AXIS)) for count in volume.shape)]
    # Zero is added because a negative one has other bytes.
    affine = np.round(volume.affine, 4) + 0.0
    digest = blake2b(repr((volume.shape, volume.array.dtype.str)).encode(), digest_size=_DIGEST_BYTES)
    digest.update(affine.tobytes())
    digest.update(sample.tobytes())
    return digest.hexdigest()


def paintings(folder: Path, of: str) -> list[Path]:
    """Return the files of a folder in which painting of the image with a fingerprint was kept, by any window."""
    return [path for path in folder.glob(f"{of}*") if _PAINTING.fullmatch(path.name) is not None]


def is_kept_file(path: Path) -> bool:
    """Return whether a file, by its name, holds the work on an image."""
    return _OURS.fullmatch(path.name) is not None
