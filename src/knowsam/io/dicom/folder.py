"""What many files hold: frames by their series, and files that are damaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knowsam.errors import InputError
from knowsam.io.dicom.frames import Frame, read_frames
from knowsam.io.dicom.header import series_of

Tracked = Callable[[Sequence[Path]], Iterable[Path]]
"""Passes files on, one after the other, and shows or stops how far it has come."""


@dataclass(frozen=True)
class Folder:
    """What files hold.

    Parameters
    ----------
    series : the frames of each series that has any.
    spoiled : of each series with damaged files, what is wrong with the first of these.
    homeless : what is wrong with each damaged file that may belong to any series.
    """

    series: dict[str, list[Frame]]
    spoiled: dict[str, str] = field(default_factory=dict)
    homeless: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be told with every series."""
        if not self.homeless:
            return ()
        if len(self.homeless) == 1:
            return (
                "1 file is damaged and does not say to which series it belongs; a slice of this one may be missing.",
            )
        return (
            f"{len(self.homeless)} files are damaged and do not say to which series they belong; slices of this one "
            "may be missing.",
        )

    def refuse_spoiled(self, series: str) -> None:
        """Check that no file of a series is damaged.

        Raises
        ------
        InputError
            If one is.
        """
        if series in self.spoiled:
            raise InputError(self.spoiled[series])


def read_folder(files: Sequence[Path], tracked: Tracked = iter) -> Folder:
    """Read the headers of files; one that is damaged spoils no series but its own.

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
    # What is said to belong to a series of which nothing else is there may have been said by damage.
    spoiled = {name: sentence for name, sentence in reversed(damaged) if name in series}
    return Folder(dict(series), spoiled, tuple(sentence for name, sentence in damaged if name not in series))
