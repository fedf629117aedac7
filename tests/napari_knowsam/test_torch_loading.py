from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_knowsam import torch_loading

if TYPE_CHECKING:
    import pytest


def test_a_second_thread_waits_until_the_first_has_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, most = [0], [0]

    def load() -> tuple[str, ...]:
        loading[0] += 1
        most[0] = max(most[0], loading[0])
        time.sleep(0.05)
        loading[0] -= 1
        return ()

    monkeypatch.setattr(torch_loading, "_load", load)
    threads = [threading.Thread(target=torch_loading.load_torch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
