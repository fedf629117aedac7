"""Parsers of the values of command-line options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Literal


def whole(low: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` that fit into 32 bits."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {2**32 - 1}")
        return int(text)

    return read


def slice_list(text: str) -> tuple[int, ...] | Literal["all"] | None:
    """Read slice numbers from 0, "all", or "auto", which is None."""
    if text == "auto":
        return None
    if text == "all":
        return "all"
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor all nor slice numbers such as 3,10,20"
        ) from None


def term(text: str) -> tuple[int, str]:
    """Read a value of a mask and its words."""
    value, equals, words = text.partition("=")
    if not (value.isdecimal() and int(value) and equals and words.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is no value of the mask and its words, such as 1=liver")
    return int(value), words.strip()


def scheduler(text: str) -> str:
    """Read the address of a dask scheduler."""
    if not re.fullmatch(r"(tcp|tls)://.+:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a dask scheduler, such as tcp://host:8786")
    return text


def axis(text: str) -> int | None:
    """Read the number of an axis; "auto" is None."""
    if text not in ("auto", "0", "1", "2"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, 0, 1, 2")
    return None if text == "auto" else int(text)
