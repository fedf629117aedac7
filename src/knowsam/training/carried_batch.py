"""What is carried to the slices of a batch, from whatever volumes they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from knowsam.inference.device import to_device
from knowsam.models.students import PRIOR_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.config import PriorConfig
    from knowsam.data.sampling import SliceKey
    from knowsam.prior.carried import Carried
    from knowsam.training.volume_prior import VolumePrior

_UNDECIDED = 1e-4
"""No mask prompt is more certain than this lets it be."""

_ALONE = 0.5
"""How often slices of a volume that is annotated without a gap are shown without carried shapes."""


class CarriedBatch(NamedTuple):
    """What is carried to the slices of a batch, annotated ones first; zeros where nothing is.

    Parameters
    ----------
    channels : (B + U, 4 C, H, W), for the students, see `knowsam.prior.carried.Carried.channels`.
    probabilities : (B + U, C, H, W).
    confidence : (B + U, 1, H, W), in [0, 1]; 0 beyond the outermost annotated slices too.
    mask_prompts : (B + U, C, H, W), logits; None if nothing is carried to one of the slices.
    """

    channels: Tensor
    probabilities: Tensor
    confidence: Tensor
    mask_prompts: Tensor | None


def carried_to(
    keys: Sequence[SliceKey],
    labelled: int,
    priors: Sequence[VolumePrior | None],
    *,
    classes: int,
    plane: tuple[int, int],
    config: PriorConfig,
    generator: Generator,
) -> CarriedBatch:
    """Gather what is carried to some slices.

    What an annotated slice is shown lies between its own shape, as if its neighbours were near, and what is carried to
    it, from twice as far as to any other: only so do the students learn how far to trust it.

    Parameters
    ----------
    labelled : how many of the slices are annotated; they come first.
    priors : one for each volume, or None.
    plane : (H, W).
    generator : on the device of the priors.
    """
    channels = [torch.zeros((PRIOR_MAPS * classes, *plane), device=generator.device)] * len(keys)
    probabilities, confidence = [channels[0][:classes]] * len(keys), [channels[0][:1]] * len(keys)
    without = len(keys)
    for number in sorted({key.case for key in keys}):
        places = [place for place, key in enumerate(keys) if key.case == number]
        indices = [keys[place].slice_index for place in places]
        prior = priors[number]
        carried = None if prior is None else prior.learnt(indices)
        if prior is None or carried is None:
            continue
        without -= len(places)
        own, doubt = _own_shapes(prior, carried, indices, [place < labelled for place in places], config, generator)
        shown, likely = carried.nearer(own, doubt).channels, carried.probabilities
        sure = (likely.amax(dim=1, keepdim=True) * classes - 1) / (classes - 1)
        for row, place in enumerate(places):
            channels[place], probabilities[place] = shown[row], likely[row]
            if prior.lies_between(indices[row]) and not prior.rehearses:
                confidence[place] = sure[row]
    dropout = [_dropout(priors[key.case], config) for key in keys]
    kept = _random(len(keys), generator) >= to_device(torch.tensor(dropout).view(-1, 1, 1, 1), generator.device)
    likely = torch.stack(probabilities)
    return CarriedBatch(
        torch.stack(channels) * kept,
        likely,
        torch.stack(confidence),
        None if without else torch.logit(likely, eps=_UNDECIDED),
    )


def _dropout(prior: VolumePrior | None, config: PriorConfig) -> float:
    """Return how often nothing is carried; a model of whole volumes begins every new one without any painted slice."""
    return _ALONE if prior is not None and prior.rehearses else config.prior_dropout


def _own_shapes(
    prior: VolumePrior,
    carried: Carried,
    indices: Sequence[int],
    labelled: Sequence[bool],
    config: PriorConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Return the own shapes of slices (B, C, H, W), and how much each is doubted (B, 1, 1, 1); 1 if it has none."""
    whole = _random(len(indices), generator) < config.whole_doubt
    some = torch.where(whole, torch.ones_like(whole, dtype=torch.float32), _random(len(indices), generator))
    own, doubt = [], []
    for row, index in enumerate(indices):
        shape = prior.own([index]) if labelled[row] else None
        own.append(carried.lower[row] if shape is None else shape[0])
        doubt.append(torch.ones_like(some[row]) if shape is None else some[row])
    return torch.stack(own), torch.stack(doubt)


def _random(count: int, generator: Generator) -> Tensor:
    """Draw (count, 1, 1, 1) from [0, 1)."""
    return torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)
