"""Learning from finished volumes how proposals err: each of them is proposed from the others, and its truth is known.

Source: `knowsam.models.corrector`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from knowsam.atlas.leave_one_out import proposals_of_each
from knowsam.config import AugmentConfig, PlaneConfig
from knowsam.data.annotation import BACKGROUND, IGNORE
from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError
from knowsam.inference.metrics import dice_score
from knowsam.inference.proposed_slices import ProposedSlices, plane_round_proposals, window_round_proposal
from knowsam.models.corrector import NEIGHBOURS, Corrector
from knowsam.propagation.sampling import warp
from knowsam.training.augment import augment_weakly, warp_labels
from knowsam.training.correction import Correction, CorrectionScore, mean_probabilities
from knowsam.training.interruption import Interruption
from knowsam.training.losses import cross_entropy_loss
from knowsam.training.schedule import decayed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from knowsam.atlas.proposal import Atlas
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume
    from knowsam.training.schedule import Budget

FEWEST_FINISHED = 3
"""With two, each is proposed from a single one, and a corrector would learn from one volume."""

_MOST_FINISHED = 8
"""Each is registered to each other one, which takes seconds; what more of them teach was not measured."""

_MOST_CORRECTORS = 4
_BATCH_SLICES = 8
_LEARNING_RATE = 2e-3
_WARM_UP_STEPS = 20
_WEIGHT_DECAY = 1e-3
_AVERAGING = 0.98
_GRADIENT_NORM = 2.0
_AUGMENT = AugmentConfig(rotate_deg=14.0, shift=0.05, scale=0.12, elastic=0.03, intensity=0.06)
_PROPOSAL_SHIFT, _SHIFTED = 0.015, 0.5
"""Largest shift of what is proposed against the image, relative to the plane, and in which share of the slices."""

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SEED = 0


@dataclass(frozen=True, eq=False)
class FinishedProposal:
    """A finished volume.

    Parameters
    ----------
    volume : its image. labels : (Z, Y, X), label values, its true mask. proposal : what others propose for it.
    """

    volume: Volume
    labels: npt.NDArray[np.integer[Any]]
    proposal: ProposedMask


@dataclass(eq=False)
class _Learner:
    """A corrector that learns from some of the volumes.

    Parameters
    ----------
    averaged : its running average, which predicts.
    slices : that it learns from, by number of the volume and index.
    tested : numbers of the volumes that it does not learn from.
    """

    corrector: Corrector
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    slices: list[tuple[int, int]]
    tested: tuple[int, ...]

    @property
    def learnt(self) -> Corrector:
        """What it has learnt, ready to predict."""
        return cast("Corrector", self.averaged.module).eval()


def learn_correction(
    atlases: Sequence[Atlas],
    values: Sequence[int],
    axis: int,
    budget: Budget,
    *,
    config: PlaneConfig | None = None,
    device: torch.device | None = None,
    interruption: Interruption | None = None,
    earlier: Correction | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Correction:
    """Propose each finished volume from the others, and learn from that how proposals err.

    Parameters
    ----------
    values : label values of the classes, background first.
    axis : working axis along which slices are stacked.
    budget : how long to learn, after all volumes were proposed.
    device : by default the CPU.
    interruption : breaks the work off.
    earlier : what was learnt from some of these volumes before, see `CorrectiveLearning`.
    progress : called now and then with the number of volumes that are proposed.

    Raises
    ------
    InputError
        If fewer than three are of use.
    Interrupted
        If an interruption was requested.
    """
    interruption = interruption or Interruption()

    def proceed(done: int) -> None:
        interruption.check()
        progress(done)

    # Of the same image twice, one would be proposed by its own mask.
    atlases = list({fingerprint(atlas.image): atlas for atlas in atlases}.values())[:_MOST_FINISHED]
    if len(atlases) < FEWEST_FINISHED:
        raise too_few(len(atlases))
    finished = [
        FinishedProposal(atlas.image, atlas.labels.array, mask)
        for atlas, mask in zip(atlases, proposals_of_each(atlases, proceed), strict=True)
        if mask is not None and mask.labels.any()
    ]
    learning = CorrectiveLearning(
        finished,
        values,
        axis,
        config or PlaneConfig(),
        device=device or torch.device("cpu"),
        interruption=interruption,
        earlier=earlier,
    )
    return learning.learn(budget)


def too_few(count: int) -> InputError:
    """Return the error of too few finished volumes."""
    return InputError(
        f"{count} finished volumes are of use, but {FEWEST_FINISHED} are needed to learn how proposals err. Give more."
    )


class CorrectiveLearning:
    """Several correctors that learn at once, each from all volumes but some, in which it is tested.

    Together they correct the proposal for a new volume. How far they count beside it is what is best in volumes that
    they have not learnt from.

    Parameters
    ----------
    finished : three or more.
    values : label values of the classes, background first.
    axis : working axis along which slices are stacked.
    interruption : breaks learning off.
    earlier : what was learnt from some of them, to go on from if it is of the same classes and plane: each corrector
        leaves out the volumes that it left out before.

    Raises
    ------
    InputError
        If there are too few.
    """

    def __init__(
        self,
        finished: Sequence[FinishedProposal],
        values: Sequence[int],
        axis: int,
        config: PlaneConfig,
        *,
        device: torch.device,
        interruption: Interruption,
        earlier: Correction | None = None,
    ) -> None:
        by_image = {fingerprint(one.volume): one for one in finished if np.isin(one.labels, values[1:]).any()}
        if len(by_image) < FEWEST_FINISHED:
            raise too_few(len(by_image))
        count = min(len(by_image), _MOST_CORRECTORS)
        places = [(one.volume, one.proposal) for one in by_image.values()]
        plane, self._pixel_mm = plane_round_proposals(places, axis, config)
        if earlier is not None and earlier.can_go_on(by_image, values, axis, config, count, self._pixel_mm):
            plane, self._pixel_mm = plane_round_proposals(places, axis, config, earlier.pixel_mm)
        else:
            earlier = None
        self._images = tuple(dict.fromkeys([*(() if earlier is None else earlier.images), *by_image]))
        self._finished = finished = tuple(by_image[image] for image in self._images)
        self._values, self._config, self._interruption = tuple(values), config, interruption
        self._slices = []
        for one in finished:
            window = window_round_proposal(one.volume, one.proposal, axis, config, self._pixel_mm, plane)
            self._slices.append(
                ProposedSlices.of(one.volume, one.proposal, values, window, axis, config, device, interruption.check)
            )
        self._labels = [own.labels(one.labels, values) for own, one in zip(self._slices, finished, strict=True)]
        self._generator, self._order = Generator(device).manual_seed(_SEED), np.random.default_rng(_SEED)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self._learners = [self._learner(number, count, device) for number in range(count)]
        if earlier is not None:
            for learner, learnt in zip(self._learners, earlier.correctors, strict=True):
                learner.corrector.load_state_dict(learnt.state_dict())
        self._steps = 0

    def learn(self, budget: Budget) -> Correction:
        """Learn for so long, in steps of all correctors, and return what was learnt.

        Raises
        ------
        Interrupted
            If an interruption was requested.
        """
        started = time.monotonic()
        while (progress := budget.progress(steps=self._steps, seconds=time.monotonic() - started)) < 1:
            for learner in self._learners:
                self._interruption.check()
                self._step(learner, decayed(_LEARNING_RATE, progress))
            self._steps += 1
        return self._validated()

    def _learner(self, number: int, count: int, device: torch.device) -> _Learner:
        tested = tuple(range(number, len(self._finished), count))
        learnt_from = ((volume, own) for volume, own in enumerate(self._slices) if volume not in tested)
        slices = [(volume, index) for volume, own in learnt_from for index in own.near]
        corrector = Corrector(len(self._values)).to(device)
        averaged = AveragedModel(corrector, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGING))
        optimizer = torch.optim.AdamW(corrector.parameters(), weight_decay=_WEIGHT_DECAY)
        return _Learner(corrector, averaged, optimizer, slices, tested)

    def _step(self, learner: _Learner, learning_rate: float) -> None:
        maps, labels = self._batch(learner.slices)
        for group in learner.optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (self._steps + 1) / _WARM_UP_STEPS)
        loss = _loss(learner.corrector(maps), labels)
        learner.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.corrector.parameters(), _GRADIENT_NORM)
        learner.optimizer.step()
        learner.averaged.update_parameters(learner.corrector)

    def _batch(self, slices: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Return maps (B, 3 + 3C, H, W) and labels (B, H, W) of a few of these slices, both augmented."""
        chosen = [slices[number] for number in self._order.integers(len(slices), size=_BATCH_SLICES)]
        maps = torch.cat([self._slices[volume].maps([index]) for volume, index in chosen])
        labels = torch.stack([self._labels[volume][index] for volume, index in chosen])
        maps, grid = augment_weakly(maps, _AUGMENT, self._generator)
        return self._shifted(maps), warp_labels(labels, grid)

    def _shifted(self, maps: Tensor) -> Tensor:
        """Shift what is proposed, as if the finished volumes had been registered worse."""
        shape = (len(maps), 2)
        drawn = torch.rand((2, *shape), generator=self._generator, device=maps.device)
        shift = 2 * _PROPOSAL_SHIFT * (2 * drawn[0] - 1) * (drawn[1, :, :1] < _SHIFTED)
        theta = torch.eye(2, device=maps.device).repeat(len(maps), 1, 1)
        grid = F.affine_grid(torch.cat([theta, shift[:, :, None]], dim=2), [len(maps), 1, *maps.shape[-2:]], False)
        return torch.cat([maps[:, :NEIGHBOURS], warp(maps[:, NEIGHBOURS:], grid)], dim=1)

    def _validated(self) -> Correction:
        """Return the correctors, with the share that is best where each is tested."""
        tests = {volume: learner.learnt for learner in self._learners for volume in learner.tested}
        dice = np.mean([self._dice_by_share(tests[volume], volume) for volume in sorted(tests)], axis=0)
        share = _SHARES[int(dice.argmax())]
        return Correction(
            tuple(learner.learnt for learner in self._learners),
            share,
            self._values,
            self._slices[0].axis,
            self._pixel_mm,
            self._config,
            self._images,
            tuple(self._score(tests[volume], share, volume) for volume in sorted(tests)),
        )

    @torch.inference_mode()
    def _dice_by_share(self, corrector: Corrector, volume: int) -> list[float]:
        """Return the Dice on the plane, mean over the classes of the truth, for each share of a corrector."""
        slices, truth = self._slices[volume], self._labels[volume]
        areas = torch.bincount(truth.flatten(), minlength=len(self._values)).tolist()
        present = [index for index in range(1, len(self._values)) if areas[index]]
        if not present:
            # What few voxels there are fell between the pixels of the plane, which speaks for no share.
            return [0.0] * len(_SHARES)
        overlap, found_px = np.zeros((2, len(_SHARES), len(self._values)))
        for rows in slices.batches():
            self._interruption.check()
            proposed, found = (mean_probabilities([corrector], slices, rows, share) for share in (0.0, 1.0))
            known = truth[rows]
            for number, share in enumerate(_SHARES):
                labels = proposed.lerp(found, share).argmax(dim=1).masked_fill(known == IGNORE, BACKGROUND)
                for index in present:
                    here = labels == index
                    overlap[number, index] += int((here & (known == index)).sum())
                    found_px[number, index] += int(here.sum())
        dice = 2 * overlap[:, present] / (found_px[:, present] + np.array(areas)[present])
        scores: list[float] = dice.mean(axis=1).tolist()
        return scores

    def _score(self, corrector: Corrector, share: float, volume: int) -> CorrectionScore:
        """Return the Dice in a volume itself, of what is proposed and of what the corrector makes of it."""
        one, slices = self._finished[volume], self._slices[volume]

        def correct(rows: list[int]) -> Tensor:
            self._interruption.check()
            return mean_probabilities([corrector], slices, rows, share)

        found = slices.corrected(one.proposal, self._values, correct)
        return CorrectionScore(self._dice(one.proposal, one.labels), self._dice(found, one.labels))

    def _dice(self, found: ProposedMask, labels: npt.NDArray[np.integer[Any]]) -> float:
        """Return the Dice, mean over the classes of the truth."""
        present = [value for value in self._values[1:] if (labels == value).any()]
        return float(np.mean([dice_score(found.labels, labels, value) for value in present]))


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy and the soft Dice loss of the structures, of all slices together.

    Unlike that of the students, it has no squares in the denominator and leaves background out, which was better here.
    """
    annotated = (labels != IGNORE).unsqueeze(1)
    structures = torch.arange(1, logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    target = labels.unsqueeze(1) == structures
    p = logits.softmax(dim=1)[:, 1:] * annotated
    overlap, size = ((p * target).sum((0, 2, 3)), (p + target).sum((0, 2, 3)))
    return cross_entropy_loss(logits, labels) + (1 - (2 * overlap + 1) / (size + 1)).mean()
