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
    description : such as "T1 post (series 11), echo 2"; from a header, but nothing that names a patient.
    extent : such as "22 slices of 320 x 280, 5 mm apart", or nothing where that is not known before reading.
    slices : how many there are, 0 where that is not known before reading.
    read : reads it.
    """

    description: str
    extent: str
    slices: int
    read: Callable[[], Volume] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.description}, {self.extent}" if self.extent else self.description


def listed(choices: Sequence[ImageChoice]) -> str:
    """Return a numbered list of choices, a line each, counted from 1."""
    return "\n".join(f"{number:>4}  {choice}" for number, choice in enumerate(choices, 1))


def chosen(choices: Sequence[ImageChoice], pick: int | str | None = None) -> ImageChoice:
    """Return the choice that is meant.

    Parameters
    ----------
    pick : its number, counted from 1, or a part of its description that fits no other; None for the only one.

    Raises
    ------
    InputError
        If none or several fit.
    """
    if isinstance(pick, int):
        fitting = [choices[pick - 1]] if 1 <= pick <= len(choices) else []
    else:
        fitting = [choice for choice in choices if (pick or "").lower() in str(choice).lower()]
    if len(fitting) == 1:
        return fitting[0]
    images = "There is 1 image" if len(choices) == 1 else f"There are {len(choices)} images"
    found = images if pick is None else f"{images}, and {pick!r} fits {len(fitting) or 'none'} of them"
    raise InputError(
        f"{found}:\n{listed(choices)}\n"
        "One is needed. Pick it by its number or by a part of its description, with --pick on the command line."
    )
