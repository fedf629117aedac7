"""PyTorch, loaded in a thread while a person paints."""

from __future__ import annotations

import gc
import threading
from functools import cache

_lock = threading.Lock()


def load_torch() -> tuple[str, ...]:
    """Import what training needs, and return the devices it can compute on beside the CPU; only the first call works.

    A second thread waits: two that import PyTorch at once may each see half of it.
    """
    with _lock:
        return _load()


@cache
def _load() -> tuple[str, ...]:
    import torch

    import knowsam.jobs  # noqa: F401
    from knowsam.training.optimizers import load_ahead

    load_ahead()
    # So much that is new makes Python look through everything once, which holds the window up: better now than later.
    gc.collect()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(name for name, is_there in there.items() if is_there)
