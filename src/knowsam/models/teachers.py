"""The table of teachers: from a choice to weights, and from settings and weights to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.checkpoints import load_sam_weights
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.edgetam_teacher import EdgeTamTeacher
from knowsam.models.network_folder import model_type_of
from knowsam.models.official_weights import official_weights_file
from knowsam.models.sam2_teacher import Sam2Teacher
from knowsam.models.sam_teacher import SamTeacher

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from knowsam.config import Config
    from knowsam.models.download import Progress
    from knowsam.models.prompted_teacher import PromptedTeacher


@dataclass(frozen=True)
class TeacherKind:
    """A teacher that can be chosen.

    Parameters
    ----------
    network : what is built.
    pretrained : returns its weights, by its name in the table; what the progress of a download raises breaks that off.
    folder_types : model types of the folders of Hugging Face that hold such a network.
    read_folder : reads the weights in one.
    """

    network: type[PromptedTeacher]
    pretrained: Callable[[str, Progress | None], Mapping[str, Tensor]]
    folder_types: tuple[str, ...] = ()
    read_folder: Callable[[Path], Mapping[str, Tensor]] | None = None


def _official(variant: str, progress: Progress | None) -> Mapping[str, Tensor]:
    return load_sam_weights(official_weights_file(variant, progress))


def _in_a_folder(name: str, progress: Progress | None) -> Mapping[str, Tensor]:
    raise ConfigError(
        f"The weights of {name} neither come with the program nor are they downloaded by it. Give the folder that they "
        "are in, with config.json and model.safetensors, by --teacher FOLDER."
    )


TEACHERS = {
    "compact": TeacherKind(SamTeacher, lambda *_: compact_sam_weights()),
    "vit_b": TeacherKind(SamTeacher, _official),
    "vit_l": TeacherKind(SamTeacher, _official),
    "vit_h": TeacherKind(SamTeacher, _official),
    "sam2": TeacherKind(Sam2Teacher, _in_a_folder, ("sam2", "sam2_video"), Sam2Teacher.read),
    "edgetam": TeacherKind(EdgeTamTeacher, _in_a_folder, ("edgetam", "edgetam_video"), EdgeTamTeacher.read),
}
"""By the name in `TeacherConfig.variant`, whose choices are these and "none"."""


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
