"""Frames by their series, and damaged files, of a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knowsam.errors import InputError
from knowsam.io.dicom.frames import Frame, read_frames
from knowsam.io.dicom.header import series_of

Tracked = Callable[[Sequence[Path]], Iterable[Path]]
"""Passes files on, one after the other, to show progress or to stop."""


@dataclass(frozen=True)
class Folder:
    """The frames and the damaged files among many files.

    Parameters
    ----------
    series : the frames of each series that has any.
    damaged : by series, the fault of its first damaged file.
    unassigned : the fault of each damaged file that may belong to any series.
    """

    series: dict[str, list[Frame]]
    damaged: dict[str, str] = field(default_factory=dict)
    unassigned: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user of every series."""
        if not self.unassigned:
            return ()
        if len(self.unassigned) == 1:
            return (
                "1 file is damaged and does not say to which series it belongs; a slice of this one may be missing.",
            )
        return (
            f"{len(self.unassigned)} files are damaged and do not say to which series they belong; slices of this one "
            "may be missing.",
        )

    def refuse_damaged(self, series: str) -> None:
        """Check that no file of a series is damaged.

        Raises
        ------
        InputError
            If one is.
        """
        if series in self.damaged:
            raise InputError(self.damaged[series])


def read_folder(files: Sequence[Path], tracked: Tracked = iter) -> Folder:
    """Read the headers of files; a damaged one makes no series unusable but its own.

    Parameters
    ----------
    tracked : sees each file before it is read.
    """
    series: dict[str, list[Frame]] = defaultdict(list)
    damaged: list[tuple[str | None, str]] = []
    for number, path in enumerate(tracked(files), 1):
        try:
            for frame in read_frames(path, f"file {number} of {len(files)}, counted by name,"):
                series[frame.file.series].append(frame)
        except InputError as error:
            damaged.append((series_of(path), str(error)))
    # Where no other file has the series that a damaged one names, that name may be damaged as well.
    of_series = {name: sentence for name, sentence in reversed(damaged) if name in series}
    return Folder(dict(series), of_series, tuple(sentence for name, sentence in damaged if name not in series))
