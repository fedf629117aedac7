from __future__ import annotations

from collections import Counter

import numpy as np

from knowsam.data.sampling import SliceKey, SliceStream

KEYS = [SliceKey(case, index) for case in range(2) for index in range(5)]


def stream(seed: int = 0) -> SliceStream:
    return SliceStream(KEYS, np.random.default_rng(seed))


def test_every_slice_is_drawn_once_before_any_is_drawn_again() -> None:
    endless = stream()
    for _ in range(3):
        assert sorted(endless.draw(4) + endless.draw(6)) == KEYS


def test_each_round_has_its_own_order() -> None:
    endless = stream()
    assert endless.draw(10) != endless.draw(10)


def test_more_slices_than_there_are_can_be_drawn_at_once() -> None:
    assert set(Counter(stream().draw(30)).values()) == {3}


def test_the_same_seed_gives_the_same_order() -> None:
    assert stream(3).draw(25) == stream(3).draw(25)
    assert stream(3).draw(25) != stream(4).draw(25)


def test_an_empty_stream_gives_nothing() -> None:
    assert SliceStream((), np.random.default_rng(0)).draw(3) == []
