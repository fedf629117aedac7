"""No semi-supervised method: the students learn from labels, of people and propagated ones, and from a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms

if TYPE_CHECKING:
    from knowsam.training.semi_supervised.method import Seen


class LabelsOnly(SemiSupervisedMethod):
    """Adds nothing to the loss."""

    title = "labels alone"

    def forward(self, seen: Seen) -> Terms:
        """Return no term."""
        return Terms()
