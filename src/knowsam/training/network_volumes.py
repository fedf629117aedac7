"""Volumes for networks and label propagation: planes on the device, and labels propagated between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from knowsam.data.window import Window, annotated_box, common_plane, extent_mm_of, window_at, with_margin
from knowsam.inference.planes import NetworkSlices, network_planes
from knowsam.models.propagator import shipped_propagator
from knowsam.training.volume_propagation import VolumePropagation

if TYPE_CHECKING:
    from knowsam.config import Config, PlaneConfig
    from knowsam.data.annotation import LabelSlice
    from knowsam.data.case import Case
    from knowsam.training.interruption import Interruption


class NetworkVolumes:
    """The slices of some volumes on one plane, and the labels propagated in each volume.

    Parameters
    ----------
    windows : one for each case, all with the same plane.
    interruption : breaks off the preparation of the planes.

    Attributes
    ----------
    planes : (N, H, W), the slices of all volumes, one volume after the other.
    slices : of each volume, views into the planes.
    propagations : of each volume; None where the shape prior is off.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        windows: Sequence[Window],
        config: Config,
        *,
        device: torch.device,
        interruption: Interruption | None = None,
    ) -> None:
        check = None if interruption is None else interruption.check
        planes = [
            network_planes(case.volume, case.annotation.axis, window, config.plane.clip_percent, check=check)
            for case, window in zip(cases, windows, strict=True)
        ]
        # Views into the one tensor, so that a batch over several volumes is gathered by a single index.
        self.planes = torch.cat(planes).to(device)
        parts = self.planes.split([len(own) for own in planes])
        self.slices = tuple(
            NetworkSlices(own, window, case.annotation.axis, case.volume.shape)
            for own, window, case in zip(parts, windows, cases, strict=True)
        )
        is_refined = config.method.shape_prior and config.propagation.pretrained
        propagator = shipped_propagator(device) if is_refined else None
        self.propagations = tuple(
            VolumePropagation(case, own.planes, own.window, config.propagation, check, propagator=propagator)
            if config.method.shape_prior
            else None
            for case, own in zip(cases, self.slices, strict=True)
        )
        self.relabel(cases, check)

    def relabel(self, cases: Sequence[Case], check: Callable[[], None] | None = None) -> None:
        """Propagate all labels anew; an exception of `check` between two slices stops it."""
        for propagation, case in zip(self.propagations, cases, strict=True):
            if propagation is not None:
                propagation.relabel(case, check)

    def annotate(self, case: int, label_slice: LabelSlice, classes: int) -> list[int]:
        """Take in a painted slice; return the slices whose propagated labels it changes, ascending."""
        propagation = self.propagations[case]
        return [] if propagation is None else propagation.annotate(label_slice, classes)

    def can_propagate(self, case: int) -> bool:
        """Return whether labels are propagated in a volume."""
        propagation = self.propagations[case]
        return propagation is not None and propagation.can_propagate


def common_windows(cases: Sequence[Case], config: Config, pixel_mm: float | None = None) -> tuple[list[Window], float]:
    """Return one window for each case, all of one plane and pixel size, and that pixel size in mm.

    The plane holds what is annotated and proposed in every case, with its margin, or its whole slices. In a volume
    without annotation the window stands where the others stand on average, relative to the slice.
    """
    boxes = {number: _box(case, config.plane) for number, case in enumerate(cases) if case.annotation.slices}
    extents_mm = [extent_mm_of(box, cases[number].plane_spacing_mm) for number, box in boxes.items()]
    finest_mm = min(min(case.plane_spacing_mm) for case in cases)
    plane, pixel_mm = common_plane(extents_mm, finest_mm, config.plane.max_side_px, pixel_mm)
    centers = {number: _relative_center(cases[number], box) for number, box in boxes.items()}
    average = tuple(np.mean(list(centers.values()), axis=0))
    windows = []
    for number, case in enumerate(cases):
        relative = centers.get(number, average)
        center = tuple(relative[i] * case.annotation.plane_shape[i] for i in range(2))
        windows.append(window_at((center[0], center[1]), plane, pixel_mm, case.plane_spacing_mm))
    return windows, pixel_mm


def wider_windows(cases: Sequence[Case], config: Config, pixel_mm: float) -> tuple[list[Window], float]:
    """Return windows round all that is painted by now, never finer than `pixel_mm`, and their pixel size in mm.

    What was learnt at one pixel size is of little use at another.
    """
    _, finest_mm = common_windows(cases, config)
    return common_windows(cases, config, max(finest_mm, pixel_mm))


def _box(case: Case, config: PlaneConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (start, stop) of what the networks are to see of each slice, in voxels."""
    annotation, proposal = case.annotation, case.proposal
    if config.whole_slices:
        return (0, 0), annotation.plane_shape
    proposed = None if proposal is None else proposal.found(annotation.axis)
    return with_margin(annotated_box(annotation, proposed), annotation.plane_shape, config)


def _relative_center(case: Case, box: tuple[tuple[int, int], tuple[int, int]]) -> tuple[float, float]:
    (top, left), (bottom, right) = box
    height, width = case.annotation.plane_shape
    return (top + bottom) / 2 / height, (left + right) / 2 / width
