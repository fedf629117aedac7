"""One of the images that a file or a folder holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


@dataclass(frozen=True)
class ImageChoice:
    """An image that can be read, in words to choose it by.

    Parameters
    ----------
    description : such as "T1 post (series 11), echo 2"; from a header, without anything that names a patient.
    extent : such as "22 slices of 320 x 280, 5 mm apart", empty if not known before reading.
    slices : how many there are, 0 if not known before reading.
    read : reads it.
    read_filled : reads it with missing voxels as background; None for files that have no missing voxels.
    """

    description: str
    extent: str
    slices: int
    read: Callable[[], Volume] = field(repr=False, compare=False)
    read_filled: Callable[[], Volume] | None = field(default=None, repr=False, compare=False)

    def volume(self, *, missing_as_background: bool) -> Volume:
        """Read it, with missing voxels refused or as background."""
        return self.read_filled() if missing_as_background and self.read_filled else self.read()

    def __str__(self) -> str:
        return f"{self.description}, {self.extent}" if self.extent else self.description


def listed(choices: Sequence[ImageChoice]) -> str:
    """Return a list of choices, a line each, which begins with the number in brackets that picks it."""
    return "\n".join(f"{f'[{number}]':>5} {choice}" for number, choice in enumerate(choices, 1))


def chosen(choices: Sequence[ImageChoice], pick: int | str | None = None) -> ImageChoice:
    """Return the choice that `pick` selects.

    Parameters
    ----------
    pick : its number, counted from 1, its description, or a part of that which fits no other; None for the only one.

    Raises
    ------
    InputError
        If none or several fit.
    """
    if isinstance(pick, int):
        fitting = [choices[pick - 1]] if 1 <= pick <= len(choices) else []
    else:
        text = (pick or "").lower()
        fitting = [choice for choice in choices if text == choice.description.lower()]
        fitting = fitting or [choice for choice in choices if text in str(choice).lower()]
    if len(fitting) == 1:
        return fitting[0]
    images = "There is 1 image" if len(choices) == 1 else f"There are {len(choices)} images"
    found = images if pick is None else f"{images}, and {pick!r} fits {len(fitting) or 'none'} of them"
    raise InputError(
        f"{found}:\n{listed(choices)}\n"
        "One is needed. Pick it with --pick on the command line: by the number in brackets in front of it, or by what "
        "follows it or a part of that."
    )
