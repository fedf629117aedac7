"""A model of finished volumes tuned in a new one: what learns there, what is replayed, whose statistics normalise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import torch
from torch import nn

from knowsam.config import Config
from knowsam.data.window import Window, window_at
from knowsam.inference.planes import with_neighbours
from knowsam.training.batch import Batch
from knowsam.training.events import Planned
from knowsam.training.network_volumes import common_windows
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession
from knowsam.training.slices import TrainingSlices

if TYPE_CHECKING:
    from knowsam.data.case import Case
    from knowsam.inference.ensemble import EnsembleWeight
    from knowsam.inference.predictor import Predictor
    from knowsam.models.students import Students
    from knowsam.training.trained_model import TrainedModel

_BATCH_SLICES = 8


class Tuning(NamedTuple):
    """What is tuned in the new volume.

    Parameters
    ----------
    learns : "nothing", "everything", "affine" (scales and shifts of the normalisation) or "affine and ends" (with the
        first and the last layers of both students, what takes in propagated labels, and the last one of the fusion).
    rate : factor on the learning rate.
    """

    learns: str
    rate: float = 1.0


NOTHING = "nothing"
REDUCED = "everything, a tenth of the rate"
TUNINGS = {
    NOTHING: Tuning("nothing"),
    REDUCED: Tuning("everything", Config().training.adaptation),
    "everything, full rate": Tuning("everything"),
    "normalisation affine, full rate": Tuning("affine"),
    "affine, first and last layers, full rate": Tuning("affine and ends"),
}


class Replay:
    """Annotated slices of finished volumes, the same ones in the same order for each training.

    Parameters
    ----------
    cases : the finished volumes.
    """

    def __init__(self, cases: Sequence[Case], seed: int) -> None:
        self._cases, self._seed = cases, seed
        self._drawn: dict[tuple[tuple[int, int], float], tuple[TrainingSlices, list[Batch]]] = {}

    def batch(self, number: int, session: TrainingSession) -> Batch:
        """Return one slice for a step, on planes as large and as fine as those of a session."""
        plane, pixel_mm = session.trainer.windows[0].plane, session.trainer.pixel_mm
        if (plane, pixel_mm) not in self._drawn:
            self._drawn[plane, pixel_mm] = self._slices(session, plane, pixel_mm), []
        slices, drawn = self._drawn[plane, pixel_mm]
        while len(drawn) <= number:
            drawn.append(slices.batch(1, 0))
        return drawn[number]

    def _slices(self, session: TrainingSession, plane: tuple[int, int], pixel_mm: float) -> TrainingSlices:
        config = session.config
        windows, _ = common_windows(self._cases, config, pixel_mm)
        windows = [
            window_at(_center(window), plane, pixel_mm, case.plane_spacing_mm)
            for window, case in zip(windows, self._cases, strict=True)
        ]
        slices = TrainingSlices(self._cases, windows, config, device=session.device, seed=self._seed)
        slices.restart_streams(())
        return slices


class Tuned(NamedTuple):
    """A session as it ended, and the weight that the model had in it before it learnt anything."""

    session: TrainingSession
    earlier_weight: EnsembleWeight | None


def tuned(case: Case, model: TrainedModel, tuning: Tuning, steps: int, *, seed: int, replay: Replay | None) -> Tuned:
    """Go on from a model in a new volume.

    Parameters
    ----------
    replay : where half of the annotated slices of each step come from; None takes all from the new volume.
    """
    # Corrected predictions are never held out, so that training learns from all of them.
    slices = {index: replace(one, by_hand=False, corrected=True) for index, one in case.annotation.slices.items()}
    case = replace(case, annotation=replace(case.annotation, slices=slices))
    minimum = 1000 if tuning.learns == "nothing" else 1
    config = model.config_elsewhere.with_values(adaptation_minimum=minimum, adaptation=tuning.rate)
    session = TrainingSession([case], budget=Budget(steps=steps), config=config, seed=seed, start_from=model)
    events = session.run()
    for event in events:
        if isinstance(event, Planned):
            break
    earlier_weight = session.predictor().weight
    _let_learn(session.trainer.learner.students, tuning.learns)
    with _replayed(session, replay):
        for _ in events:
            pass
    return Tuned(session, earlier_weight)


@contextmanager
def _replayed(session: TrainingSession, replay: Replay | None) -> Iterator[None]:
    """Let half of the annotated slices of each batch come from finished volumes."""
    if replay is None:
        yield
        return
    slices, numbers = session.trainer.slices, count()
    draw = slices.batch

    def batch(labelled: int, unlabelled: int) -> Batch:
        new, old = draw(labelled - 1, unlabelled), replay.batch(next(numbers), session)
        images, labels = torch.cat([new.labelled, old.labelled]), torch.cat([new.labels, old.labels])
        # Without a teacher, nothing asks where the slices come from.
        return Batch(images, labels, new.unlabelled, None, new.pseudo_labels)

    with patch.object(slices, "batch", batch):
        yield


def _let_learn(students: Students, learns: str) -> None:
    """Freeze what is not to learn."""
    if learns not in ("affine", "affine and ends"):
        return
    students.requires_grad_(False)
    layers: list[nn.Module] = _normalisations(students)
    if learns == "affine and ends":
        layers += [students.unet.down[0][0], students.vnet.stem.convs[0], students.vnet.stem.shortcut]
        layers += [students.unet.head, students.vnet.head, students.fusion.head[-1]]
        layers += [] if students.prior is None else [students.prior]
    for layer in layers:
        layer.requires_grad_(True)


@torch.inference_mode()
def take_own_statistics(students: Students, predictor: Predictor) -> None:
    """Replace what the normalisation has seen by what it sees in all slices of this volume, without their labels."""
    students.eval()
    for layer in _normalisations(students):
        layer.reset_running_stats()
        layer.train()
        # None averages all batches.
        layer.momentum = None
    planes = predictor.source.planes
    for indices in torch.arange(len(planes)).split(_BATCH_SLICES):
        images = with_neighbours(planes, indices, neighbours=predictor.config.plane.neighbours)
        propagated = None if predictor.propagate is None else predictor.propagate(indices.tolist())
        channels = images.new_zeros((len(images), students.prior_channels, *images.shape[-2:]))
        students(torch.cat([images, channels if propagated is None else propagated.channels], dim=1))
    students.eval()


def _normalisations(students: Students) -> list[nn.Module]:
    return [layer for layer in students.modules() if isinstance(layer, nn.BatchNorm2d)]


def _center(window: Window) -> tuple[float, float]:
    return (window.start[0] + window.stop[0]) / 2, (window.start[1] + window.stop[1]) / 2
