"""Errors a user can act on: each message says what was found, what was expected and what to do."""

from __future__ import annotations


class KnowSAMError(Exception):
    """Base of every error this package raises for a user; never a ``RuntimeError`` (workers may drop those)."""


class InputError(KnowSAMError):
    """A file, a folder or a set of labels cannot be used as it is."""


class MissingValuesError(InputError):
    """Voxels of a file are no numbers; it can be read if they are taken for background.

    Parameters
    ----------
    found : how many voxels of what, as the beginning of a sentence.
    """

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found

    def __str__(self) -> str:
        return (
            f"{self.found}, but numbers are needed everywhere. If they are background, as round a brain that was cut "
            "out, read the file with --missing-as-background; the window asks when it opens one."
        )


class OutputError(KnowSAMError):
    """A result cannot be written; nothing half-written is left behind."""


class ConfigError(KnowSAMError):
    """A setting is out of its range or unknown."""


class CheckpointError(KnowSAMError):
    """Model weights are missing, damaged or laid out for another model."""


class PredictionError(KnowSAMError):
    """A slice or a volume cannot be predicted."""


class TrainingError(KnowSAMError):
    """Training cannot start or go on; the last usable model is kept."""


class ClusterError(KnowSAMError):
    """A cluster cannot be reached, or one of its computers cannot do the work."""
