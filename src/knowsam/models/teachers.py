"""The table of teachers: from a choice to weights, and from settings and weights to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowsam.errors import ConfigError
from knowsam.models.checkpoints import load_sam_weights
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.official_weights import official_weights_file
from knowsam.models.sam_teacher import SamTeacher

if TYPE_CHECKING:
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
    """

    network: type[PromptedTeacher]
    pretrained: Callable[[str, Progress | None], Mapping[str, Tensor]]


def _official(variant: str, progress: Progress | None) -> Mapping[str, Tensor]:
    return load_sam_weights(official_weights_file(variant, progress))


TEACHERS = {
    "compact": TeacherKind(SamTeacher, lambda *_: compact_sam_weights()),
    "vit_b": TeacherKind(SamTeacher, _official),
    "vit_l": TeacherKind(SamTeacher, _official),
    "vit_h": TeacherKind(SamTeacher, _official),
}
"""By the name in `TeacherConfig.variant`, whose choices are these and "none"."""


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
