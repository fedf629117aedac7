"""Classes come, go and change places, and the networks see the ones they know as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from weights import are_same, copied

from knowsam.models.class_heads import remapped, students_with_classes
from knowsam.models.students import StudentLogits, Students

if TYPE_CHECKING:
    from knowsam.config import Config

ADDED = (0, 1, None)


@pytest.fixture
def students(tiny_config: Config) -> Students:
    """Two classes; not those of a new network in weights or running statistics."""
    return lived_in(2, tiny_config)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def lived_in(classes: int, config: Config) -> Students:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        students = Students(classes, config=config.students)
        students.train()(torch.rand(2, 3, 32, 32))
    return students.eval()


def close(logits: Tensor, expected: Tensor) -> None:
    """Check that logits are the same but for the order in which they were summed up."""
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def seen_by(students: Students, images: Tensor) -> StudentLogits:
    logits: StudentLogits = students(images)
    return logits


def test_both_students_see_known_classes_as_before(students: Students, images: Tensor) -> None:
    before, after = seen_by(students, images), seen_by(students_with_classes(students, ADDED), images)
    close(after.unet[:, :2], before.unet)
    close(after.vnet[:, :2], before.vnet)


def test_the_fusion_sees_known_classes_nearly_as_before_when_one_is_added(students: Students, images: Tensor) -> None:
    before, after = seen_by(students, images), seen_by(students_with_classes(students, ADDED), images)
    torch.testing.assert_close(after.fused[:, :2], before.fused, rtol=0.0, atol=0.05)


def test_a_new_class_starts_rare(students: Students, images: Tensor) -> None:
    for logits in seen_by(students_with_classes(students, ADDED), images):
        assert logits.softmax(1)[:, 2].max() < 0.05
        assert not (logits.argmax(1) == 2).any()


def test_both_students_see_what_is_left_as_before_when_a_class_is_removed(tiny_config: Config, images: Tensor) -> None:
    students = lived_in(4, tiny_config)
    before, after = seen_by(students, images), seen_by(students_with_classes(students, (0, 1, 3)), images)
    close(after.unet, before.unet[:, [0, 1, 3]])
    close(after.vnet, before.vnet[:, [0, 1, 3]])
    assert after.fused.shape == (2, 3, 32, 32)


def test_classes_that_change_places_take_all_their_logits_along(tiny_config: Config, images: Tensor) -> None:
    students = lived_in(3, tiny_config)
    order = (0, 2, 1)
    before, after = seen_by(students, images), seen_by(students_with_classes(students, order), images)
    for moved, logits in zip(after, before, strict=True):
        torch.testing.assert_close(moved, logits[:, order], rtol=1e-5, atol=1e-5)


def test_to_add_a_class_and_remove_it_again_changes_nothing(students: Students) -> None:
    there_and_back = students_with_classes(students_with_classes(students, ADDED), (0, 1))
    assert are_same(there_and_back.state_dict(), students.state_dict())


def test_a_new_class_is_learnt_from_the_first_step(students: Students, images: Tensor) -> None:
    changed = students_with_classes(students, ADDED)
    labels = torch.full((2, 32, 32), 2)
    sum(F.cross_entropy(logits, labels) for logits in changed(images)).backward()
    for head in (changed.unet.head, changed.vnet.head, changed.fusion.head[3]):
        assert head.weight.grad[2].abs().max() > 1e-3
        assert (head.bias.grad[2] < -1e-3).all()


def test_the_fusion_learns_to_look_at_a_new_class(students: Students, images: Tensor) -> None:
    """Its input weights start at zero and get a gradient as any others do."""
    changed = students_with_classes(students, ADDED)
    F.cross_entropy(changed(images).fused, torch.full((2, 32, 32), 1)).backward()
    evidence = changed.fusion.evidence[0]
    assert not evidence.weight[:, [2, 5]].any()
    assert evidence.weight.grad[:, 2].any()
    assert evidence.weight.grad[:, 5].any()


@pytest.mark.parametrize("training", [True, False])
def test_students_stay_in_the_mode_they_were_in(students: Students, training: bool) -> None:
    assert students_with_classes(students.train(training), ADDED).training is training


def test_the_students_asked_are_left_as_they_were(students: Students) -> None:
    before = copied(students)
    changed = students_with_classes(students, ADDED)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert are_same(students.state_dict(), before)


def test_the_evidence_of_both_students_is_remapped_block_by_block() -> None:
    columns = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    moved = remapped("fusion.evidence.0.weight", columns, (1, None, 0))
    assert moved.tolist() == [[2.0, 0.0, 1.0, 4.0, 0.0, 3.0]]


def test_what_does_not_count_classes_is_passed_on() -> None:
    tensor = torch.ones(3)
    assert remapped("unet.down.0.1.weight", tensor, ADDED) is tensor


def shapes_of(classes: int) -> Tensor:
    """Return maps (2, 4, C, 32, 32) of carried shapes; those of a class do not depend on how many there are."""
    return torch.stack(
        [torch.sin(torch.arange(8.0 * 1024) * (index + 1)).view(2, 4, 32, 32) for index in range(classes)], 2
    )


def with_shapes(images: Tensor, shapes: Tensor) -> Tensor:
    return torch.cat([images, shapes.flatten(1, 2)], dim=1)


@pytest.mark.parametrize("sources", [(0, 1, None), (0, None, 1), (0, 1)], ids=["added", "added between", "same"])
def test_both_students_see_known_classes_and_their_carried_shapes_as_before(
    tiny_config: Config, images: Tensor, sources: tuple[int | None, ...]
) -> None:
    students = Students(2, config=tiny_config.students, prior=True).eval()
    changed = students_with_classes(students, sources)
    assert changed.prior_channels == 4 * len(sources)
    shapes = shapes_of(2)
    # Whatever is carried of a new class, nothing is known of it yet.
    moved = torch.stack([torch.rand(2, 4, 32, 32) if s is None else shapes[:, :, s] for s in sources], 2)
    before, after = seen_by(students, with_shapes(images, shapes)), seen_by(changed, with_shapes(images, moved))
    kept = [index for index, source in enumerate(sources) if source is not None]
    close(after.unet[:, kept], before.unet)
    close(after.vnet[:, kept], before.vnet)


def test_carried_shapes_of_a_removed_class_are_not_seen_any_more(tiny_config: Config, images: Tensor) -> None:
    students = Students(3, config=tiny_config.students, prior=True).eval()
    changed = students_with_classes(students, (0, 2))
    shapes = shapes_of(3)
    shapes[:, :, 1] = 0.0
    before = seen_by(students, with_shapes(images, shapes))
    after = seen_by(changed, with_shapes(images, shapes[:, :, [0, 2]]))
    close(after.unet, before.unet[:, [0, 2]])
    close(after.vnet, before.vnet[:, [0, 2]])
