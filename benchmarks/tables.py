"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    >>> print(table(["row", "Dice"], [["ours", "0.9"]]))
    | row | Dice |
    |---|---|
    | ours | 0.9 |
    """
    first, *others = (f"| {' | '.join(cells)} |" for cells in [header, *rows])
    return "\n".join([first, "|---" * len(header) + "|", *others])


def mean(values: Iterable[float | None], digits: int) -> str:
    """Return the mean of the values there are, and how many are missing.

    >>> mean([1.0, None, 2.0], 1)
    '1.5 (1 missing)'
    """
    given = list(values)
    known = [value for value in given if value is not None]
    if not known:
        return "-"
    missing = f" ({len(given) - len(known)} missing)" if len(known) < len(given) else ""
    return f"{np.mean(known):.{digits}f}{missing}"


def over_seeds(scores: Iterable[tuple[int, str, float]]) -> tuple[str, str]:
    """Return the mean over volumes, with its deviation between seeds, and the mean of the worst volume.

    Parameters
    ----------
    scores : seed, volume and score of each run.
    """
    runs = list(scores)
    volumes = {volume: [s for _, v, s in runs if v == volume] for _, volume, _ in runs}
    seeds = [np.mean([s for r, _, s in runs if r == seed]) for seed in dict.fromkeys(seed for seed, _, _ in runs)]
    deviation = f" ± {np.std(seeds, ddof=1):.3f}" if len(seeds) > 1 else ""
    worst = min(float(np.mean(own)) for own in volumes.values())
    return f"{np.mean([np.mean(own) for own in volumes.values()]):.3f}{deviation}", f"{worst:.3f}"
