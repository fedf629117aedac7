"""The preference loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from preference_loss import preference_loss, preference_margins
from torch import Tensor

from knowsam.data.annotation import IGNORE


def pixels(*values: list[float]) -> Tensor:
    """Return maps (1, C, 1, N) from one list of C values for each pixel."""
    return torch.tensor(values).T.view(1, -1, 1, len(values))


def mask(*labels: int) -> Tensor:
    return torch.tensor(labels, dtype=torch.uint8).view(1, 1, -1)


LOGITS = pixels([0.0, 2.0, 9.0], [0.0, 3.0, 9.0], [5.0, 7.0, 1.0])
REFERENCE = pixels([0.0, 1.0, 4.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0])
CHOSEN, REJECTED = mask(1, 0, 2), mask(0, 1, 2)
"""In the first pixel the students gain 1 for what was chosen, in the second they lose 3; in the third both agree."""


def test_the_margin_is_what_was_gained_for_the_chosen_mask_on_the_pixels_in_dispute() -> None:
    assert preference_margins(LOGITS, REFERENCE, CHOSEN, REJECTED).tolist() == pytest.approx([(1 - 3) / 2], rel=1e-5)
    over_plane = preference_margins(LOGITS, REFERENCE, CHOSEN, REJECTED, over_plane=True)
    assert over_plane.tolist() == pytest.approx([(1 - 3) / 3], rel=1e-5)


def test_the_loss_is_the_mean_of_log_sigmoids() -> None:
    by_hand = (math.log(1 + math.exp(0.5)) + math.log(1 + math.exp(-2.0))) / 2
    assert preference_loss(torch.tensor([-1.0, 4.0]), beta=0.5).item() == pytest.approx(by_hand)


def test_students_that_have_not_moved_and_masks_that_are_the_same_cost_log_2() -> None:
    unmoved = preference_margins(LOGITS, LOGITS, CHOSEN, REJECTED)
    same = preference_margins(LOGITS, REFERENCE, mask(1, 0, IGNORE), mask(1, 0, IGNORE))
    assert unmoved.tolist() == same.tolist() == [0.0]
    assert preference_loss(same, beta=1.0).item() == pytest.approx(math.log(2))


def test_only_pixels_in_dispute_and_only_the_learning_students_get_a_gradient() -> None:
    logits, reference = LOGITS.clone().requires_grad_(), REFERENCE.clone().requires_grad_()
    preference_loss(preference_margins(logits, reference, CHOSEN, REJECTED), beta=1.0).backward()
    assert reference.grad is None
    # d/dm of -log sigmoid(m) at m = -1, halved by the mean over two pixels.
    slope = -1 / (1 + math.exp(-1.0)) / 2
    assert logits.grad is not None
    expected = pixels([-slope, slope, 0.0], [slope, -slope, 0.0], [0.0, 0.0, 0.0])
    assert torch.allclose(logits.grad, expected, atol=1e-6)
