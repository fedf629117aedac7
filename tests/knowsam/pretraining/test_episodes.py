"""Synthetic volumes, and the questions that are asked about them."""

from __future__ import annotations

import pytest
import torch

from knowsam.pretraining.anatomy import OUTSIDE, synthetic_volume
from knowsam.pretraining.episodes import Episode, Question, episodes, questions
from knowsam.pretraining.painter import as_painted, chosen_slices
from knowsam.pretraining.random_source import RandomSource

SEEDS = range(6)


@pytest.fixture(scope="module")
def asked() -> list[Episode]:
    return [episode for seed in SEEDS[:3] for episode in episodes(seed)]


@pytest.fixture(scope="module")
def asked_of_one() -> list[Question]:
    return list(questions(1))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_volume_has_grey_values_and_parts_that_can_be_asked_for(seed: int) -> None:
    volume = synthetic_volume(RandomSource(seed))
    assert volume.image.min() >= 0
    assert volume.image.max() <= 1
    assert volume.image.std() > 0.02
    assert volume.image.isfinite().all()
    assert volume.structures
    for structure in volume.structures:
        labels = volume.labels(structure)
        assert set(labels.unique().tolist()) <= set(range(len(structure) + 1))
        assert not labels[volume.parts == OUTSIDE].any()


def test_one_seed_makes_one_volume() -> None:
    one, other = (synthetic_volume(RandomSource(1)) for _ in range(2))
    torch.testing.assert_close(one.image, other.image)
    assert one.structures == other.structures


def test_structures_of_two_classes_that_touch_occur() -> None:
    volumes = [synthetic_volume(RandomSource(seed)) for seed in SEEDS]
    assert any(len(structure) == 2 for volume in volumes for structure in volume.structures)


def test_annotated_slices_hold_the_structure_and_are_not_asked_for(asked_of_one: list[Question]) -> None:
    for question in asked_of_one:
        assert len(question.annotated) >= 2
        assert not set(question.indices) & set(question.annotated)
        assert question.truth.flatten(1).any(dim=1)[list(question.annotated)].all()


def test_slices_beyond_the_outermost_annotated_ones_are_asked_for_and_marked(asked_of_one: list[Question]) -> None:
    for question in asked_of_one:
        first, last = question.annotated[0], question.annotated[-1]
        beyond = torch.tensor([not first < index < last for index in question.indices])
        torch.testing.assert_close(question.evidence.position[:, 4] > 0, beyond)


def test_propagated_labels_answer_most_questions_but_not_perfectly(asked: list[Episode]) -> None:
    overlap, size = 0, 0
    for episode in asked:
        propagated = episode.maps[:, 7:8] > 0
        overlap += int((propagated & episode.target).sum())
        size += int(propagated.sum() + episode.target.sum())
    assert 0.6 < 2 * overlap / size < 0.95


def test_the_evidence_is_bounded(asked: list[Episode]) -> None:
    for episode in asked:
        assert episode.maps.isfinite().all()
        assert episode.maps[:, :5].abs().max() <= 4
        assert episode.maps[:, 5:].abs().max() <= 3
        assert episode.position.abs().max() <= 1


def test_a_painter_stays_near_the_edge() -> None:
    source = RandomSource(2)
    volume = synthetic_volume(source)
    labels = volume.labels(volume.structures[0])
    painted = as_painted(source, labels)
    overlap = ((painted > 0) & (labels > 0)).sum()
    assert 2 * overlap / ((painted > 0).sum() + (labels > 0).sum()) > 0.7


def test_chosen_slices_are_ascending_and_inside_the_structure() -> None:
    for seed in range(50):
        chosen = chosen_slices(RandomSource(seed), 3, 20, radius_slices=4.0)
        assert chosen == sorted(set(chosen))
        assert 3 <= chosen[0] < chosen[-1] <= 20
