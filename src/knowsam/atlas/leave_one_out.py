"""Each finished volume, proposed from the others: how good proposals are where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from knowsam.atlas.proposal import Atlas, propose
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.proposed_mask import ProposedMask


def proposals_of_each(
    atlases: Sequence[Atlas], progress: Callable[[int], object] = lambda _: None
) -> list[ProposedMask | None]:
    """Propose a mask of each finished volume from all others.

    Parameters
    ----------
    progress : called now and then with the number of volumes that are done; an exception it raises stops the work.

    Returns
    -------
    Of each volume; None where no other volume was of use.

    Raises
    ------
    InputError
        If there is only one volume.
    """
    if len(atlases) < 2:
        raise InputError(
            "With one finished volume nobody can tell how good its proposals are. Give two or more, or do without."
        )
    found: list[ProposedMask | None] = []
    for number, atlas in enumerate(atlases):
        others = [*atlases[:number], *atlases[number + 1 :]]
        try:
            found.append(propose(atlas.image, others, partial(_still_at, number, progress)).mask)
        except InputError:
            found.append(None)
        progress(number + 1)
    return found


def _still_at(volume: int, progress: Callable[[int], object], _atlases: int) -> None:
    progress(volume)
