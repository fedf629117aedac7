"""How many slices a step sees, fewer when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchSizes:
    """Annotated and unlabelled slices of one step, in each process."""

    labelled: int
    unlabelled: int

    @property
    def can_be_halved(self) -> bool:
        """Whether a step can see fewer slices."""
        return max(self.labelled, self.unlabelled) > 1

    def halved(self) -> BatchSizes:
        """Return half as many slices, at least one of each kind."""
        return BatchSizes(max(self.labelled // 2, 1), max(self.unlabelled // 2, 1))

    def times(self, processes: int) -> BatchSizes:
        """Return the sizes of the joined batch of so many processes."""
        return BatchSizes(processes * self.labelled, processes * self.unlabelled)

    def __str__(self) -> str:
        return f"{self.labelled} annotated and {self.unlabelled} unlabelled slices"
