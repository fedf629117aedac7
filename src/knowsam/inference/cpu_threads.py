"""As many threads as processors are free, while other programs come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

_LOOK_EVERY_S = 0.25
"""Operating systems count busy time in steps of about 10 ms, so that a look is good to 4 % of a processor."""

_NEARLY_FREE = 0.3
"""A thread is kept while other programs use at most this share of its processor; beyond it, it slows all others."""


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds since some fixed moment.

    Parameters
    ----------
    elapsed_s : on the clock.
    idle_s : in which nothing ran, summed over the processors of the machine.
    own_s : in which this process ran, summed over its threads.
    """

    elapsed_s: float
    idle_s: float
    own_s: float

    @classmethod
    def now(cls) -> ProcessorTime:
        """Read the counters of the operating system."""
        total = psutil.cpu_times()
        return cls(time.monotonic(), total.idle + getattr(total, "iowait", 0.0), time.process_time())

    def free_processors(self, since: ProcessorTime) -> float:
        """Return how many processors this process had or could have had, on average since an earlier moment."""
        used_or_idle_s = self.own_s - since.own_s + self.idle_s - since.idle_s
        return used_or_idle_s / (self.elapsed_s - since.elapsed_s)


class CpuThreads:
    """Limits PyTorch to as many threads as processors are free, within its `with` block.

    The threads of a layer wait for each other, so that one that has to share its processor slows all of them: on two
    processors, a second thread beside one busy program costs half the speed, and nearly all of it at a low priority
    (`benchmarks/busy.py`). The most it ever takes is what PyTorch was set to before.

    Parameters
    ----------
    read : reads the counters of the operating system.
    """

    def __init__(self, read: Callable[[], ProcessorTime] = ProcessorTime.now) -> None:
        self._read = read
        self._most = 1
        self._seen: ProcessorTime | None = None

    def __enter__(self) -> CpuThreads:
        """Begin to adapt the threads."""
        self._most = torch.get_num_threads()
        self._seen = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the number of threads."""
        self._seen = None
        torch.set_num_threads(self._most)

    def adapt(self) -> None:
        """Take or give up threads by what was free since the last call; call it often, in the working thread."""
        if self._seen is None or self._most == 1 or time.monotonic() < self._seen.elapsed_s + _LOOK_EVERY_S:
            return
        seen, self._seen = self._seen, self._read()
        wanted = threads_for(self._seen.free_processors(since=seen), self._most)
        # Setting the number again restarts the threads of some libraries, even if it is the same.
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)


def threads_for(free_processors: float, most: int) -> int:
    """Return how many threads to compute on: one for each processor that is free or nearly so.

    >>> [threads_for(free, most=4) for free in (0.2, 1.5, 1.8, 3.9, 7.0)]
    [1, 1, 2, 4, 4]
    """
    return min(max(int(free_processors + _NEARLY_FREE), 1), most)
