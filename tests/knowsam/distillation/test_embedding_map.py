"""Embeddings of two widths are compared after the best linear map."""

from __future__ import annotations

import torch
from torch import nn

from knowsam.distillation.embedding_map import embedding_map, unexplained


def test_a_linear_map_is_found() -> None:
    student = torch.randn(4, 6, 5, 7)
    teacher = nn.functional.conv2d(student, torch.randn(9, 6, 1, 1), torch.randn(9))
    assert unexplained(embedding_map(student, teacher)(student), teacher) < 1e-4


def test_what_has_nothing_to_do_with_the_teacher_explains_nothing() -> None:
    student, teacher = torch.randn(8, 4, 16, 16), 3 + torch.randn(8, 6, 16, 16)
    torch.testing.assert_close(
        unexplained(embedding_map(student, teacher)(student), teacher), torch.tensor(1.0), atol=0.02, rtol=0
    )


def test_embeddings_of_one_width_are_compared_as_they_are() -> None:
    student = torch.randn(2, 4, 3, 3)
    mapped = embedding_map(student, -student)(student)
    assert torch.equal(mapped, student)
    assert unexplained(mapped, student) == 0
