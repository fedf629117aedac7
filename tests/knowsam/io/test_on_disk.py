"""Voxels on the disk are those of the volume, and their file is gone with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from knowsam.data.volume import Grid, Volume
from knowsam.errors import OutputError
from knowsam.io import on_disk
from knowsam.io.on_disk import kept_on_disk


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache" / "napari-knowsam"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_args, **_more: folder)
    return folder


@pytest.fixture
def large() -> Volume:
    """(2, 600, 500) voxels, turned, so that they do not lie in memory in their order."""
    array = np.arange(600_000, dtype=np.int16).reshape(2, 500, 600).transpose(0, 2, 1)
    return Volume(array, Grid((500, 600, 2), np.diag([-1.0, -1.0, -1.0, 1.0])), "large")


def test_the_voxels_are_the_same_and_in_no_memory_of_their_own(folder: Path, large: Volume) -> None:
    kept = kept_on_disk(large)
    assert isinstance(kept.array.base, np.memmap)
    assert kept.array.dtype == large.array.dtype
    np.testing.assert_array_equal(kept.array, large.array)
    assert (kept.name, kept.grid) == (large.name, large.grid)
    assert not kept.array.flags.writeable


def test_no_file_is_left_to_be_found(folder: Path, large: Volume) -> None:
    kept = kept_on_disk(large)
    assert list(folder.iterdir()) == []
    assert kept.array[1, 599, 499] == large.array[1, 599, 499]


def test_a_small_volume_stays_in_memory(folder: Path, tiny: Volume) -> None:
    assert kept_on_disk(tiny) is tiny
    assert not folder.exists()


def test_without_room_it_says_how_much_is_needed(folder: Path, large: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(on_disk, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"large cannot be kept in .*No space left.*Make 1 MB of room"):
        kept_on_disk(large)
