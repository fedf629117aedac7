"""Published weights on this computer: where they lie, whether they are intact, and how they come here."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import HTTPError

import platformdirs

from knowsam.errors import CheckpointError
from knowsam.models.download import Progress, copy, download, is_whole, part_of, sha256_of
from knowsam.models.published_weights import ALIASES, FOLDER_FILES, OFFICIAL, OfficialWeights

FOLDER_VARIABLE = "KNOWSAM_WEIGHTS"
"""Environment variable that names the folder of weights, for computers that share one or are never online."""


def weights_folder() -> Path:
    """Return the folder of official weights: what the environment says, or a cache of the user's."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("napari-knowsam", appauthor=False))


def official(name: str) -> OfficialWeights:
    """Return what is published under a name, or a shorter one.

    Raises
    ------
    CheckpointError
        If it is nothing.
    """
    found = OFFICIAL.get(ALIASES.get(name, name))
    if found is None:
        raise CheckpointError(
            f"There are no official weights for {name}, only for {', '.join((*OFFICIAL, *ALIASES))}. Choose one of "
            "these, or give yours with --teacher FILE or --teacher FOLDER."
        )
    return found


def place_of(name: str) -> Path:
    """Return the file, or the folder, in which weights lie or would lie.

    Raises
    ------
    CheckpointError
        If there are no official weights of that name.
    """
    found = official(name)
    return weights_folder() / (ALIASES.get(name, name) if found.is_folder else found.files[0].name)


def is_here(name: str) -> bool:
    """Return whether weights lie on this computer, be they intact or not."""
    return all(path.is_file() for path, _ in _places(name))


def is_intact(name: str) -> bool:
    """Return whether weights are here and are the published ones; those of ViT-H take seconds."""
    return all(is_whole(path, sha256) for path, sha256 in _places(name))


def _places(name: str) -> list[tuple[Path, str]]:
    """Return where each file of some weights lies or would lie, and its checksum."""
    place, found = place_of(name), official(name)
    return [(place / file.name if found.is_folder else place, file.sha256) for file in found.files]


def official_weights(name: str, progress: Progress | None = None) -> Path:
    """Return the file, or the folder, of official weights, downloaded once and checked each time.

    Parameters
    ----------
    name : one of `OFFICIAL` or of `ALIASES`.
    progress : see there; of each file by itself.

    Raises
    ------
    CheckpointError
        If there are no such weights, or they cannot be downloaded or are not the published ones.
    """
    found = official(name)
    for file, (path, sha256) in zip(found.files, _places(name), strict=True):
        if is_whole(path, sha256):
            continue
        try:
            download(file.address, path, sha256, progress)
        except (OSError, ValueError) as exc:
            raise CheckpointError(
                f"The official weights of {found.name} could not be downloaded: {_reason(exc, path)}. "
                f"{_by_hand(name, found)}"
            ) from exc
    return place_of(name)


def _by_hand(name: str, found: OfficialWeights) -> str:
    """Return a sentence on how weights come to a computer that is never online."""
    files = " and ".join(f"{file.name} ({file.url}, SHA-256 {file.sha256})" for file in found.files)
    what, save = ("FOLDER", "save them in") if found.is_folder else ("FILE", "save it as")
    return (
        f"Download {files} on a computer that is online, and {save} {place_of(name)}, or let "
        f"`knowsam models add {what}` do that, or give it with --teacher {what}."
    )


def add_official_weights(path: Path) -> str:
    """Copy published weights to where the program looks for them; return their name.

    Parameters
    ----------
    path : of a file of SAM, or of a folder of Hugging Face.

    Raises
    ------
    CheckpointError
        If they are none of the published ones, cannot be read or copied, or do not arrive whole.
    """
    try:
        name = _recognised(path)
        for target, sha256 in _places(name):
            copy(path / target.name if path.is_dir() else path, target, sha256)
    except ValueError as exc:
        raise CheckpointError(
            f"{path} is a copy of {name}, but what arrived in {weights_folder()} is not. Try again, or copy it from "
            "another disk."
        ) from exc
    except OSError as exc:
        raise CheckpointError(
            f"{path} cannot be read, or not be copied to {weights_folder()}: {exc.strerror}. Check the path; the "
            f"environment variable {FOLDER_VARIABLE} names another folder."
        ) from exc
    return name


def _recognised(path: Path) -> str:
    """Return the name of the weights that a file or a folder is a copy of."""
    files = [path / name for name in FOLDER_FILES] if path.is_dir() else [path]
    checksums = [sha256_of(file) for file in files]
    for name, found in OFFICIAL.items():
        if [file.sha256 for file in found.files] == checksums:
            return name
    known = [name if found.is_folder else found.files[0].name for name, found in OFFICIAL.items()]
    raise CheckpointError(
        f"{path} has the SHA-256 {' and '.join(checksums)}, which none of {', '.join(known)} has. Download one of them "
        "again, from where `knowsam models list` says, or give other weights with --teacher."
    )


def _reason(failure: OSError | ValueError, target: Path) -> str:
    """Return a sentence on why there are no weights, with a remedy."""
    if target.exists():
        return f"{target} is not the published file, and no other one could be had"
    if isinstance(failure, ValueError):
        return "what came is not the published file"
    if isinstance(failure, HTTPError):
        return f"the server answered {failure.code}, {failure.reason}"
    part = part_of(target)
    if part.is_file():
        return f"the connection broke off; {part.stat().st_size / 1e6:.0f} MB are kept, and the next try goes on there"
    return failure.strerror or "the server could not be reached"
