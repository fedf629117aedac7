"""The task that workers of a cluster get from `knowsam predict`: one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam import __version__

if TYPE_CHECKING:
    from knowsam.errors import KnowSAMError
    from knowsam.prediction_table import Predicted


@dataclass(frozen=True)
class Answer:
    """The result of one image.

    Parameters
    ----------
    outcome : the row of the table, or the reason why there is no mask.
    notices : notices for the user.
    """

    outcome: Predicted | KnowSAMError | OSError
    notices: tuple[str, ...]


@dataclass(frozen=True)
class PredictionTask:
    """Predicts one image on a worker.

    Parameters
    ----------
    model : its file.
    checksum : of that file, where the command was given.
    folder : for the masks of this run and nothing else.
    measure : also measure classes, for a table.
    version : of KnowSAM where the command was given.
    """

    model: Path
    checksum: str
    folder: Path
    pick: int | str | None
    missing_as_background: bool
    device: str
    measure: bool
    version: str = __version__

    def __call__(self, image: Path) -> Answer:
        """Write the mask of an image into the folder, unless it is there.

        Raises
        ------
        ClusterError
            If no image can be predicted here.
        """
        # Imported here, since the scheduler unpacks tasks and need not load PyTorch.
        from knowsam.commands.cluster_worker import answer

        return answer(self, image)
