"""PyTorch computes on as many threads as processors are free."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from knowsam.inference.cpu_threads import CpuThreads, ProcessorTime, threads_for

SEEN_FIRST = ProcessorTime(0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    """Let PyTorch compute on four threads, and as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def reading(*times: ProcessorTime) -> CpuThreads:
    """Return threads that see the given counters, one after the other."""
    return CpuThreads(iter(times).__next__)


def test_what_runs_and_what_is_idle_is_free() -> None:
    later = ProcessorTime(12.0, 100.0, 7.0)
    assert later.free_processors(since=ProcessorTime(10.0, 99.0, 4.0)) == 2.0


def test_the_counters_of_this_machine_grow() -> None:
    before = ProcessorTime.now()
    while ProcessorTime.now().own_s < before.own_s + 0.02:
        pass
    assert ProcessorTime.now().elapsed_s > before.elapsed_s


@pytest.mark.parametrize(("free", "threads"), [(0.0, 1), (0.9, 1), (1.5, 1), (1.75, 2), (2.1, 2), (3.9, 4), (8.0, 4)])
def test_a_processor_that_is_nearly_free_gets_a_thread(free: float, threads: int) -> None:
    assert threads_for(free, most=4) == threads


def test_threads_are_given_up_beside_busy_programs_and_taken_again_after_them() -> None:
    # Four processors: two seconds with all of them ours, two in which others have three, two in which three are idle.
    counters = [SEEN_FIRST, ProcessorTime(2, 0, 8), ProcessorTime(4, 0, 10), ProcessorTime(6, 6, 12)]
    seen = []
    with reading(*counters) as threads:
        for _ in counters[1:]:
            threads.adapt()
            seen.append(torch.get_num_threads())
    assert seen == [4, 1, 4]


def test_no_more_threads_are_taken_than_there_were() -> None:
    torch.set_num_threads(2)
    with reading(SEEN_FIRST, ProcessorTime(2, 30, 2)) as threads:
        threads.adapt()
        assert torch.get_num_threads() == 2


def test_afterwards_there_are_as_many_threads_as_before() -> None:
    with reading(SEEN_FIRST, ProcessorTime(2, 0, 2)) as threads:
        threads.adapt()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    threads.adapt()
    assert torch.get_num_threads() == 4
