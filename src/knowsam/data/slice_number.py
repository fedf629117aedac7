"""How slices are counted in sentences for a person."""

from __future__ import annotations


def slice_number(index: int) -> int:
    """Return the number of a slice as people count, from 1 on.

    napari's slider shows indices, from 0 on. Files and the options of the command line count from 0, too, along the
    axes of a file.
    """
    return index + 1
