"""Finished volumes teach how proposals err, and what was learnt is tried where it was not learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage

from knowsam.config import PlaneConfig
from knowsam.data.proposed_mask import ProposedMask
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from knowsam.inference.metrics import dice_score
from knowsam.training.correction import CorrectionScore
from knowsam.training.corrective_learning import CorrectiveLearning, FinishedProposal
from knowsam.training.interruption import Interrupted, Interruption
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.training.correction import Correction

SHAPE = (10, 40, 44)
VALUE = 3


def finished(seed: int, *, grown_px: int) -> FinishedProposal:
    """A bright ball somewhere, proposed too large."""
    generator = np.random.default_rng(seed)
    center = np.array(SHAPE) / 2 + generator.uniform(-2, 2, 3)
    places = np.indices(SHAPE).T
    truth = (((places - center) / (3.5, 9, 9)) ** 2).sum(axis=-1).T < 1
    image = 60 + 50 * truth + generator.normal(0, 6, SHAPE)
    proposed = ndimage.binary_dilation(truth, ndimage.generate_binary_structure(3, 1)[1:2], iterations=grown_px)
    mask = ProposedMask(np.where(proposed, VALUE, 0).astype(np.uint8), np.full(SHAPE, 0.8, np.float16))
    grid = Grid(SHAPE[::-1], np.diag([-1.0, -1.0, -1.0, 1.0]))
    return FinishedProposal(Volume(image, grid, f"scan {seed}"), np.where(truth, VALUE, 0), mask)


def learnt(
    volumes: Sequence[FinishedProposal],
    steps: int,
    *,
    interruption: Interruption | None = None,
    earlier: Correction | None = None,
) -> Correction:
    learning = CorrectiveLearning(
        volumes,
        [0, VALUE],
        0,
        PlaneConfig(),
        device=torch.device("cpu"),
        interruption=interruption or Interruption(),
        earlier=earlier,
    )
    return learning.learn(Budget(steps=steps))


@pytest.fixture(scope="module")
def correction() -> Correction:
    return learnt([finished(seed, grown_px=3) for seed in range(3)], 50)


def test_what_all_proposals_have_wrong_is_corrected_in_another_volume(correction: Correction) -> None:
    new = finished(9, grown_px=3)
    corrected = correction.corrected(new.volume, new.proposal)
    before, after = (dice_score(mask.labels, new.labels, VALUE) for mask in (new.proposal, corrected))
    assert after > before + 0.05
    assert correction.helps
    assert len(correction.scores) == 3
    assert min(one.corrected - one.proposed for one in correction.scores) > 0
    assert correction.sentence.startswith("Corrected: Dice ")
    assert corrected.agreement.dtype == np.float16
    assert 0 <= corrected.agreement.min() <= corrected.agreement.max() <= 1


def test_a_correction_that_does_not_help_leaves_the_proposal_as_it_is() -> None:
    # In so short a time nothing better than the truth can be learnt.
    correction = learnt([finished(seed, grown_px=0) for seed in range(3)], 3)
    new = finished(9, grown_px=0)
    assert not correction.helps
    assert correction.corrected(new.volume, new.proposal) is new.proposal
    assert "was of no use" in correction.sentence


def test_a_volume_that_is_sampled_otherwise_is_corrected_on_its_own_grid(correction: Correction) -> None:
    new = finished(9, grown_px=3)
    fine = [np.repeat(np.repeat(one, 2, axis=1), 2, axis=2) for one in (new.volume.array, new.labels)]
    proposal = ProposedMask(
        *(np.repeat(np.repeat(o, 2, 1), 2, 2) for o in (new.proposal.labels, new.proposal.agreement))
    )
    grid = Grid((88, 80, 10), np.diag([-0.5, -0.5, -1.0, 1.0]))
    corrected = correction.corrected(Volume(fine[0], grid, "fine"), proposal)
    assert corrected.labels.shape == (10, 80, 88)
    before, after = (dice_score(mask.labels, fine[1], VALUE) for mask in (proposal, corrected))
    assert after > before + 0.05


def gains(correction: Correction) -> list[float]:
    return [one.corrected - one.proposed for one in correction.scores]


def test_learning_goes_on_from_case_to_case(correction: Correction) -> None:
    volumes = [finished(seed, grown_px=3) for seed in (2, 0, 1)]
    further, anew = (learnt(volumes, 1, earlier=earlier) for earlier in (correction, None))
    assert min(gains(further)) > max(gains(anew)) + 0.05
    # Each corrector still leaves out the volume that it left out before.
    assert further.images == correction.images
    assert anew.images == tuple(correction.images[number] for number in (2, 0, 1))


def test_the_model_of_a_volume_that_is_gone_is_not_continued(correction: Correction) -> None:
    # Otherwise nobody could tell which correctors know the new volumes.
    volumes = [finished(seed, grown_px=3) for seed in (7, 0, 1)]
    further, anew = (learnt(volumes, 1, earlier=earlier) for earlier in (correction, None))
    assert further.images == anew.images
    assert gains(further) == gains(anew)


def test_two_volumes_are_too_few_and_learning_can_be_broken_off() -> None:
    volumes = [finished(seed, grown_px=3) for seed in range(3)]
    with pytest.raises(InputError, match="2 finished volumes are of use, but 3 are needed"):
        learnt(volumes[:2], 1)
    interruption = Interruption()
    interruption.request()
    with pytest.raises(Interrupted):
        learnt(volumes, 9999, interruption=interruption)


def test_a_class_that_some_proposals_miss_does_not_spoil_the_rest() -> None:
    # Its label value does not even fit into the type of a proposal that lacks it, and it lies far from what is found.
    volumes = [finished(seed, grown_px=3) for seed in range(3)]
    for one in volumes:
        one.labels[0, 2:6, 2:6] = 1035
    learning = CorrectiveLearning(
        volumes, [0, VALUE, 1035], 0, PlaneConfig(), device=torch.device("cpu"), interruption=Interruption()
    )
    correction = learning.learn(Budget(steps=2))
    assert np.isfinite([(one.proposed, one.corrected) for one in correction.scores]).all()
    new = finished(9, grown_px=3)
    corrected = replace(correction, share=1.0, scores=(CorrectionScore(0.0, 1.0),)).corrected(new.volume, new.proposal)
    assert corrected.labels.dtype == np.uint16
