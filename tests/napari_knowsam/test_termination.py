"""A signal that ends the program waits for what is to be done before."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest

from napari_knowsam.termination import before_termination

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Work:
    def __init__(self, done: list[str], *, fails: bool = False) -> None:
        self._done, self._fails = done, fails

    def save(self) -> None:
        if self._fails:
            raise OSError("The disk is full.")
        self._done.append("saved")


@pytest.fixture(params=ENDING)
def ending(request: pytest.FixtureRequest) -> Iterator[tuple[signal.Signals, list[str]]]:
    """A signal, and a list to which it adds a line instead of ending the tests."""
    done: list[str] = []
    before = signal.signal(request.param, lambda *_: done.append("ended"))
    yield request.param, done
    signal.signal(request.param, before)


def test_all_work_is_saved_before_the_program_ends(ending: tuple[signal.Signals, list[str]]) -> None:
    number, done = ending
    first, second = Work(done), Work(done)
    before_termination(first.save)
    before_termination(second.save)
    signal.raise_signal(number)
    assert done == ["saved", "saved", "ended"]


def test_work_that_was_closed_is_neither_kept_alive_nor_saved(ending: tuple[signal.Signals, list[str]]) -> None:
    number, done = ending
    before_termination(Work(done).save)
    gc.collect()
    signal.raise_signal(number)
    assert done == ["ended"]


def test_a_failure_to_save_keeps_no_program_alive(ending: tuple[signal.Signals, list[str]]) -> None:
    number, done = ending
    work = Work(done, fails=True)
    before_termination(work.save)
    with pytest.raises(OSError, match="disk is full"):
        signal.raise_signal(number)
    assert done == ["ended"]


@pytest.mark.parametrize("number", ENDING)
def test_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    work, before = Work([]), signal.signal(number, signal.SIG_IGN)
    try:
        before_termination(work.save)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
