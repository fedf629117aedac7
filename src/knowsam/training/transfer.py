"""Transfer of a model of other volumes: it learns only where enough slices are annotated."""

from __future__ import annotations


class Transfer:
    """Decides whether the earlier model learns; one of the same volumes always does.

    Parameters
    ----------
    is_transfer : whether the earlier model is one of other volumes.
    minimum : annotated slices from which it learns.
    """

    def __init__(self, *, is_transfer: bool, minimum: int) -> None:
        self._minimum = minimum if is_transfer else 0

    def has_too_few(self, annotated: int) -> bool:
        """Tell whether so few slices are annotated that the model would forget more than it learns."""
        return annotated < self._minimum

    def too_few_sentence(self, annotated: int) -> str:
        """Say why it does not learn, and what would let it."""
        return (
            f"{annotated} annotated slices are too few for a model of other volumes, which would forget more than it "
            f"learns, so that it stays as it is. Annotate at least {self._minimum} to let it learn."
        )

    def learn_from_few(self) -> None:
        """Let it learn from however few slices are annotated."""
        self._minimum = 0
