"""The table of teachers: from a choice to a teacher with its weights, and from settings and weights to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.checkpoints import load_sam_weights, variant_of
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.edgetam_teacher import EdgeTamTeacher
from knowsam.models.mobile_sam_teacher import MobileSamTeacher
from knowsam.models.network_folder import model_type_of
from knowsam.models.official_weights import official, official_weights
from knowsam.models.prompted_pyramid import PromptedPyramid
from knowsam.models.prompted_sam import PromptedSam
from knowsam.models.published_weights import OFFICIAL
from knowsam.models.pyramid_teacher import PyramidTeacher
from knowsam.models.sam2_teacher import Sam2Teacher
from knowsam.models.sam_teacher import SamTeacher

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.config import Config
    from knowsam.models.download import Progress
    from knowsam.models.promptable_sam import PromptableSam
    from knowsam.models.prompted_teacher import PromptedTeacher


@dataclass(frozen=True)
class TeacherKind:
    """A teacher that can be chosen.

    Parameters
    ----------
    network : what is built.
    folder_types : model types of the folders of Hugging Face that hold such a network.
    read_folder : reads the weights in one.
    """

    network: type[PromptedTeacher]
    folder_types: tuple[str, ...] = ()
    read_folder: Callable[[Path], Mapping[str, Tensor]] | None = None


TEACHERS = {
    "compact": TeacherKind(SamTeacher),
    "vit_b": TeacherKind(SamTeacher),
    "vit_l": TeacherKind(SamTeacher),
    "vit_h": TeacherKind(SamTeacher),
    "mobile_sam": TeacherKind(MobileSamTeacher),
    "sam2": TeacherKind(Sam2Teacher, ("sam2", "sam2_video"), Sam2Teacher.read),
    "edgetam": TeacherKind(EdgeTamTeacher, ("edgetam", "edgetam_video"), EdgeTamTeacher.read),
}
"""By the name in `TeacherConfig.variant`, whose choices are these and "none"."""

TEACHER_NAMES = tuple(dict.fromkeys((*TEACHERS, *OFFICIAL)))
"""Names of teachers to choose from: there are several published networks of one kind."""


_UNTAUGHT = {"none": "none", "scratch": "compact"}
"""Choices without pretrained weights, and the variant of each."""


@dataclass(frozen=True)
class Teacher:
    """A network to learn from: its kind in `TEACHERS`, and its weights; None trains it from scratch."""

    variant: str = "compact"
    weights: Mapping[str, Tensor] | None = None


def choose_teacher(choice: str, progress: Progress | None = None) -> Teacher:
    """Turn ``auto``, ``none``, ``scratch``, a name, a file of SAM weights or a folder of a network into a teacher.

    ``auto`` is the compact SAM with the weights that come with the program, ``scratch`` the same without them. Official
    weights are downloaded once and checked; ``sam2`` is the smallest SAM 2.1.

    Parameters
    ----------
    progress : of a download; an exception it raises stops that.

    Raises
    ------
    ConfigError
        If the choice is none of these, or a package is missing.
    CheckpointError
        If the weights cannot be had or are not those of a SAM.
    """
    if choice in _UNTAUGHT:
        return Teacher(_UNTAUGHT[choice])
    name = "compact" if choice == "auto" else choice
    path = Path(choice)
    # A folder that was copied from the hub has the same name as its download.
    if name in TEACHERS or (name in TEACHER_NAMES and not path.exists()):
        return Teacher(*named_weights(name, progress))
    if not path.exists():
        names = ", ".join(("auto", *_UNTAUGHT, *TEACHER_NAMES))
        raise ConfigError(
            f"The teacher {choice!r} is neither a file nor a folder nor one of {names}. "
            "Give one of these, a file of official SAM weights, or a folder with a SAM-2 or EdgeTAM of Hugging Face."
        )
    return Teacher(*read_weights(path))


def named_weights(name: str, progress: Progress | None = None) -> tuple[str, Mapping[str, Tensor]]:
    """Return the kind, as in the table, and the weights of the teacher of a name.

    Parameters
    ----------
    name : one of `TEACHER_NAMES`. Published weights are downloaded once and checked.
    progress : of the download; an exception it raises stops that.

    Raises
    ------
    CheckpointError
        If the weights cannot be had.
    ConfigError
        If a package is missing; then nothing is downloaded.
    """
    if name == "compact":
        return name, compact_sam_weights()
    TEACHERS[official(name).variant].network.require_packages()
    return read_weights(official_weights(name, progress))


def read_weights(path: Path) -> tuple[str, Mapping[str, Tensor]]:
    """Read a file of SAM weights, or a folder of Hugging Face; return the kind, as in the table, and the weights.

    Raises
    ------
    CheckpointError
        If they are of no kind in the table, or cannot be read.
    ConfigError
        If a package is missing.
    """
    if path.is_dir():
        return read_folder(path)
    weights = load_sam_weights(path)
    return variant_of(weights), weights


def read_folder(folder: Path) -> tuple[str, Mapping[str, Tensor]]:
    """Read the network in a folder of Hugging Face; return its name in the table, and its weights.

    Raises
    ------
    CheckpointError
        If it is of another model type, or cannot be read.
    ConfigError
        If a package is missing.
    """
    found = model_type_of(folder)
    for name, kind in TEACHERS.items():
        if kind.read_folder is not None and found in kind.folder_types:
            return name, kind.read_folder(folder)
    known = ", ".join(one for kind in TEACHERS.values() for one in kind.folder_types)
    raise CheckpointError(
        f"The network in {folder} is of the model type {found}, expected one of {known}. "
        "Give the folder of such a network, or a file of official SAM weights."
    )


def promptable_sam(variant: str, weights: Mapping[str, Tensor], plane: tuple[int, int]) -> PromptableSam:
    """Build a network that is asked for structures by clicks, boxes and masks, frozen.

    Parameters
    ----------
    variant : its name in the table.
    plane : (H, W) of the slices in px, multiples of 4.

    Raises
    ------
    CheckpointError
        If the weights are those of another network.
    ConfigError
        If a package is missing.
    """
    network = TEACHERS[variant].network
    if issubclass(network, PyramidTeacher):
        return PromptedPyramid(network, weights, plane)
    return PromptedSam.loaded(variant, weights, plane)


def build_teacher(
    classes: int, plane: tuple[int, int], config: Config, weights: Mapping[str, Tensor] | None
) -> PromptedTeacher | None:
    """Build the configured teacher, or None where none teaches.

    Parameters
    ----------
    weights : pretrained ones; None trains the teacher from scratch.

    Raises
    ------
    ConfigError, CheckpointError
        See `PromptedTeacher`.
    """
    variant = config.teacher.variant
    if not config.method.distillation or variant == "none":
        return None
    if variant not in TEACHERS:
        raise ConfigError(f"The teacher is {variant}, but must be one of {', '.join(TEACHERS)}. Choose one of these.")
    return TEACHERS[variant].network(
        classes,
        plane,
        config.teacher,
        learnable_prompts=config.method.learnable_prompts,
        mask_prompts=config.method.mask_prompts,
        weights=weights,
    )
