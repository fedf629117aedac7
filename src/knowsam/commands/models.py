"""`knowsam models`: the official SAM weights on this computer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from knowsam.commands.download_bar import download_bar
from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.official_weights import (
    FOLDER_VARIABLE,
    LICENCE,
    OFFICIAL,
    SOURCE,
    add_official_weights,
    is_intact,
    official_weights_file,
    place_of,
    weights_folder,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path


def run(options: Namespace) -> None:
    """List, get, add or check weights.

    Raises
    ------
    ConfigError
        If a name or a file is missing, or one too many.
    CheckpointError
        If weights cannot be had, or are not the published ones.
    """
    takes_what = {"get": "the NAME of weights that `knowsam models list` shows", "add": "a FILE"}.get(options.action)
    if (options.what is None) != (takes_what is None):
        needs = f"needs {takes_what}" if takes_what else "needs nothing more"
        raise ConfigError(f"`knowsam models {options.action}` {needs}.")
    match options.action:
        case "list":
            sys.stdout.write(_listed() + "\n")
        case "get":
            sys.stdout.write(f"{_got(str(options.what))}\n")
        case "add":
            sys.stdout.write(f"{place_of(add_official_weights(options.what))}\n")
        case "check":
            _check()


def _listed() -> str:
    rows = ["name   weights    parameters     size  on this computer"]
    for name, official in OFFICIAL.items():
        there = "yes" if place_of(name).is_file() else "no"
        rows.append(f"{name:<6} {official.name}  {official.parameters_m:>8} M  {official.megabytes:>4} MB  {there}")
    return "\n".join(
        [
            *rows,
            f"From {SOURCE}, licence {LICENCE}. The compact SAM, the default teacher, comes with the program.",
            f"They lie in {weights_folder()}; {FOLDER_VARIABLE} names another folder.",
        ]
    )


def _got(name: str) -> Path:
    with download_bar() as progress:
        return official_weights_file(name, progress)


def _check() -> None:
    there = [name for name in OFFICIAL if place_of(name).is_file()]
    damaged = [name for name in there if not is_intact(name)]
    for name in there:
        verdict = "is NOT the published file" if name in damaged else "is the published file"
        sys.stdout.write(f"{name}  {place_of(name)} {verdict}\n")
    if not there:
        sys.stdout.write(f"There are no weights in {weights_folder()}.\n")
    if damaged:
        raise CheckpointError(
            f"{len(damaged)} of {len(there)} files are damaged or others than published. Delete them, and get them "
            "again with `knowsam models get NAME`."
        )
