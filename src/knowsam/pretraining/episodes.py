"""Episodes: some slices of a synthetic volume are annotated, the propagator predicts others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from knowsam.config import PropagationConfig
from knowsam.inference.planes import plane_outline
from knowsam.pretraining.anatomy import synthetic_volume
from knowsam.pretraining.painter import as_painted, chosen_slices, radius_of, with_jitter
from knowsam.pretraining.random_source import RandomSource
from knowsam.propagation.displacement_chains import DisplacementChains
from knowsam.propagation.evidence import Evidence, EvidenceSource
from knowsam.propagation.label_propagation import CAP, LabelPropagation, Outline
from knowsam.propagation.slice_flows import SliceFlows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowsam.pretraining.anatomy import SyntheticVolume
    from knowsam.propagation.propagated_labels import PropagatedLabels

_PAINTERS = 4
"""How often one volume is annotated."""

_SLICES = 18
"""Slices to predict from each annotation."""

_SMALLEST_AREA, _LARGEST_AREA = 0.006, 0.5
"""Mean area of a structure relative to the plane."""

_SMALLEST_SLICE_PX = 6
_SHORTEST_SLICES = 8
_RAREST = 0.002
"""Share of pixels that a class must hold in the slices to predict."""


@dataclass(frozen=True, eq=False)
class Episode:
    """Slices of one structure with the evidence for it and the answer.

    Parameters
    ----------
    maps : (B, 10, H, W). position : (B, 5). See `Evidence`.
    target : (B, 1, H, W), bool.
    """

    maps: Tensor
    position: Tensor
    target: Tensor


@dataclass(frozen=True, eq=False)
class Question:
    """A synthetic volume, annotated in some slices.

    Parameters
    ----------
    truth : (N, H, W), class indices. annotated : the annotated slices.
    indices : the slices to predict. propagated, evidence : in these.
    """

    volume: SyntheticVolume
    truth: Tensor
    annotated: tuple[int, ...]
    indices: tuple[int, ...]
    propagated: PropagatedLabels
    evidence: Evidence

    def targets(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the classes that the slices to predict hold enough of, and where (B, 1, H, W), bool."""
        truth = self.truth[list(self.indices)]
        for index in range(1, int(self.truth.max()) + 1):
            target = (truth == index)[:, None]
            if float(target.float().mean()) >= _RAREST:
                yield index, target


def episodes(seed: int) -> list[Episode]:
    """Return the episodes of one synthetic volume, one for each painter and class."""
    found = []
    for question in questions(seed):
        evidence = question.evidence
        found += [Episode(evidence.maps(i - 1), evidence.position, target) for i, target in question.targets()]
    return found


def questions(seed: int) -> list[Question]:
    """Annotate one synthetic volume several times."""
    source = RandomSource(seed)
    volume = synthetic_volume(source)
    structures = [structure for structure in volume.structures if _is_askable(volume.labels(structure))]
    if not structures:
        return []
    config = PropagationConfig()
    side = math.sqrt(volume.image.shape[1] * volume.image.shape[2])
    evidence = EvidenceSource(volume.image, volume.slice_px)
    propagation = LabelPropagation(
        DisplacementChains(SliceFlows(volume.image, config.reach * side)),
        slice_px=volume.slice_px,
        softness_px=config.softness * side,
        cap_px=CAP * side,
        fade=config.fade,
    )
    found = []
    for _ in range(_PAINTERS):
        structure = structures[source.whole(0, len(structures) - 1)]
        question = _question(source, volume, as_painted(source, volume.labels(structure)), propagation, evidence)
        if question is not None:
            found.append(question)
    return found


def _question(
    source: RandomSource,
    volume: SyntheticVolume,
    truth: Tensor,
    propagation: LabelPropagation,
    evidence: EvidenceSource,
) -> Question | None:
    held = torch.nonzero((truth > 0).flatten(1).any(dim=1)).flatten().tolist()
    if len(held) < _SHORTEST_SLICES:
        return None
    radius_slices = radius_of(truth) / volume.slice_px
    annotated = chosen_slices(source, held[0], held[-1], radius_slices)
    painted = with_jitter(source, truth[annotated])
    if len(annotated) < 2 or not (painted > 0).any():
        return None
    classes = int(truth.max()) + 1
    propagation.update({index: _outline(own, classes) for index, own in zip(annotated, painted, strict=True)})
    asked = _asked(source, annotated, len(truth))
    propagated = propagation.at(asked)
    return Question(
        volume, truth, tuple(annotated), tuple(asked), propagated, evidence.of(asked, propagated, propagation)
    )


def _asked(source: RandomSource, annotated: list[int], slices: int) -> list[int]:
    """Choose slices between the annotated ones, and some beyond the outermost ones, as far as these lie apart."""
    first, last = annotated[0], annotated[-1]
    reach = max(round((last - first) / (len(annotated) - 1)), 2)
    between = [index for index in range(first + 1, last) if index not in annotated]
    beyond = [i for i in range(max(first - reach, 0), min(last + reach + 1, slices)) if not first <= i <= last]
    chosen = [source.numbers.permutation(own)[:most] for own, most in ((between, _SLICES), (beyond, _SLICES // 4))]
    return sorted(int(index) for own in chosen for index in own)[:_SLICES] or [first]


def _outline(labels: Tensor, classes: int) -> Outline:
    return plane_outline(labels.numpy().astype(np.uint8), classes)


def _is_askable(labels: Tensor) -> bool:
    """Return whether a structure lasts long enough and is neither tiny nor huge."""
    areas = (labels > 0).flatten(1).sum(dim=1)
    held = areas[areas >= _SMALLEST_SLICE_PX].float()
    size = labels.shape[1] * labels.shape[2]
    return len(held) >= _SHORTEST_SLICES and _SMALLEST_AREA < float(held.mean()) / size < _LARGEST_AREA
