"""The loss terms of KnowSAM, as pure functions of logits and labels.

Shapes: logits (B, C, H, W), labels (B, H, W) with class indices and IGNORE, probabilities (B, C, H, W). All terms are
scalars, computed in float32 whatever the network's arithmetic. Source: Huang et al., IEEE TMI 2025.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.annotation import IGNORE
from knowsam.models.entropy import entropy
from knowsam.propagation.most_probable import most_probable

_SMOOTH = 1e-5


def supervised_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """L_sup: cross-entropy plus soft Dice over the annotated pixels; zero where there are none."""
    return cross_entropy_loss(logits, labels) + dice_loss(logits, labels)


def cross_entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the annotated pixels."""
    total = F.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss with squared denominator over the annotated pixels of the batch, mean over the classes."""
    annotated = (labels != IGNORE).unsqueeze(1)
    target = labels.unsqueeze(1) == _class_indices(logits)
    p = logits.float().softmax(dim=1) * annotated
    over_pixels = (0, 2, 3)
    overlap = (p * target).sum(over_pixels)
    size = (p * p).sum(over_pixels) + target.sum(over_pixels)
    return (1 - (2 * overlap + _SMOOTH) / (size + _SMOOTH)).mean()


def pseudo_label_loss(logits: Tensor, probabilities: Tensor, confidence: Tensor) -> Tensor:
    """Cross-entropy against propagated labels, mean over pixels weighted by how confident these are.

    Parameters
    ----------
    probabilities, confidence : (B, C, H, W) and (B, 1, H, W), see `knowsam.training.batch.PseudoLabels`.
    """
    cross_entropy = -(probabilities * logits.float().log_softmax(dim=1)).sum(dim=1, keepdim=True)
    return (confidence * cross_entropy).sum() / confidence.sum().clamp_min(1.0)


def _class_indices(logits: Tensor) -> Tensor:
    """Return (1, C, 1, 1), the index of each class."""
    return torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)


def entropy_loss(p: Tensor) -> Tensor:
    """L_ent: mean entropy relative to its maximum log C."""
    return entropy(p.float()).mean() / math.log(p.shape[1])


def consistency_loss(logits: Tensor, q: Tensor) -> Tensor:
    """L_cons: binary cross-entropy of softmax(logits) against probabilities `q`, mean over classes; `q` is fixed."""
    q = q.detach().float()
    log_p = logits.float().log_softmax(dim=1)
    return -(q * log_p + (1 - q) * _log_of_others(log_p)).mean()


def _log_of_others(log_p: Tensor) -> Tensor:
    """Return log(1 - p) of every class, exact however certain the prediction is."""
    # Only the most probable class can round to one; its complement is summed from the other classes.
    top = most_probable(log_p, keepdim=True) == _class_indices(log_p)
    beside_top = log_p.masked_fill(top, -math.inf).logsumexp(dim=1, keepdim=True)
    return torch.where(top, beside_top, torch.log1p(-log_p.exp().masked_fill(top, 0.0)))


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """L_kd: T^2 KL(teacher || student) of the logits softened by T, mean over pixels; the teacher gets no gradient.

    Parameters
    ----------
    weight : (B,), of each slice in the mean; zero where the teacher has no prediction. By default all weigh the same.
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
    if weight is None:
        return temperature**2 * divergence.mean()
    return temperature**2 * (divergence.mean(dim=(1, 2)) * weight).sum() / weight.sum().clamp(min=1)


def consistency_weight(progress: float, *, peak: float, steepness: float) -> float:
    """w(f): Gaussian ramp of the consistency term over training progress f in [0, 1].

    >>> consistency_weight(1.0, peak=1.0, steepness=5.0)
    1.0
    """
    return peak * math.exp(-steepness * (1 - progress) ** 2)
