"""`knowsam models`: the published weights of SAMs and the trained models on this computer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.commands.download_bar import download_bar
from knowsam.commands.outputs import check_model
from knowsam.errors import CheckpointError, ConfigError, OutputError
from knowsam.io import kept_models
from knowsam.models.official_weights import (
    FOLDER_VARIABLE,
    add_official_weights,
    is_here,
    is_intact,
    official,
    official_weights,
    place_of,
    weights_folder,
)
from knowsam.models.published_weights import ALIASES, FOLDER_FILES, LICENCE, OFFICIAL

if TYPE_CHECKING:
    from argparse import Namespace

_TAKES = {
    "get": "the NAME of weights that `knowsam models list` shows",
    "add": "a FILE or FOLDER",
    "show": "the NAME of weights or of a model that `knowsam models list` shows, or the FILE of a model",
}


def run(options: Namespace) -> None:
    """List, get, add or check weights and models, or show the card of a model.

    Raises
    ------
    ConfigError
        If a name or a file is missing or superfluous.
    CheckpointError
        If weights cannot be downloaded, or are not the published ones, or a model cannot be used.
    OutputError
        If a model cannot be added.
    """
    takes_what = _TAKES.get(options.action)
    if (options.what is None) != (takes_what is None):
        needs = f"needs {takes_what}" if takes_what else "needs nothing more"
        raise ConfigError(f"`knowsam models {options.action}` {needs}.")
    match options.action:
        case "list":
            sys.stdout.write(f"{_weights()}\n\n{_models()}\n")
        case "get":
            sys.stdout.write(f"{_got(str(options.what))}\n")
        case "add":
            sys.stdout.write(f"{_added(options.what)}\n")
        case "show":
            sys.stdout.write(f"{_card(options.what)}\n")
        case "check":
            _check()


def _weights() -> str:
    sources: dict[str, list[str]] = {}
    for name, found in OFFICIAL.items():
        sources.setdefault(found.source, []).append(name)
    return "\n".join(
        [
            *_table(),
            'What it needs besides: pip install "napari-knowsam[...]".',
            "A teacher looks at each slice once, for so long on one core.",
            *(f"{short} is {name}." for short, name in ALIASES.items()),
            *(f"From {source}: {', '.join(names)}" for source, names in sources.items()),
            f"Licence of all: {LICENCE}. `knowsam models show NAME` tells files and checksums.",
            "The compact SAM, the default teacher, comes with the program.",
            f"They lie in {weights_folder()}; {FOLDER_VARIABLE} names another folder.",
        ]
    )


def _table() -> list[str]:
    """Return a line for each network: its costs, and whether its weights are on this computer."""
    width = max(map(len, OFFICIAL))
    rows = [f"{'name':<{width}} {'weights':<17}  parameters     size   memory  a slice  needs      on this computer"]
    for name, found in OFFICIAL.items():
        costs = f"{found.megabytes:>4} MB  {found.memory_gib} GiB  {found.seconds_a_slice:>5} s"
        needs = f"[{found.extra}]" if found.extra else "-"
        there = "yes" if is_here(name) else "no"
        rows.append(f"{name:<{width}} {found.name:<17}  {found.parameters_m:>8} M  {costs}  {needs:<9}  {there}")
    return rows


def _models() -> str:
    """Return the names of the kept models, each with the first line of its card."""
    kept = kept_models.kept_models()
    names = [f"{one.name:<20} {one.card.splitlines()[0]}" for one in kept] or ["No model is kept."]
    return "\n".join(
        [
            *names,
            f"Models lie in {kept_models.models_folder()}; {kept_models.FOLDER_VARIABLE} names another folder.",
        ]
    )


def _got(name: str) -> Path:
    with download_bar() as progress:
        return official_weights(name, progress)


def _added(path: Path) -> Path:
    is_of_the_hub = (path / FOLDER_FILES[0]).is_file()
    if is_of_the_hub or (path.suffix != kept_models.MODEL_SUFFIX and not path.is_dir()):
        return place_of(add_official_weights(path))
    from knowsam.training.trained_model import load_model, model_file, save_model

    target = kept_models.place_of_model(kept_models.model_name(model_file(path.absolute())))
    if target.exists():
        raise OutputError(
            f"A model called {target.stem} is kept already, in {target.parent}. Rename the file or folder that is to "
            "be added, or move that one away."
        )
    check_model(target, overwrite=False)
    return save_model(load_model(path), target)


def _card(path: Path) -> str:
    if str(path) in (*OFFICIAL, *ALIASES):
        return _facts(str(path))
    from knowsam.training.model_card import model_card
    from knowsam.training.trained_model import load_model

    return model_card(load_model(kept_models.found_model(path)))


def _facts(name: str) -> str:
    """Return lines with the facts of official weights."""
    found = official(name)
    return "\n".join(
        [
            f"{found.name}: {found.parameters_m} million parameters, {found.megabytes} MB, licence {LICENCE}",
            f"From {found.source}",
            *(f"{file.url}\n  SHA-256 {file.sha256}" for file in found.files),
            f"{place_of(name)}: {'on this computer' if is_here(name) else 'not on this computer'}",
        ]
    )


def _check() -> None:
    damaged = _damaged_weights() + _damaged_models()
    if damaged:
        raise CheckpointError(
            f"{damaged} of these files cannot be used. Delete them, get weights again with `knowsam models get NAME`, "
            "and save or copy the models again."
        )


def _damaged_weights() -> int:
    """Compare weights with the published checksums, and return how many differ."""
    there = [name for name in OFFICIAL if is_here(name)]
    damaged = [name for name in there if not is_intact(name)]
    for name in there:
        what = "folder" if OFFICIAL[name].is_folder else "file"
        verdict = f"is NOT the published {what}" if name in damaged else f"is the published {what}"
        sys.stdout.write(f"{name}  {place_of(name)} {verdict}\n")
    if not there:
        sys.stdout.write(f"There are no weights in {weights_folder()}.\n")
    return len(damaged)


def _damaged_models() -> int:
    """Read each kept model completely, and return how many cannot be used."""
    from knowsam.training.trained_model import load_model

    damaged = 0
    for kept in kept_models.kept_models():
        try:
            load_model(kept.path)
        except CheckpointError as error:
            sys.stdout.write(f"{kept.name}  {error}\n")
            damaged += 1
        else:
            sys.stdout.write(f"{kept.name}  {kept.path} is intact\n")
    return damaged
