"""How good proposals are where the truth is known: each finished volume, proposed from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from knowsam.atlas.proposal import Atlas, propose
from knowsam.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt


def proposals_of_each(
    atlases: Sequence[Atlas], progress: Callable[[int], object] = lambda _: None
) -> list[npt.NDArray[np.int32]]:
    """Propose a mask of each finished volume from all others.

    Parameters
    ----------
    progress : called with the number of volumes that are done; what it raises breaks the work off.

    Returns
    -------
    (Z, Y, X) of each volume, label values; empty where no other volume was of use.

    Raises
    ------
    InputError
        If there is only one volume.
    """
    if len(atlases) < 2:
        raise InputError(
            "With one finished volume nobody can tell how good its proposals are. Give two or more, or do without."
        )
    found = []
    for number, atlas in enumerate(atlases):
        others = [*atlases[:number], *atlases[number + 1 :]]
        try:
            found.append(propose(atlas.image, others).labels)
        except InputError:
            found.append(np.zeros(atlas.image.shape, np.int32))
        progress(number + 1)
    return found
