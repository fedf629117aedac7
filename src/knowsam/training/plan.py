"""What will run, and why: settings, budget, teacher and earlier model resolved in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from knowsam.config import Config
    from knowsam.models.teacher_origin import TeacherOrigin
    from knowsam.training.continuation import Continuation
    from knowsam.training.schedule import Budget
    from knowsam.training.trained_model import TrainedModel

_FROM_SCRATCH = (
    "The settings of the plane, of the networks or of what they are shown have changed: training begins from scratch."
)


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do; nothing else switches a part of it on or off.

    Parameters
    ----------
    config : the settings as they will run, every part of the method on or off.
    chosen : the settings as a person chose them.
    budget : when to end.
    device : where to compute.
    teacher : what the teacher is built from; None without a teacher.
    earlier : the model to start from, its teacher left out where it is not that of this training.
    last : the training to go on with, whose model is the earlier one; None starts anew.
    is_transfer : whether the earlier model is one of other volumes.
    left_out : parts of the method that are left out because nobody asked for them, in sentences.
    reasons : why else the training differs from what was asked for, in sentences.
    """

    config: Config
    chosen: Config
    budget: Budget
    device: torch.device
    teacher: TeacherOrigin | None
    earlier: TrainedModel | None
    last: Continuation | None
    is_transfer: bool
    left_out: tuple[str, ...]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in plain words and numbers, for a report or a model file."""
        earlier = None if self.earlier is None else ("students and teacher" if self.earlier.teacher else "students")
        return {
            "config": self.config.to_dict(),
            "budget": asdict(self.budget),
            "device": str(self.device),
            "teacher": None if self.teacher is None else asdict(self.teacher),
            "earlier_model": earlier,
            "steps_before": 0 if self.last is None else self.last.model.steps,
            "is_transfer": self.is_transfer,
            "reasons": [*self.left_out, *self.reasons],
        }


def make_plan(
    config: Config,
    budget: Budget,
    device: torch.device,
    *,
    sam_weights: Mapping[str, Tensor] | None = None,
    start_from: TrainedModel | None = None,
    last: Continuation | None = None,
    device_notice: str = "",
) -> TrainingPlan:
    """Resolve what runs.

    Parameters
    ----------
    config : the settings as a person chose them; parts that are None are decided here.
    sam_weights : of the chosen teacher; None trains it from scratch.
    start_from : a model of other volumes.
    last : an earlier training of the same volumes.
    device_notice : why the device is not the one that would have been taken first.
    """
    # Imported here, so that a panel can ask for the parts without waiting for PyTorch.
    from knowsam.models.teacher_origin import TeacherOrigin

    chosen = config
    is_official = sam_weights is not None and config.teacher.variant != "compact"
    config, left_out = with_parts(config, is_official=is_official)
    reasons: tuple[str, ...] = ()
    teacher = TeacherOrigin.of(config.teacher, sam_weights) if config.method.distillation else None
    if last is not None and not last.fits(config):
        last = None
        reasons = (_FROM_SCRATCH,)
    earlier = start_from if last is None else last.model
    if earlier is not None and earlier.teacher and earlier.teacher_origin != teacher:
        earlier = replace(earlier, teacher=MappingProxyType({}))
        if last is not None:
            last = replace(last, model=earlier, learning=replace(last.learning, teacher_moments={}))
        if teacher is not None:
            reasons = (*reasons, "The earlier model learnt from another SAM; the students go on, this SAM begins anew.")
    if last is not None and last.model.config.training.optimizer != config.training.optimizer:
        last = replace(last, learning=replace(last.learning, moments={}))
        reasons = (*reasons, "The optimiser is another one, and begins anew.")
    if last is not None:
        reasons = (*reasons, "Training goes on where the last one ended.")
    if not config.method.distillation and not left_out and not reasons:
        reasons = ("No teacher: the students learn alone.",)
    if device_notice:
        reasons = (device_notice, *reasons)
    is_transfer = start_from is not None
    if is_transfer:
        # A few slices of one volume would soon outweigh all that was learnt from other volumes.
        rate = config.training.adaptation * config.training.learning_rate
        config = config.with_values(learning_rate=rate)
    return TrainingPlan(config, chosen, budget, device, teacher, earlier, last, is_transfer, left_out, reasons)


def with_parts(config: Config, *, is_official: bool) -> tuple[Config, tuple[str, ...]]:
    """Return the settings with every part of the method on or off, and sentences on what nobody chose and is off.

    The compact SAM teaches, and slices are mixed, only where somebody asks for it: in a minute neither makes a
    difference, and in models of other volumes the distillation makes the students worse
    (`benchmarks/results/compact_sam.md`, `benchmarks/results/semi_supervised.md`). Mixing was not measured for longer.

    Parameters
    ----------
    is_official : whether SAM has official weights; then it teaches.
    """
    method = config.method
    has_teacher = config.teacher.variant != "none"
    distillation = has_teacher and (is_official if method.distillation is None else method.distillation)
    mixing = is_official if method.mixing is None else method.mixing
    left_out = []
    if has_teacher and not distillation and method.distillation is None:
        left_out.append("the compact SAM does not teach")
    if not mixing and method.mixing is None:
        left_out.append("slices are not mixed")
    said = " and ".join(left_out)
    reasons = (f"{said[0].upper()}{said[1:]} unless you ask for it.",) if said else ()
    return config.with_values(distillation=distillation, mixing=mixing), reasons
