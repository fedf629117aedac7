"""One training step of KnowSAM; reads like the method figure.

Source: Huang et al., IEEE TMI 2025. Departures: supervised terms count annotated pixels only, all classes enter
consistency and distillation, and consistency is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from knowsam.models.students import StudentLogits, Students
from knowsam.training.losses import (
    consistency_loss,
    consistency_weight,
    distillation_loss,
    entropy_loss,
    supervised_loss,
)
from knowsam.training.mixing import MixedBatch, mix

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.models.sam_teacher import SamTeacher


class Batch(NamedTuple):
    """Augmented slices of both streams: (B, 3, H, W) with labels (B, H, W), and (U, 3, H, W)."""

    labelled: Tensor
    labels: Tensor
    unlabelled: Tensor


@dataclass(frozen=True)
class StepLosses:
    """The weighted terms of one step, in the order of `step_losses`; a term that is switched off is zero."""

    supervised: float
    consistency: float
    entropy: float
    distillation: float
    mixing: float
    teacher: float

    @property
    def total(self) -> float:
        """What the step minimised."""
        return self.supervised + self.consistency + self.entropy + self.distillation + self.mixing + self.teacher


def step_losses(
    students: Students, teacher: SamTeacher | None, batch: Batch, progress: float, config: Config, dtype: torch.dtype
) -> Tensor:
    """Run students and teacher on a batch and return the weighted terms of `StepLosses`; their sum is to be minimised.

    Parameters
    ----------
    teacher : None switches distillation off.
    progress : share of the training that is done, in [0, 1].
    dtype : arithmetic of the networks; the losses are float32.

    Returns
    -------
    (6,), with gradient.
    """
    n = len(batch.labelled)
    images = torch.cat([batch.labelled, batch.unlabelled])
    with _arithmetic(images.device, dtype):
        logits = students(images)
        z_sam = _teach(teacher, images, logits.fused.detach(), n) if teacher is not None else None

    weight = consistency_weight(progress, peak=config.loss.consistency_peak, steepness=config.loss.ramp_steepness)
    supervised = _supervised(_rows(logits, slice(n)), batch.labels)
    consistency = entropy = distillation = mixing = taught = torch.zeros_like(supervised)
    if config.method.cotraining:
        consistency = weight * _consistency(logits)
        entropy = config.loss.entropy_weight * _entropy(logits)
    if z_sam is not None:
        distillation = config.loss.distillation_weight * _distillation(logits, z_sam, config.loss.temperature)
        taught = supervised_loss(z_sam[:n], batch.labels)
    if config.method.mixing and progress >= config.mixing.start and len(batch.unlabelled):
        mixed = _mix(batch, logits, z_sam, config)
        mixing = _mixed(students, mixed, weight, config, dtype)
    return torch.stack([supervised, consistency, entropy, distillation, mixing, taught])


def uses_unlabelled(config: Config) -> bool:
    """Tell whether any term looks at unlabelled slices."""
    return config.method.cotraining or config.method.distillation or config.method.mixing


def _arithmetic(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def _teach(teacher: SamTeacher, images: Tensor, fused: Tensor, labelled: int) -> Tensor:
    """Return the teacher's logits for all images; only the labelled ones, which come first, carry gradient."""
    taught: Tensor = teacher(images[:labelled], fused[:labelled])
    if labelled == len(images):
        return taught
    # In this order: weights that autocast has cast without gradient would serve the labelled images too.
    with torch.no_grad():
        shown = teacher(images[labelled:], fused[labelled:])
    return torch.cat([taught, shown])


def _rows(logits: StudentLogits, rows: slice) -> StudentLogits:
    return StudentLogits(*(z[rows] for z in logits))


def _supervised(logits: StudentLogits, labels: Tensor) -> Tensor:
    students = supervised_loss(logits.unet, labels) + supervised_loss(logits.vnet, labels)
    return students / 2 + supervised_loss(logits.fused, labels)


def _consistency(logits: StudentLogits) -> Tensor:
    p_unet, p_vnet = logits.unet.float().softmax(1), logits.vnet.float().softmax(1)
    return (consistency_loss(logits.unet, p_vnet) + consistency_loss(logits.vnet, p_unet)) / 2


def _entropy(logits: StudentLogits) -> Tensor:
    return (entropy_loss(logits.unet.float().softmax(1)) + entropy_loss(logits.vnet.float().softmax(1))) / 2


def _distillation(logits: StudentLogits, z_sam: Tensor, temperature: float) -> Tensor:
    unet = distillation_loss(logits.unet, z_sam, temperature)
    return (unet + distillation_loss(logits.vnet, z_sam, temperature)) / 2


def _mix(batch: Batch, logits: StudentLogits, z_sam: Tensor | None, config: Config) -> MixedBatch:
    n = len(batch.labelled)
    p_fused = logits.fused.detach().float().softmax(1)
    # Without a teacher the students' own fused prediction is the pseudo-label.
    pseudo_logits = logits.fused if z_sam is None else z_sam
    return mix(
        batch.labelled,
        batch.labels,
        batch.unlabelled,
        p_fused[:n],
        p_fused[n:],
        pseudo_logits[n:].detach().argmax(1),
        grid=config.mixing.grid,
        cells=config.mixing.cells,
    )


def _mixed(students: Students, mixed: MixedBatch, weight: float, config: Config, dtype: torch.dtype) -> Tensor:
    """Return the loss of the mixed phase: the students see both mixed batches once more."""
    images = torch.cat([mixed.into_labelled, mixed.into_unlabelled])
    labels = torch.cat([mixed.labels_into_labelled, mixed.labels_into_unlabelled])
    with _arithmetic(images.device, dtype):
        logits = students(images)
    loss = _supervised(logits, labels)
    if config.method.cotraining:
        unlabelled = _rows(logits, slice(len(mixed.into_labelled), None))
        pseudo_labels = unlabelled.fused.detach().argmax(1)
        unet_taught = supervised_loss(unlabelled.unet, pseudo_labels)
        vnet_taught = supervised_loss(unlabelled.vnet, pseudo_labels)
        loss = loss + config.loss.entropy_weight * _entropy(logits)
        loss = loss + weight * (_consistency(logits) + (unet_taught + vnet_taught) / 2)
    return loss
