"""Uncertainty-guided mixing, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from knowsam.data.annotation import IGNORE
from knowsam.training.mixing import MixedBatch, confident_cells, mix

SIDE = 16
QUADRANTS = {
    "top left": (slice(8), slice(8)),
    "top right": (slice(8), slice(8, None)),
    "bottom left": (slice(8, None), slice(8)),
    "bottom right": (slice(8, None), slice(8, None)),
}


def certain_in(*quadrants: str, classes: int = 2) -> Tensor:
    """Return probabilities (B, C, 16, 16), one image for each quadrant: certain there, undecided elsewhere."""
    p = torch.full((len(quadrants), classes, SIDE, SIDE), 1 / classes)
    for image, quadrant in zip(p, quadrants, strict=True):
        image[(slice(None), *QUADRANTS[quadrant])] = 0.0
        image[(classes - 1, *QUADRANTS[quadrant])] = 1.0
    return p


def in_quadrants(*quadrants: str) -> Tensor:
    """Return masks (B, 16, 16)."""
    mask = torch.zeros(len(quadrants), SIDE, SIDE, dtype=torch.bool)
    for image, quadrant in zip(mask, quadrants, strict=True):
        image[QUADRANTS[quadrant]] = True
    return mask


def images(*values: float) -> Tensor:
    """Return images (B, 3, 16, 16) in which no two pixels are equal, offset by a value for each image."""
    ramp = torch.arange(3 * SIDE * SIDE, dtype=torch.float32).view(3, SIDE, SIDE) / 1000
    return torch.stack([ramp + value for value in values])


def labels(*values: int) -> Tensor:
    return torch.stack([torch.full((SIDE, SIDE), value, dtype=torch.uint8) for value in values])


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_the_most_certain_cell_is_marked(classes: int, quadrant: str) -> None:
    p = certain_in(quadrant, classes=classes)
    torch.testing.assert_close(confident_cells(p, grid=2, cells=1), in_quadrants(quadrant))


def test_as_many_cells_are_marked_as_asked_for_and_no_more_than_there_are() -> None:
    p = torch.rand(3, 2, 32, 48, generator=torch.Generator().manual_seed(0)).softmax(1)
    cell_px = 8 * 12
    assert (confident_cells(p, grid=4, cells=5).sum((1, 2)) == 5 * cell_px).all()
    assert confident_cells(p, grid=4, cells=64).all()


def test_confident_cells_change_places() -> None:
    """The labelled slice is confident top left, the unlabelled one bottom right."""
    x_l, x_u, y_l, pseudo = images(0), images(10), labels(1), labels(0).long()
    mixed = mix(
        x_l, y_l, x_u, certain_in("top left"), certain_in("bottom right"), pseudo, grid=2, cells=1
    )  # fmt: skip
    in_l, in_u = in_quadrants("top left"), in_quadrants("bottom right")
    expected = MixedBatch(
        into_labelled=torch.where(in_l.unsqueeze(1), x_u, x_l),
        labels_into_labelled=(~in_l).to(torch.uint8),
        into_unlabelled=torch.where(in_u.unsqueeze(1), x_l, x_u),
        labels_into_unlabelled=torch.where(in_u, 1, IGNORE).to(torch.uint8),
    )
    for found, wanted in zip(mixed, expected, strict=True):
        assert torch.equal(found, wanted)


def test_a_pixel_moves_together_with_its_own_label() -> None:
    """Labels that number the pixels show where each came from."""
    place = torch.arange(SIDE * SIDE, dtype=torch.uint8).view(1, SIDE, SIDE) % 100
    x_l = (place / 200).unsqueeze(1).expand(-1, 3, -1, -1)
    x_u = x_l + 0.5
    p_l, p_u = certain_in("top right"), certain_in("bottom left")
    mixed = mix(x_l, place, x_u, p_l, p_u, (place + 100).long(), grid=2, cells=1)
    torch.testing.assert_close(mixed.labels_into_labelled / 200, mixed.into_labelled[:, 0])
    moved = mixed.labels_into_unlabelled != IGNORE
    torch.testing.assert_close((mixed.labels_into_unlabelled / 200)[moved], mixed.into_unlabelled[:, 0][moved])


def test_what_is_unlabelled_stays_unlabelled() -> None:
    y_l = labels(1)
    y_l[0, :, 0] = IGNORE
    p = certain_in("top left")
    mixed = mix(images(0), y_l, images(10), p, p, labels(0).long(), grid=2, cells=1)
    assert (mixed.labels_into_labelled[0, 8:, 0] == IGNORE).all()
    assert (mixed.labels_into_labelled[0, :8, 0] == 0).all()
    assert (mixed.labels_into_unlabelled[0, :, 0] == IGNORE).all()


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 3), (3, 1), (2, 3)])
def test_the_shorter_batch_is_repeated(labelled: int, unlabelled: int) -> None:
    """Each image keeps its own certainty: top left in labelled, bottom right in unlabelled ones."""
    x_l, x_u = images(*range(labelled)), images(*range(10, 10 + unlabelled))
    mixed = mix(
        x_l,
        labels(*range(labelled)),
        x_u,
        certain_in(*["top left"] * labelled),
        certain_in(*["bottom right"] * unlabelled),
        labels(*range(10, 10 + unlabelled)).long(),
        grid=2,
        cells=1,
    )
    assert {len(part) for part in mixed} == {3}
    for pair in range(3):
        own_l, own_u = pair % labelled, pair % unlabelled
        assert torch.equal(mixed.into_labelled[pair, :, :8, :8], x_u[own_u, :, :8, :8])
        assert torch.equal(mixed.into_labelled[pair, :, 8:], x_l[own_l, :, 8:])
        assert torch.equal(mixed.into_unlabelled[pair, :, 8:, 8:], x_l[own_l, :, 8:, 8:])
        assert torch.equal(mixed.into_unlabelled[pair, :, :8], x_u[own_u, :, :8])
        assert mixed.labels_into_labelled[pair].unique().tolist() == [own_l, 10 + own_u]
        assert mixed.labels_into_unlabelled[pair].unique().tolist() == [own_l, IGNORE]


def test_the_given_batches_are_not_changed() -> None:
    x_l, y_l, x_u = images(0), labels(1), images(10)
    p = certain_in("top left")
    mix(x_l, y_l, x_u, p, p, labels(0).long(), grid=2, cells=1)
    assert torch.equal(x_l, images(0))
    assert torch.equal(y_l, labels(1))
    assert torch.equal(x_u, images(10))
