"""One training step of KnowSAM; reads like the method figure.

Source: Huang et al., IEEE TMI 2025. Departures: supervised terms count annotated pixels only, all classes enter
consistency and distillation, and consistency is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from knowsam.propagation.most_probable import most_probable
from knowsam.training.losses import (
    consistency_weight,
    distillation_loss,
    pseudo_label_loss,
    supervised_loss,
)
from knowsam.training.mixing import MixedBatch, mix
from knowsam.training.semi_supervised.method import Seen, Terms, rows_of

if TYPE_CHECKING:
    import numpy as np

    from knowsam.config import Config
    from knowsam.models.students import StudentLogits
    from knowsam.training.batch import Batch, PseudoLabels
    from knowsam.training.semi_supervised.method import Pass, PassLogits, SemiSupervisedMethod
    from knowsam.training.teaching import Taught, Teaching


@dataclass(frozen=True)
class StepLosses:
    """The weighted terms of one step, in the order of `step_losses`; a term that is switched off is zero."""

    supervised: float
    consistency: float
    entropy: float
    distillation: float
    mixing: float
    teacher: float
    propagation: float = 0.0

    @property
    def total(self) -> float:
        """What the step minimised."""
        return (
            self.supervised
            + self.consistency
            + self.entropy
            + self.distillation
            + self.mixing
            + self.teacher
            + self.propagation
        )


def step_losses(
    students: Pass,
    teaching: Teaching | None,
    method: SemiSupervisedMethod,
    batch: Batch,
    progress: float,
    config: Config,
    dtype: torch.dtype,
    *,
    random: np.random.Generator,
    number: int = 0,
) -> Tensor:
    """Run students and teacher on a batch and return the weighted terms of `StepLosses`; their sum is to be minimised.

    Parameters
    ----------
    teaching : None switches distillation off.
    method : how the students learn from slices without labels.
    progress : share of the training that is done, in [0, 1].
    dtype : arithmetic of the networks; the losses are float32.
    random : random numbers of this step, the same in all processes that train together.
    number : of the step.

    Returns
    -------
    (7,), with gradient.
    """
    n = len(batch.labelled)
    images = torch.cat([batch.labelled, batch.unlabelled])
    students = _in_arithmetic(students, dtype)
    logits = students(images)
    with _arithmetic(images.device, dtype):
        taught = teaching(batch, logits.fused.detach()) if teaching is not None else None

    weight = consistency_weight(progress, peak=config.loss.consistency_peak, steepness=config.loss.ramp_steepness)
    supervised = _supervised(rows_of(logits, slice(n)), batch.labels)
    distillation = mixing = teacher = propagation = torch.zeros_like(supervised)
    terms = method(Seen(images, batch.labels, logits, students, progress, random))
    consistency, entropy = _weighed(terms, weight, config, supervised)
    if terms.supervised is not None:
        supervised = supervised + terms.supervised
    if taught is not None:
        distillation = config.loss.distillation_weight * _distillation(logits, taught, config.loss.temperature)
        teacher = taught.loss
    if batch.pseudo_labels is not None:
        unlabelled = rows_of(logits, slice(n, None))
        propagation = config.propagation.pseudo_label_weight * _pseudo_labels(unlabelled, batch.pseudo_labels)
    if _is_mixed(config, progress, number) and len(batch.unlabelled):
        mixed = _mix(batch, logits, taught, config)
        mixing = _mixed(students, method, mixed, weight, config)
    return torch.stack([supervised, consistency, entropy, distillation, mixing, teacher, propagation])


def uses_unlabelled(config: Config) -> bool:
    """Return whether any term looks at unlabelled slices."""
    method = config.method
    return any((method.semi_supervised != "none", method.distillation, method.mixing, method.shape_prior))


def _arithmetic(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def _is_mixed(config: Config, progress: float, number: int) -> bool:
    return bool(config.method.mixing) and progress >= config.mixing.start and number % config.mixing.mix_every == 0


def _in_arithmetic(students: Pass, dtype: torch.dtype) -> Pass:
    def run(images: Tensor) -> PassLogits:
        with _arithmetic(images.device, dtype):
            return students(images)

    return run


def _weighed(terms: Terms, weight: float, config: Config, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted consistency and entropy, zero where there is none."""
    nothing = torch.zeros_like(like)
    return (
        nothing if terms.consistency is None else weight * terms.consistency,
        nothing if terms.entropy is None else config.loss.entropy_weight * terms.entropy,
    )


def _supervised(logits: PassLogits, labels: Tensor) -> Tensor:
    students = supervised_loss(logits.unet, labels) + supervised_loss(logits.vnet, labels)
    return students / 2 + supervised_loss(logits.fused, labels)


def _pseudo_labels(logits: StudentLogits, pseudo_labels: PseudoLabels) -> Tensor:
    unet, vnet, fused = (pseudo_label_loss(z, *pseudo_labels) for z in logits)
    return (unet + vnet) / 2 + fused


def _distillation(logits: PassLogits, taught: Taught, temperature: float) -> Tensor:
    unet = distillation_loss(logits.unet, taught.logits, temperature, taught.known)
    return (unet + distillation_loss(logits.vnet, taught.logits, temperature, taught.known)) / 2


def _mix(batch: Batch, logits: PassLogits, taught: Taught | None, config: Config) -> MixedBatch:
    n = len(batch.labelled)
    p_fused = logits.fused.detach().float().softmax(1)
    # Where no teacher has seen a slice, the students' own fused prediction is the pseudo-label.
    pseudo_labels = most_probable(p_fused[n:])
    if taught is not None:
        seen = taught.known[n:].view(-1, 1, 1) > 0
        pseudo_labels = torch.where(seen, most_probable(taught.logits[n:]), pseudo_labels)
    return mix(
        batch.labelled,
        batch.labels,
        batch.unlabelled,
        p_fused[:n],
        p_fused[n:],
        pseudo_labels,
        grid=config.mixing.grid,
        cells=config.mixing.cells,
    )


def _mixed(students: Pass, method: SemiSupervisedMethod, mixed: MixedBatch, weight: float, config: Config) -> Tensor:
    """Return the loss of the mixed phase: the students see both mixed batches once more."""
    logits = students(torch.cat([mixed.into_labelled, mixed.into_unlabelled]))
    loss = _supervised(logits, torch.cat([mixed.labels_into_labelled, mixed.labels_into_unlabelled]))
    consistency, entropy = _weighed(method.mixed(logits, len(mixed.into_labelled)), weight, config, loss)
    return loss + entropy + consistency
