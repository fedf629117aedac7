"""Rivals: the UNet of KnowSAM by itself, from annotated slices alone or with a mean teacher on the others.

Both see the same window, planes, weak augmentation, loss, optimiser and averaged weights as ours do, and no hold-out is
taken from them. The mean teacher (Tarvainen and Valpola 2017) is the average of the weights; the student has to agree
with it on unlabelled slices under noise, the way it is used on medical images (Yu et al. 2019).
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from rival import Effort, Outcome
from torch import Tensor

from knowsam.config import Config
from knowsam.data.sampling import SliceKey, SliceStream
from knowsam.inference.device import resolve_device, resolve_dtype
from knowsam.inference.planes import network_labels, network_planes, with_neighbours
from knowsam.models.unet import UNet
from knowsam.training.augment import augment_weakly, warp_labels
from knowsam.training.losses import consistency_weight, supervised_loss
from knowsam.training.network_volumes import common_windows
from knowsam.training.schedule import decayed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks import Task

NOISE = 0.1
"""Standard deviation of the noise on the grey values, which reach from 0 to 1; cut off at twice as much."""

BATCH_SLICES = 8


def supervised(task: Task, effort: Effort) -> Outcome:
    """Train the UNet on the annotated slices."""
    return _UNetTraining(task, effort, Config()).run(with_teacher=False)


def mean_teacher(task: Task, effort: Effort) -> Outcome:
    """Train the UNet on the annotated slices and let it agree with its own average on the others."""
    return _UNetTraining(task, effort, Config()).run(with_teacher=True)


@dataclass
class _Streams:
    labelled: SliceStream
    unlabelled: SliceStream


class _UNetTraining:
    """One UNet, the running average of its weights, and the slices of a volume on the device."""

    def __init__(self, task: Task, effort: Effort, config: Config) -> None:
        self._started = time.monotonic()
        self._task, self._effort, self._config = task, effort, config
        self._device = resolve_device("auto")
        self._dtype = resolve_dtype(config.training.precision, self._device)
        (self._window,), _ = common_windows([task.case], config)
        axis = task.case.annotation.axis
        planes = network_planes(task.case.volume, axis, self._window, config.plane.clip_percent)
        self._planes = planes.to(self._device)
        self._labels = {i: network_labels(task.labels_of(i), self._window).to(self._device) for i in task.annotated}
        order = np.random.default_rng(effort.seed)
        self._streams = _Streams(
            SliceStream([SliceKey(0, index) for index in task.annotated], order),
            SliceStream([SliceKey(0, index) for index in task.case.annotation.unlabelled], order),
        )
        torch.manual_seed(effort.seed)
        self._generator = torch.Generator(self._device).manual_seed(effort.seed)
        students = config.students
        self._net = UNet(3, task.classes, students.width, students.norm, students.dropout).to(self._device)
        self._average = copy.deepcopy(self._net).requires_grad_(False).eval()

    def run(self, *, with_teacher: bool) -> Outcome:
        training = self._config.training
        optimizer = torch.optim.AdamW(
            self._net.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self._net.train()
        steps, progress = 0, 0.0
        while progress < 1.0:
            for group in optimizer.param_groups:
                group["lr"] = decayed(training.learning_rate, progress)
            loss = self._loss(progress, with_teacher=with_teacher)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), training.gradient_norm)
            optimizer.step()
            self._follow(min(training.averaging, (steps + 1) / (steps + 10)))
            steps += 1
            progress = self._effort.budget.progress(steps=steps, seconds=time.monotonic() - self._started)
        return Outcome(self._predict(), steps)

    def _loss(self, progress: float, *, with_teacher: bool) -> Tensor:
        keys = self._streams.labelled.draw(self._config.training.labelled_batch)
        labels = torch.stack([self._labels[key.slice_index] for key in keys])
        images, grid = augment_weakly(self._images(keys), self._config.augment, self._generator)
        labels = warp_labels(labels, grid)
        if not with_teacher:
            return supervised_loss(self._logits(self._net, images), labels)
        unlabelled = self._unlabelled()
        logits = self._logits(self._net, torch.cat([images, self._noisy(unlabelled)]))
        with torch.no_grad():
            p_teacher = self._logits(self._average, self._noisy(unlabelled)).softmax(1)
        loss = self._config.loss
        weight = consistency_weight(progress, peak=loss.consistency_peak, steepness=loss.ramp_steepness)
        disagreement = F.mse_loss(logits[len(images) :].softmax(1), p_teacher)
        return supervised_loss(logits[: len(images)], labels) + weight * disagreement

    def _unlabelled(self) -> Tensor:
        """Draw unlabelled slices, augmented weakly as the annotated ones are."""
        images = self._images(self._streams.unlabelled.draw(self._config.training.unlabelled_batch))
        return augment_weakly(images, self._config.augment, self._generator)[0]

    def _images(self, keys: Sequence[SliceKey]) -> Tensor:
        rows = torch.tensor([key.slice_index for key in keys], device=self._device)
        return with_neighbours(self._planes, rows, neighbours=self._config.plane.neighbours)

    def _noisy(self, images: Tensor) -> Tensor:
        noise = torch.randn(images.shape, generator=self._generator, device=self._device) * NOISE
        return images + noise.clamp(-2 * NOISE, 2 * NOISE)

    def _logits(self, net: UNet, images: Tensor) -> Tensor:
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32):
            logits: Tensor = net(2 * images - 1)
        return logits.float()

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        """Move the averaged weights, and those of the batch normalisation, towards the present ones."""
        state = self._net.state_dict()
        for name, average in self._average.state_dict().items():
            if average.is_floating_point():
                average.lerp_(state[name], 1 - keep)

    @torch.no_grad()
    def _predict(self) -> np.ndarray:
        """Predict class indices (N, H, W) between the two outermost annotated slices."""
        labels = np.zeros(self._task.truth.shape, np.uint8)
        first, last = self._task.annotated[0], self._task.annotated[-1]
        for indices in torch.arange(first, last + 1, device=self._device).split(BATCH_SLICES):
            images = with_neighbours(self._planes, indices, neighbours=self._config.plane.neighbours)
            p = self._logits(self._average, images).softmax(1)
            p = F.interpolate(p, size=self._window.extent, mode="bilinear", align_corners=False)
            found = p.argmax(1).to(torch.uint8).cpu().numpy()
            for index, patch in zip(indices.tolist(), found, strict=True):
                self._window.paste(patch, into=labels[index])
        return labels
