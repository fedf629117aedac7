"""Labels propagated to the slices of a batch, from whatever volumes they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from knowsam.inference.device import to_device
from knowsam.models.students import PRIOR_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.config import PropagationConfig
    from knowsam.data.sampling import SliceKey
    from knowsam.propagation.propagated_labels import PropagatedLabels
    from knowsam.training.volume_propagation import VolumePropagation

_UNDECIDED = 1e-4
"""No mask prompt is more certain than this lets it be."""

_ALONE = 0.5
"""How often slices of a volume that is annotated without a gap are shown without propagated labels."""


class PropagatedBatch(NamedTuple):
    """Labels propagated to the slices of a batch, annotated ones first; zeros where there are none.

    Parameters
    ----------
    channels : (B + U, 4 C, H, W), for the students, see `PropagatedLabels.channels`.
    probabilities : (B + U, C, H, W).
    confidence : (B + U, 1, H, W), in [0, 1]; 0 beyond the outermost annotated slices too, unless all structures end.
    mask_prompts : (B + U, C, H, W), logits; None if nothing is propagated to one of the slices.
    """

    channels: Tensor
    probabilities: Tensor
    confidence: Tensor
    mask_prompts: Tensor | None


def propagated_to(
    keys: Sequence[SliceKey],
    labelled: int,
    propagations: Sequence[VolumePropagation | None],
    *,
    classes: int,
    plane: tuple[int, int],
    config: PropagationConfig,
    generator: Generator,
) -> PropagatedBatch:
    """Gather the labels propagated to some slices.

    What an annotated slice is shown lies between its own labels, as if its neighbours were near, and those
    propagated to it, from twice as far as to any other: so the students learn how reliable they are.

    Parameters
    ----------
    labelled : how many of the slices are annotated; they come first.
    propagations : one for each volume, or None.
    plane : (H, W).
    generator : on the device of the propagations.
    """
    channels = [torch.zeros((PRIOR_MAPS * classes, *plane), device=generator.device)] * len(keys)
    probabilities, confidence = [channels[0][:classes]] * len(keys), [channels[0][:1]] * len(keys)
    without = len(keys)
    for number in sorted({key.case for key in keys}):
        places = [place for place, key in enumerate(keys) if key.case == number]
        indices = [keys[place].slice_index for place in places]
        propagation = propagations[number]
        propagated = None if propagation is None else propagation.for_training(indices)
        if propagation is None or propagated is None:
            continue
        without -= len(places)
        is_labelled = [place < labelled for place in places]
        own, mixing_rate = _own_outlines(propagation, propagated, indices, is_labelled, config, generator)
        shown, likely = propagated.mixed_with(own, mixing_rate).channels, propagated.probabilities
        sure = (likely.amax(dim=1, keepdim=True) * classes - 1) / (classes - 1)
        sure = sure * (1 - propagated.source_variance.sqrt())
        for row, place in enumerate(places):
            channels[place], probabilities[place] = shown[row], likely[row]
            is_known = propagation.lies_between(indices[row]) or propagation.holds_nothing(indices[row])
            if is_known and not propagation.is_dense:
                confidence[place] = sure[row]
    dropout = [_dropout(propagations[key.case], config) for key in keys]
    kept = _random(len(keys), generator) >= to_device(torch.tensor(dropout).view(-1, 1, 1, 1), generator.device)
    likely = torch.stack(probabilities)
    return PropagatedBatch(
        torch.stack(channels) * kept,
        likely,
        torch.stack(confidence),
        None if without else likely.clamp_min(_UNDECIDED).log(),
    )


def _dropout(propagation: VolumePropagation | None, config: PropagationConfig) -> float:
    """Return how often nothing is propagated; a model of whole volumes begins every new one without painted slices."""
    return _ALONE if propagation is not None and propagation.is_dense else config.prior_dropout


def _own_outlines(
    propagation: VolumePropagation,
    propagated: PropagatedLabels,
    indices: Sequence[int],
    labelled: Sequence[bool],
    config: PropagationConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Return the own outlines of slices (B, C, H, W), and their mixing rates (B, 1, 1, 1); 1 where there is none."""
    whole = _random(len(indices), generator) < config.full_mixing_share
    some = torch.where(whole, torch.ones_like(whole, dtype=torch.float32), _random(len(indices), generator))
    own, mixing_rate = [], []
    for row, index in enumerate(indices):
        outline = propagation.own([index]) if labelled[row] else None
        own.append(propagated.lower[row] if outline is None else outline[0])
        mixing_rate.append(torch.ones_like(some[row]) if outline is None else some[row])
    return torch.stack(own), torch.stack(mixing_rate)


def _random(count: int, generator: Generator) -> Tensor:
    """Draw (count, 1, 1, 1) from [0, 1)."""
    return torch.rand((count, 1, 1, 1), generator=generator, device=generator.device)
