"""SAM's official weights: where they come from, and where they lie on this computer."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import platformdirs

from knowsam.errors import CheckpointError
from knowsam.models.download import Progress, download, part_of, sha256_of

FOLDER_VARIABLE = "KNOWSAM_WEIGHTS"
"""Environment variable that names the folder of weights, for computers that share one or are never online."""

LICENCE = "Apache 2.0"
SOURCE = "https://github.com/facebookresearch/segment-anything"


@dataclass(frozen=True)
class OfficialWeights:
    """A file of official SAM weights.

    Parameters
    ----------
    name : in words. url, sha256 : of the published file. megabytes : its size. parameters_m : in millions.
    memory_gib : that the networks take beside the rest of a training; while the file is read, twice as much.
    seconds_a_slice : for its frozen blocks, once for each slice of 96 x 96 px: CPU time of one core
        (`benchmarks/official_sams.py`).
    """

    name: str
    url: str
    sha256: str
    megabytes: int
    parameters_m: int
    memory_gib: float
    seconds_a_slice: float


_SERVER = "https://dl.fbaipublicfiles.com/segment_anything"

OFFICIAL = {
    "vit_b": OfficialWeights(
        "SAM ViT-B",
        f"{_SERVER}/sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375,
        94,
        0.4,
        0.2,
    ),
    "vit_l": OfficialWeights(
        "SAM ViT-L",
        f"{_SERVER}/sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1250,
        312,
        1.2,
        0.9,
    ),
    "vit_h": OfficialWeights(
        "SAM ViT-H",
        f"{_SERVER}/sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2565,
        641,
        2.4,
        1.6,
    ),
}


def weights_folder() -> Path:
    """Return the folder of official weights: what the environment says, or a cache of the user's."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("napari-knowsam", appauthor=False))


def place_of(variant: str) -> Path:
    """Return where the file of a variant lies, or would lie.

    Raises
    ------
    CheckpointError
        If the variant has no official weights.
    """
    if variant not in OFFICIAL:
        raise CheckpointError(
            f"There are no official weights for {variant}, only for {', '.join(OFFICIAL)}. Choose one of these."
        )
    return weights_folder() / OFFICIAL[variant].url.rpartition("/")[2]


def is_intact(variant: str) -> bool:
    """Tell whether the file of a variant is there and is the published one; ViT-H takes seconds."""
    place = place_of(variant)
    return place.is_file() and sha256_of(place) == OFFICIAL[variant].sha256


def official_weights_file(variant: str, progress: Progress | None = None) -> Path:
    """Return the file of a variant's official weights, downloaded once and checked each time.

    Parameters
    ----------
    variant : one of `OFFICIAL`.
    progress : see there.

    Raises
    ------
    CheckpointError
        If the variant has no official weights, or the file cannot be downloaded or is not the published one.
    """
    target = place_of(variant)
    official = OFFICIAL[variant]
    if is_intact(variant):
        return target
    try:
        download(official.url, target, official.sha256, progress)
    except (OSError, ValueError) as exc:
        raise CheckpointError(
            f"The official weights of SAM {variant} could not be downloaded: {_reason(exc, target)}. "
            f"Download {target.name}, the file that the repository of Segment Anything names for {variant} "
            f"({official.url}, SHA-256 {official.sha256}), on a computer that is online, and save it as {target}, "
            "or let `knowsam models add FILE` do that, or give it with --teacher FILE."
        ) from exc
    return target


def add_official_weights(path: Path) -> str:
    """Copy a file of official weights to where the program looks for it; return its variant.

    Raises
    ------
    CheckpointError
        If it is none of the published files, or cannot be read or copied.
    """
    try:
        found = sha256_of(path)
        variant = next((name for name, official in OFFICIAL.items() if official.sha256 == found), None)
        if variant is None:
            raise CheckpointError(
                f"{path} has the SHA-256 {found}, which none of the published files {_file_names()} has. Download one "
                f"of them again, from {SOURCE}, or give other weights with --teacher FILE."
            )
        target = place_of(variant)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(target)
        shutil.copyfile(path, part)
        os.replace(part, target)
    except OSError as exc:
        raise CheckpointError(
            f"{path} cannot be read, or not be copied to {weights_folder()}: {exc.strerror}. Check the path; the "
            f"environment variable {FOLDER_VARIABLE} names another folder."
        ) from exc
    return variant


def _file_names() -> str:
    return ", ".join(official.url.rpartition("/")[2] for official in OFFICIAL.values())


def _reason(failure: OSError | ValueError, target: Path) -> str:
    """Say why there are no weights, in words for whoever is to do something about it."""
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
