"""A mask that was proposed for a volume and not yet confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class ProposedMask:
    """The probable labels of a volume, before anything is painted in it.

    Parameters
    ----------
    labels : (Z, Y, X), label values.
    agreement : (Z, Y, X), float16, their probability, in [0, 1].
    """

    labels: npt.NDArray[np.integer[Any]]
    agreement: npt.NDArray[np.float16]

    def found(self, axis: int) -> npt.NDArray[np.bool_]:
        """Return (H, W), where any slice along an axis shows a structure."""
        found: npt.NDArray[np.bool_] = (self.labels != 0).any(axis=axis)
        return found
