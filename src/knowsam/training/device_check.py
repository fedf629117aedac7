"""Whether a device can do all that training and prediction need, found out by one tiny step."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.errors import ConfigError, PredictionError
from knowsam.inference.device import fault_words, resolve_device
from knowsam.inference.ensemble import StudentWeight
from knowsam.training.display import Display
from knowsam.training.learner import Learner
from knowsam.training.network_volumes import common_windows
from knowsam.training.slices import TrainingSlices

_SHAPE = (5, 32, 32)
_BETWEEN_ANNOTATED = 2


def working_device(name: str) -> tuple[torch.device, str]:
    """Turn the name of a device, see `resolve_device`, into one that can train; ``auto`` falls back to the CPU.

    Returns
    -------
    The device, and why it is not the one that ``auto`` stands for; empty if it is.

    Raises
    ------
    ConfigError
        If a device that was asked for by name is missing, or lacks an operation that training needs.
    """
    device = resolve_device(name)
    fault = "" if device.type == "cpu" else _fault(str(device))
    if not fault:
        return device, ""
    if name == "auto":
        notice = f"The device {str(device)!r} fails ({fault}), so that the processor computes instead."
        return torch.device("cpu"), notice
    raise ConfigError(
        f"The device {name!r} is there, but fails in the first training step: {fault}. "
        "Choose --device cpu, or install a newer PyTorch or driver."
    )


@cache
def _fault(device: str) -> str:
    """Return what goes wrong on a device, in one sentence without its full stop; empty if nothing does."""
    try:
        take_tiny_step(torch.device(device))
    # Whatever PyTorch lacks on a device, it says so by one of these: TypeError where there is no float64.
    except (RuntimeError, TypeError, AssertionError, PredictionError) as exc:
        return fault_words(exc.__cause__ or exc)
    return ""


def take_tiny_step(device: torch.device) -> None:
    """Train all parts of the method for one step, on a few slices of noise, and predict one of them."""
    config = Config().with_values(width=4, max_side_px=_SHAPE[1], start=0.0, variant="compact")
    case = _noise()
    windows, _ = common_windows([case], config)
    slices = TrainingSlices([case], windows, config, device=device, seed=0)
    slices.restart_streams(())
    classes = len(case.annotation.classes)
    learner = Learner(classes, windows[0].plane, config, device=device, seed=0, late=False)
    learner.step(slices.batch(1, 1), 0, progress=0.5)
    display = Display(slices.volumes, config, [case], learner.students)
    display.show_students(StudentWeight(0.01, limit=0.5, limit_beyond=0.5, half_distance_slices=1.0), dice=None)
    next(display.predictor(0).slices([_BETWEEN_ANNOTATED]))


def _noise() -> Case:
    array = np.random.default_rng(0).normal(size=_SHAPE).astype(np.float32)
    labels = np.zeros(_SHAPE, np.uint8)
    labels[:, 8:24, 8:24] = 1
    volume = Volume(array, Grid(_SHAPE[::-1], np.eye(4)), "noise")
    return Case(volume, Annotation.from_labels(labels, axis=0, indices=[0, 4]))
