"""Steps go back in the order they were taken, and a long day does not fill the memory."""

from __future__ import annotations

import numpy as np

from knowsam.data.annotation import SliceState
from knowsam.document.history import History, Step
from knowsam.document.slice_annotation import SliceAnnotation

NOW = SliceAnnotation(mark=SliceState.COMPLETE)


def step(name: str, record: SliceAnnotation = NOW) -> Step:
    return Step(name, {3: record})


def here(taken: Step) -> Step:
    return Step(taken.name, dict.fromkeys(taken.slices, NOW))


def test_an_empty_history_has_no_steps() -> None:
    history = History()
    assert history.undo(here) is history.redo(here) is None
    assert history.undo_name is history.redo_name is None


def test_a_step_comes_back_as_it_was_recorded() -> None:
    history = History()
    painted = np.arange(6, dtype=np.uint16).reshape(2, 3)
    history.record(step("painting", SliceAnnotation(painted, SliceState.PARTIAL, painted * 2)))
    back = history.undo(here)
    assert back is not None
    record = back.slices[3]
    assert record.painted is not None
    assert record.correction is not None
    assert record.painted.dtype == np.uint16
    assert np.array_equal(record.painted, painted)
    assert np.array_equal(record.correction, painted * 2)
    assert record.mark is SliceState.PARTIAL


def test_redoing_leads_to_where_undoing_began() -> None:
    history = History()
    history.record(step("mark", SliceAnnotation(mark=SliceState.PARTIAL)))
    history.undo(here)
    forth = history.redo(here)
    assert forth is not None
    assert forth.slices[3].mark is SliceState.COMPLETE
    assert history.undo_name == "mark"


def test_the_oldest_steps_go_first() -> None:
    history = History(limit_steps=2)
    for name in ("one", "two", "three"):
        history.record(step(name))
    names = [taken.name for taken in iter(lambda: history.undo(here), None)]
    assert names == ["three", "two"]


def test_memory_is_limited_but_the_last_step_is_always_kept() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    history = History(limit_bytes=6000)
    for name in ("one", "two", "three"):
        history.record(step(name, SliceAnnotation(noise)))
    assert [history.undo_name, history.undo(here) is not None, history.undo_name] == ["three", True, None]
    tiny = History(limit_bytes=1)
    tiny.record(step("one", SliceAnnotation(noise)))
    assert tiny.undo_name == "one"


def test_two_hundred_strokes_on_large_slices_fit() -> None:
    mask = np.zeros((512, 512), dtype=np.uint8)
    history = History()
    for name in range(200):
        history.record(step(str(name), SliceAnnotation(mask, None, mask)))
    assert len(list(iter(lambda: history.undo(here), None))) == 200
