"""The progress bar of a download."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from knowsam.models.download import Progress


@contextmanager
def download_bar() -> Iterator[Progress]:
    """Show the progress of a download, once there is one."""
    with tqdm(desc="Downloading", unit="B", unit_scale=True, file=sys.stderr, disable=None, delay=0.5) as bar:

        def show(arrived: int, size: int) -> None:
            bar.total = size or None
            bar.update(arrived - bar.n)

        yield show
