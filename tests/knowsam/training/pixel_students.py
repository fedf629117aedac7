"""Students that see one pixel each, and what a semi-supervised method is given of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowsam.config import StudentConfig
from knowsam.models.students import StudentLogits
from knowsam.training.semi_supervised.averaged_students import AveragedStudents
from knowsam.training.semi_supervised.method import Seen, SemiSupervisedMethod
from knowsam.training.semi_supervised.methods import METHODS


class PixelStudents(nn.Module):
    """Three predictions that share no parameter and see one pixel each, so that it is plain what comes from where."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.unet, self.vnet, self.fused = (nn.Conv2d(3, classes, kernel_size=1) for _ in range(3))

    def forward(self, x: Tensor) -> StudentLogits:
        return StudentLogits(self.unet(x), self.vnet(x), self.fused(x))


def method_of(name: str, averaged: nn.Module, classes: int = 2) -> SemiSupervisedMethod:
    """Return the method of this name, whose averaged students are given."""
    return METHODS[name](classes, StudentConfig(width=4), AveragedStudents(averaged))


def seen_by(students: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Seen:
    """Return what a method is given where students have seen these images."""
    defaults = {"progress": 0.5, "random": np.random.default_rng(0)}
    return Seen(images, labels, students(images), students, **(defaults | given))


def same_everywhere(*scores: float) -> nn.Module:
    """Return students whose logits are the same for every pixel: pairs of UNet and VNet, class by class.

    `same_everywhere(1, 2, 3, 4)` has the logits 1 and 2 from the UNet, 3 and 4 from the VNet.
    """
    students = PixelStudents(2)
    for head, values in ((students.unet, scores[:2]), (students.vnet, scores[2:]), (students.fused, scores[:2])):
        nn.init.zeros_(head.weight)
        with torch.no_grad():
            assert head.bias is not None
            head.bias.copy_(torch.tensor(values, dtype=torch.float32))
    return students


def log_odds(probability: float) -> tuple[float, float]:
    """Return the logits of two classes of which the second has this probability."""
    return 0.0, float(np.log(probability / (1 - probability)))
