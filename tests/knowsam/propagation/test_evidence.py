"""What speaks for a disc in the slices between two that are annotated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from knowsam.data.window import Window
from knowsam.inference.planes import network_outline
from knowsam.propagation.displacement_chains import DisplacementChains
from knowsam.propagation.evidence import MAPS, POSITION_VALUES, Evidence, EvidenceSource, propagated_logit
from knowsam.propagation.label_propagation import LabelPropagation
from knowsam.propagation.slice_flows import SliceFlows

SIZE, SLICES = 32, 11


def disc(value: int = 1, centre: int = 16) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.hypot(y - 16, x - centre) < 6).astype(np.uint8) * np.uint8(value)


def bright_disc() -> Tensor:
    """Return slices with a bright disc on a dark, uneven ground."""
    ground = torch.rand((SLICES, SIZE, SIZE), generator=torch.Generator().manual_seed(0)) / 5
    return ground + torch.from_numpy(disc()).float()


def evidence_of(indices: list[int], painted: dict[int, np.ndarray], classes: int = 2) -> Evidence:
    planes = bright_disc()
    propagation = LabelPropagation(
        DisplacementChains(SliceFlows(planes, 0.0)), slice_px=2.0, softness_px=1.5, cap_px=10.0, fade=1.0
    )
    whole = Window((0, 0), (SIZE, SIZE), (SIZE, SIZE))
    propagation.update(
        {index: network_outline(labels, classes, whole, (1.0, 1.0), pixel_mm=1.0) for index, labels in painted.items()}
    )
    propagated = propagation.at(indices, own=True)
    return EvidenceSource(planes, slice_px=2.0).of(indices, propagated, propagation, own=True)


def test_each_structure_has_maps_of_images_and_of_its_own() -> None:
    evidence = evidence_of([3, 4], {2: disc(), 8: disc()})
    assert evidence.structures.shape[:2] == (2, 1)
    assert evidence.maps(0).shape == (2, MAPS, SIZE, SIZE)
    assert evidence.position.shape == (2, POSITION_VALUES)


def test_any_class_is_a_structure_of_its_own_beside_two_classes() -> None:
    evidence = evidence_of([5], {2: disc(1, 10) | disc(2, 24), 8: disc(1, 10) | disc(2, 24)}, classes=3)
    assert evidence.structures.shape[1] == 3
    first, second, any_class = (propagated_logit(evidence.maps(index))[0, 0] > 0 for index in range(3))
    torch.testing.assert_close(any_class, first | second)
    assert (first & second).sum() == 0


def test_grey_values_of_the_annotated_disc_speak_for_it() -> None:
    evidence = evidence_of([5], {2: disc(), 8: disc()})
    inside = torch.from_numpy(disc() > 0)
    likelihood = evidence.structures[0, 0, 3]
    assert likelihood[inside].min() > 0 > likelihood[~inside].max()


def test_position_says_where_between_the_annotated_slices_and_how_near() -> None:
    between, near_slices, near, far, beyond = evidence_of([3, 5, 7], {2: disc(), 8: disc()}).position.unbind(1)
    torch.testing.assert_close(between, torch.tensor([-2 / 3, 0.0, 2 / 3]))
    assert near_slices[1] > near_slices[0] == near_slices[2]
    assert near[1] > near[0]
    assert far[1] < far[0]
    assert not beyond.any()


@pytest.mark.parametrize("index", [0, 10])
def test_beyond_the_outermost_annotated_slice_this_is_reported_and_there_is_no_between(index: int) -> None:
    evidence = evidence_of([index], {2: disc(), 8: disc()})
    assert evidence.position[0, 4] == 1
    assert evidence.position[0, 0] == 0


def test_an_annotated_slice_is_its_own_evidence() -> None:
    evidence = evidence_of([2], {2: disc(), 8: disc(1, 10)})
    torch.testing.assert_close(evidence.images[:, 1], evidence.images[:, 3])
    torch.testing.assert_close(evidence.images[:, 1], evidence.images[:, 4])
    assert evidence.position[0, 1] == 0
