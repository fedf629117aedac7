from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from knowsam.config import TeacherConfig
from knowsam.training import trunk_cache
from knowsam.training.trunk_cache import TrunkCache, signature

COUNT = 6
TOKENS = (64, 64, 128)
"""Of a slice, (h, w, E): one MiB in bfloat16."""


class CountingTrunk:
    """Tokens that tell which image they are of, and a list of what was asked for."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __call__(self, images: Tensor) -> Tensor:
        values = images[:, 0, 0, 0]
        self.seen += values.tolist()
        return values.view(-1, 1, 1, 1).expand(-1, *TOKENS)


def image(value: float) -> Tensor:
    return torch.full((3, 2, 2), value)


def cache_of(folder: Path, sign: str = "a", **limits: int) -> TrunkCache:
    return TrunkCache(COUNT, TeacherConfig(**limits), lambda: sign, folder=folder)


def ask(cache: TrunkCache, rows: list[int], trunk: CountingTrunk | None = None) -> list[float]:
    """Return the first token of each slice, whose image is its number."""
    tokens = cache.tokens(rows, [image(row) for row in rows], trunk or CountingTrunk())
    assert tokens.shape == (len(rows), *TOKENS)
    assert tokens.dtype == torch.float32
    return tokens[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "limits",
    [{}, {"trunk_memory_mib": 0}, {"trunk_memory_mib": 2}],
    ids=["in memory", "on disk", "some in memory"],
)
def test_each_slice_passes_the_trunk_once(tmp_path: Path, limits: dict[str, int]) -> None:
    cache, trunk = cache_of(tmp_path, **limits), CountingTrunk()
    assert ask(cache, [1, 4], trunk) == [1, 4]
    assert ask(cache, [4, 2, 1], trunk) == [4, 2, 1]
    assert ask(cache, [2, 3, 5, 1], trunk) == [2, 3, 5, 1]
    assert trunk.seen == [1, 4, 2, 3, 5]


def test_a_file_is_made_only_where_the_memory_does_not_suffice(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "folder", trunk_memory_mib=2)
    ask(cache, [0, 1])
    assert not (tmp_path / "folder").exists()
    ask(cache, [2])
    assert len(list((tmp_path / "folder").iterdir())) == 1


def test_what_fits_neither_memory_nor_disk_is_made_anew(tmp_path: Path) -> None:
    cache, trunk = cache_of(tmp_path, trunk_memory_mib=1, trunk_disk_mib=2), CountingTrunk()
    assert ask(cache, [0, 1], trunk) == [0, 1]
    assert ask(cache, [0, 1], trunk) == [0, 1]
    assert trunk.seen == [0, 1, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_later_session_finds_the_file_of_the_same_signature_and_no_other(tmp_path: Path) -> None:
    ask(cache_of(tmp_path, "a", trunk_memory_mib=0), [1])
    same, other = CountingTrunk(), CountingTrunk()
    first, second = (cache_of(tmp_path, sign, trunk_memory_mib=0) for sign in "ab")
    for cache, trunk in ((first, same), (second, other)):
        # A first slice that nobody has seen opens the file.
        assert ask(cache, [2], trunk) == [2]
        assert ask(cache, [1], trunk) == [1]
    assert (same.seen, other.seen) == ([2], [2, 1])


def test_a_file_of_another_length_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "a.trunk").write_bytes(b"\1" * 1000)
    trunk = CountingTrunk()
    assert ask(cache_of(tmp_path, trunk_memory_mib=0), [1], trunk) == [1]
    assert trunk.seen == [1]


def test_a_file_that_is_begun_anew_stays_as_it_was_for_whoever_has_it_open(tmp_path: Path) -> None:
    trunk, used = CountingTrunk(), cache_of(tmp_path, trunk_memory_mib=0)
    assert ask(used, [1], trunk) == [1]
    ask(TrunkCache(COUNT - 1, TeacherConfig(trunk_memory_mib=0), lambda: "a", folder=tmp_path), [2])
    assert ask(used, [1], trunk) == [1]
    assert trunk.seen == [1]


def test_the_files_used_longest_ago_make_room(tmp_path: Path) -> None:
    for age, sign in enumerate("abc"):
        ask(cache_of(tmp_path, sign, trunk_memory_mib=0, trunk_disk_mib=100), [1])
        os.utime(tmp_path / f"{sign}.trunk", (1000 + age, 1000 + age))
    ask(cache_of(tmp_path, "d", trunk_memory_mib=0, trunk_disk_mib=2 * COUNT + 1), [1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.trunk", "d.trunk"]


def test_a_folder_that_cannot_be_written_costs_time_and_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").touch()
    cache, trunk = cache_of(tmp_path / "taken" / "folder", trunk_memory_mib=0), CountingTrunk()
    assert ask(cache, [1], trunk) == ask(cache, [1], trunk) == [1]
    assert trunk.seen == [1, 1]
    assert "computed anew" in caplog.text
    assert len(caplog.records) == 1


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_cache, "_SPARE_BYTES", 1 << 62)
    ask(cache_of(tmp_path, trunk_memory_mib=0), [1])
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_read_the_files(tmp_path: Path) -> None:
    ask(cache_of(tmp_path / "folder", trunk_memory_mib=0), [1])
    assert os.name == "nt" or (tmp_path / "folder").stat().st_mode & 0o077 == 0


def test_the_signature_distinguishes_data_weights_and_settings() -> None:
    planes, state = (torch.zeros(2, 4, 4), torch.zeros(3, 4, 4)), {"weight": torch.zeros(2)}
    every = {
        signature(planes, state, "vit_b"),
        signature((torch.zeros(3, 4, 4), torch.zeros(2, 4, 4)), state, "vit_b"),
        signature((planes[0], planes[1] + 1), state, "vit_b"),
        signature(planes, {"weight": torch.ones(2)}, "vit_b"),
        signature(planes, {"other": torch.zeros(2)}, "vit_b"),
        signature(planes, state, "vit_l"),
    }
    assert len(every) == 6
    assert signature(planes, dict(state), "vit_b") in every
