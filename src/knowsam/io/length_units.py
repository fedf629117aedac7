"""Units of length by their names in headers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from knowsam.errors import InputError

_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("m", "meter", "metre"), 1000.0),
    **dict.fromkeys(("um", "μm", "micron", "micrometer", "micrometre"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-6),
    # In all formats, no unit means mm.
    **dict.fromkeys(("", "?", "???", "unknown", "none"), 1.0),
}


def mm_of_units(name: str, units: Sequence[str]) -> tuple[list[float], str | None]:
    """Return the mm in each of some units, and a notice if lengths have to be converted.

    Parameters
    ----------
    name : of the file, for messages.

    Raises
    ------
    InputError
        If one is no known unit of length.
    """
    found = [_MM.get(re.sub(r"(?<=\w{2})s$", "", unit.strip().casefold())) for unit in units]
    for unit, mm in zip(units, found, strict=True):
        if mm is None:
            raise InputError(
                f"{name} gives lengths in “{unit.strip()}”, but mm, cm, m, um or nm are needed. Save it again with its "
                "lengths in mm."
            )
    known = [mm for mm in found if mm is not None]
    if all(mm == 1 for mm in known):
        return known, None
    words = " and ".join(dict.fromkeys(unit.strip() or "mm" for unit in units))
    return known, (
        f"The file gives lengths in {words}; they were converted to mm. Programs that take them for mm, as those built "
        "on ITK do, show the image and a mask of it at different places."
    )
