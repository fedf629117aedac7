"""Evidence for a structure in unannotated slices: images, propagated outlines and grey values.

These are the inputs of the propagator (`knowsam.models.propagator`); no network is involved in them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from knowsam.data.annotation import BACKGROUND
from knowsam.propagation.registration import displaced, gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.propagation.label_propagation import LabelPropagation
    from knowsam.propagation.propagated_labels import PropagatedLabels

IMAGE_MAPS = 5
MAPS = 10
POSITION_VALUES = 5
"""Maps of the images alone, of one structure with them, and values of the position."""

_LOGIT_MAP = IMAGE_MAPS + 2
_LOGIT_SCALE = 4.0
"""What the propagated logit is divided by among the maps."""

_MOST_LOGIT = 6.0
_MOST_RATIO = 3.0
_MOST_DEVIATIONS = 4.0
"""Grey values, in standard deviations from the mean, beyond which all count alike."""

_SMOOTHING = 0.02
_NEAR = 0.12
"""Radius of the smoothed image, and of the surroundings whose grey values count, relative to the side of the plane."""

_BINS = 48
_BIN_SMOOTHING = 1.5
_RAREST = 0.002
"""Probability of a grey value that was never seen."""

_SLICES_SCALE = 10.0
_NEAR_SCALE, _FAR_SCALE = 4.0, 2.0


class Evidence(NamedTuple):
    """What is known of some slices.

    Parameters
    ----------
    images : (B, 5, H, W), standardised: the slice below, the slice, the one above, and both annotated slices
        propagated to it.
    structures : (B, S, 5, H, W), for each structure: the outlines propagated from below and above, their blend as a
        logit over four, and the log likelihood ratios of the grey value and of the smoothed one. The
        structures are the classes without background, and after two or more of them any class at all.
    position : (B, 5), in [-1, 1]: between the annotated slices, how near they are (in slices, then relative to the
        plane), how far the farther one is, and whether the slice lies beyond the outermost one.
    """

    images: Tensor
    structures: Tensor
    position: Tensor

    def maps(self, structure: int) -> Tensor:
        """Return all maps (B, 10, H, W) of the evidence for one structure."""
        return torch.cat([self.images, self.structures[:, structure]], dim=1)


def propagated_logit(maps: Tensor) -> Tensor:
    """Return the logit (B, 1, H, W) of the propagated labels in the maps (B, 10, H, W) of a structure."""
    return _LOGIT_SCALE * maps[:, _LOGIT_MAP : _LOGIT_MAP + 1]


class EvidenceSource:
    """Gathers evidence in the slices of one volume.

    Parameters
    ----------
    planes : (N, H, W), the slices.
    slice_px : distance of neighbouring slices in network pixels.
    """

    def __init__(self, planes: Tensor, slice_px: float) -> None:
        deviations = (planes - planes.mean()) / planes.std().clamp_min(1e-6)
        self._images = deviations.clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        self._side_px = math.sqrt(planes.shape[1] * planes.shape[2])
        self._smoothed = gaussian(self._images, _SMOOTHING * self._side_px)
        self._slice_px = slice_px

    def of(
        self,
        indices: Sequence[int],
        propagated: PropagatedLabels,
        propagation: LabelPropagation,
        *,
        own: bool = False,
    ) -> Evidence:
        """Return the evidence in some slices.

        Parameters
        ----------
        propagated : to these slices, by `propagation`. own : as it was asked, see `LabelPropagation.at`.
        """
        sources = propagation.sources(indices, own=own)
        beside = torch.tensor(indices)[:, None] + torch.tensor([-1, 0, 1])
        images = [self._images[beside.clamp(0, len(self._images) - 1)]]
        for side in range(2):
            beginnings = [pair[side] for pair in sources]
            displacements = propagation.displacements(beginnings, indices)
            images.append(displaced(self._images[beginnings][:, None], displacements))
        probabilities = _of_structures(propagated.probabilities).clamp(1e-4, 1 - 1e-4)
        logit = torch.logit(probabilities).clamp(-_MOST_LOGIT, _MOST_LOGIT) / _LOGIT_SCALE
        lower, upper = (
            torch.tanh(_of_structures(outlines, opposite=-1.0) / (2 * propagated.softness_px))
            for outlines in (propagated.lower, propagated.upper)
        )
        structures = torch.stack([lower, upper, logit, *self._likelihood_ratios(indices, sources, propagation)], dim=2)
        return Evidence(torch.cat(images, dim=1), structures, self._position(indices, sources, propagated))

    def _likelihood_ratios(
        self, indices: Sequence[int], sources: Sequence[tuple[int, int]], propagation: LabelPropagation
    ) -> list[Tensor]:
        """Return how much more frequent each grey value is inside a structure than round it, twice (B, S, H, W)."""
        found: list[dict[int, Tensor]] = [{}, {}]
        for pair in set(sources):
            own = sorted(set(pair))
            distances = _of_structures(propagation.own(own), opposite=-1.0)
            rows = [row for row, source in enumerate(sources) if source == pair]
            for images, ratios in zip((self._images, self._smoothed), found, strict=True):
                table = _log_ratio_table(images[own], distances, _NEAR * self._side_px)
                looked_up = _looked_up(table, images[[indices[row] for row in rows]])
                ratios |= dict(zip(rows, looked_up, strict=True))
        stacked = [torch.stack([ratios[row] for row in range(len(indices))]) for ratios in found]
        return [ratios.clamp(-_MOST_RATIO, _MOST_RATIO) for ratios in stacked]

    def _position(
        self, indices: Sequence[int], sources: Sequence[tuple[int, int]], propagated: PropagatedLabels
    ) -> Tensor:
        distances = [
            sorted((abs(index - before), abs(index - after)))
            for index, (before, after) in zip(indices, sources, strict=True)
        ]
        near, far = torch.tensor(distances, dtype=torch.float32, device=self._images.device).unbind(1)
        one_sided = propagated.is_one_sided.flatten().float()
        between = (2 * propagated.position.flatten() - 1) * (1 - one_sided)
        relative = self._slice_px / self._side_px
        return torch.stack(
            [
                between,
                torch.tanh(near / _SLICES_SCALE),
                torch.tanh(_NEAR_SCALE * near * relative),
                torch.tanh(_FAR_SCALE * far * relative),
                one_sided,
            ],
            dim=1,
        )


def _of_structures(maps: Tensor, opposite: float | None = None) -> Tensor:
    """Turn maps of classes (B, C, H, W) into those of structures; any class is what is not background.

    Parameters
    ----------
    opposite : factor that turns the evidence for background into that for the rest; None for probabilities.
    """
    if maps.shape[1] == 2:
        return maps[:, 1:]
    background = maps[:, BACKGROUND : BACKGROUND + 1]
    any_class = 1 - background if opposite is None else opposite * background
    return torch.cat([maps[:, 1:], any_class], dim=1)


def _bin_of(images: Tensor) -> Tensor:
    return ((images + _MOST_DEVIATIONS) / (2 * _MOST_DEVIATIONS) * (_BINS - 1)).clamp(0, _BINS - 1)


def _log_ratio_table(images: Tensor, distances_px: Tensor, near_px: float) -> Tensor:
    """Return log p(grey value | inside) - log p(grey value | near outside) for each bin of grey values.

    Parameters
    ----------
    images : (K, H, W), standardised annotated slices. distances_px : (K, S, H, W), signed, positive inside.

    Returns
    -------
    (S, bins).
    """
    bins = _bin_of(images).round().long().flatten()
    inside = (distances_px > 0).float()
    outside = (1 - inside) * torch.exp(distances_px.clamp_max(0) / near_px)
    structures = distances_px.shape[1]
    histograms = []
    for weights in (inside, outside):
        flat = weights.movedim(1, 0).reshape(structures, -1)
        histogram = _smoothed_bins(flat.new_zeros(structures, _BINS).index_add_(1, bins, flat))
        histograms.append(histogram / histogram.sum(dim=1, keepdim=True).clamp_min(1e-6) + _RAREST)
    return (histograms[0] / histograms[1]).log()


def _smoothed_bins(histogram: Tensor) -> Tensor:
    reach = torch.arange(-4, 5, device=histogram.device)
    kernel = torch.softmax(-0.5 * (reach / _BIN_SMOOTHING) ** 2, dim=0)
    return F.conv1d(F.pad(histogram[:, None], (4, 4), mode="replicate"), kernel[None, None])[:, 0]


def _looked_up(table: Tensor, images: Tensor) -> Tensor:
    """Interpolate a table (S, bins) at the grey values of images (B, H, W); (B, S, H, W)."""
    place = _bin_of(images)
    below = place.floor().long().clamp(max=_BINS - 2)
    return torch.lerp(table[:, below], table[:, below + 1], place - below).movedim(0, 1)
