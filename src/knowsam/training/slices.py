"""The slices of all volumes as training sees them: planes on the device, labels, and augmented batches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from knowsam.data.annotation import LabelSlice, SliceState
from knowsam.data.sampling import SliceKey, SliceStream
from knowsam.inference.device import to_device
from knowsam.inference.planes import network_labels
from knowsam.propagation.sampling import warp
from knowsam.training.augment import augment_strongly, augment_weakly, warp_labels
from knowsam.training.batch import Batch, Origin, PseudoLabels
from knowsam.training.network_volumes import NetworkVolumes
from knowsam.training.propagated_batch import PropagatedBatch, propagated_to

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.data.window import Window
    from knowsam.training.interruption import Interruption
    from knowsam.training.volume_propagation import VolumePropagation

_SIMULATION_RATE = 0.1
"""How often other slices of a volume that is annotated without a gap are taken as the only annotated ones."""


class TrainingSlices:
    """Draws augmented batches from both streams of slices.

    Parameters
    ----------
    windows : one for each case, all with the same plane.
    seed : of the order of the slices and of the augmentation.
    interruption : breaks off the preparation of the planes.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        windows: Sequence[Window],
        config: Config,
        *,
        device: torch.device,
        seed: int,
        interruption: Interruption | None = None,
    ) -> None:
        self.volumes = NetworkVolumes(cases, windows, config, device=device, interruption=interruption)
        self.planes = tuple(own.planes for own in self.volumes.slices)
        self._first_row = np.cumsum([0, *(len(own) for own in self.planes)])
        self._config = config
        self._device = device
        self._classes = len(cases[0].annotation.classes)
        self._labels: dict[SliceKey, Tensor] = {}
        self._order = np.random.default_rng(seed)
        self._generator = Generator(device).manual_seed(seed)
        self._labelled = self._unlabelled = SliceStream((), self._order)
        self._take_labels(cases)

    @property
    def propagations(self) -> tuple[VolumePropagation | None, ...]:
        """Label propagation of each volume; None where the shape prior is off."""
        return self.volumes.propagations

    def relabel(self, cases: Sequence[Case]) -> None:
        """Take all labels anew from the cases; call `restart_streams` afterwards."""
        self._take_labels(cases)
        self.volumes.relabel(cases)

    def _take_labels(self, cases: Sequence[Case]) -> None:
        self._labels.clear()
        self._classes = len(cases[0].annotation.classes)
        for number, case in enumerate(cases):
            for label_slice in case.annotation.slices.values():
                self._label(number, label_slice)

    def annotate(self, case: int, label_slice: LabelSlice) -> list[int]:
        """Take in a painted or corrected slice; call `restart_streams` after the last one.

        Returns
        -------
        The slices whose propagated labels it changes, ascending.
        """
        self._label(case, label_slice)
        return self.volumes.annotate(case, label_slice, self._classes)

    def _label(self, case: int, label_slice: LabelSlice) -> None:
        key = SliceKey(case, label_slice.index)
        if label_slice.state is SliceState.UNLABELLED:
            self._labels.pop(key, None)
        else:
            self._labels[key] = network_labels(label_slice.labels, self.volumes.slices[case].window).to(self._device)

    def restart_streams(self, holdout: Collection[SliceKey]) -> None:
        """Sort all slices anew into the two streams; held-out ones enter neither."""
        every = [SliceKey(case, index) for case, planes in enumerate(self.planes) for index in range(len(planes))]
        labelled = [key for key in every if key in self._labels and key not in holdout]
        unlabelled = [key for key in every if key not in self._labels]
        self._labelled = SliceStream(labelled, self._order)
        # Where everything is annotated, the annotated images serve as unlabelled ones too.
        self._unlabelled = SliceStream(unlabelled or labelled, self._order)
        for number, propagation in enumerate(self.propagations):
            if propagation is not None:
                propagation.hold_out([key.slice_index for key in holdout if key.case == number])

    @property
    def labelled_keys(self) -> tuple[SliceKey, ...]:
        """The slices training draws labels from."""
        return self._labelled.keys

    def batch(self, labelled: int, unlabelled: int) -> Batch:
        """Draw and augment a batch of `labelled` + `unlabelled` slices, with labels propagated to them as channels."""
        keys = self._labelled.draw(labelled)
        labels = torch.stack([self._labels[key] for key in keys])
        n = len(keys)
        keys += self._unlabelled.draw(unlabelled)
        plain, propagated = self._images(keys), None
        self._simulate_sparse_annotation({key.case for key in keys})
        if self._config.method.shape_prior:
            propagated = self._propagated_to(keys, n)
            plain = torch.cat([plain, propagated.channels], dim=1)
        augment, generator = self._config.augment, self._generator
        images, grid = augment_weakly(plain[:n], augment, generator)
        bent, grid_bent = plain[n:], grid[:0]
        if len(bent):
            bent, grid_bent = augment_strongly(bent, augment, generator)
        prompts = None if propagated is None else propagated.mask_prompts
        origin = Origin(self._rows(keys), self.planes, plain, labels, torch.cat([grid, grid_bent]), prompts)
        pseudo_labels = None
        if propagated is not None and len(bent):
            pseudo_labels = PseudoLabels(
                warp(propagated.probabilities[n:], grid_bent), warp(propagated.confidence[n:], grid_bent)
            )
        return Batch(images, warp_labels(labels, grid), bent, origin, pseudo_labels)

    def _simulate_sparse_annotation(self, cases: Collection[int]) -> None:
        """Propagate from other slices now and then in volumes that are annotated without a gap."""
        for number in cases:
            propagation = self.propagations[number]
            if propagation is not None and propagation.is_dense and self._order.random() < _SIMULATION_RATE:
                propagation.simulate_sparse_annotation(self._order)

    def _propagated_to(self, keys: Sequence[SliceKey], labelled: int) -> PropagatedBatch:
        return propagated_to(
            keys,
            labelled,
            self.propagations,
            classes=self._classes,
            plane=self.volumes.slices[0].window.plane,
            config=self._config.propagation,
            generator=self._generator,
        )

    def _rows(self, keys: Sequence[SliceKey]) -> tuple[int, ...]:
        """Number the slices of all volumes in one row."""
        return tuple(int(self._first_row[key.case]) + key.slice_index for key in keys)

    def _images(self, keys: Sequence[SliceKey]) -> Tensor:
        """Gather slices (B, 3, H, W) with their neighbours in their own volume."""
        cases = np.array([key.case for key in keys])
        rows = np.array(self._rows(keys))
        offsets = np.array([-1, 0, 1]) * int(self._config.plane.neighbours)
        first, last = self._first_row[cases], self._first_row[cases + 1] - 1
        wanted = np.clip(rows[:, None] + offsets, first[:, None], last[:, None])
        return self.volumes.planes[to_device(torch.from_numpy(wanted), self._device)]
