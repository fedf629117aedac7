"""Labels follow the image. A ramp shows where every pixel came from, since bilinear sampling of a ramp is exact."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from knowsam.config import AugmentConfig
from knowsam.data.annotation import IGNORE
from knowsam.propagation.sampling import warp
from knowsam.training.augment import augment_strongly, augment_weakly, warp_labels

NONE = AugmentConfig(**{change.name: 0.0 for change in fields(AugmentConfig)})
EVERYTHING = AugmentConfig(
    flip=0.5,
    shift=0.1,
    scale=0.2,
    rotate_deg=45.0,
    elastic=0.05,
    intensity=0.3,
    strong_elastic=0.05,
    strong_cutout=0.3,
)
GEOMETRY = replace(EVERYTHING, intensity=0.0)
BATCH, HEIGHT, WIDTH = 8, 32, 64


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def coordinates() -> Tensor:
    """Return images (B, 3, H, W): row / 64, column / 64, and a constant."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return torch.stack([y / 64, x / 64, torch.full((HEIGHT, WIDTH), 0.5)]).expand(BATCH, -1, -1, -1)


def numbered(axis: int) -> Tensor:
    """Return labels (B, H, W): the row (axis 0) or the column (axis 1) of each pixel."""
    return (64 * coordinates()[:, axis]).to(torch.uint8)


def from_inside(images: Tensor) -> Tensor:
    """Mark the pixels that came, with their 8 neighbours, from inside the plane, where the ramp goes on."""
    y, x = 64 * images[:, 0], 64 * images[:, 1]
    inside = (y > 0.01) & (y < HEIGHT - 1.01) & (x > 0.01) & (x < WIDTH - 1.01)
    return F.max_pool2d((~inside).float(), 3, stride=1, padding=1) == 0


def weakly(labels: Tensor, config: AugmentConfig, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the augmented `coordinates` and the labels warped along with them."""
    images, grid = augment_weakly(coordinates(), config, generator)
    return images, warp_labels(labels, grid)


@pytest.mark.parametrize("axis", [0, 1])
def test_labels_come_from_where_the_image_comes_from(axis: int) -> None:
    images, labels = weakly(numbered(axis), GEOMETRY, seeded())
    inside = from_inside(images)
    assert inside.float().mean() > 0.4
    distance_px = (64 * images[:, axis] - labels.float()).abs()[inside]
    assert distance_px.max() <= 0.5 + 1e-3
    assert distance_px.mean() > 0.1


def test_what_comes_from_outside_the_plane_is_ignored_in_the_labels_and_the_edge_in_the_image() -> None:
    shifted = replace(NONE, shift=0.5)
    images, labels = weakly(numbered(1), shifted, seeded())
    assert (labels == IGNORE).flatten(1).any(1).all()
    assert (labels != IGNORE).flatten(1).any(1).all()
    outside = labels == IGNORE
    y, x = 64 * images[:, 0][outside], 64 * images[:, 1][outside]
    on_the_edge = (y < 0.5) | (y > HEIGHT - 1.5) | (x < 0.5) | (x > WIDTH - 1.5)
    assert on_the_edge.all()


def test_ignore_survives_and_no_new_label_appears() -> None:
    labels = torch.full((BATCH, HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    labels[:, 8:24, 16:48] = 3
    _, warped = weakly(labels, GEOMETRY, seeded())
    assert warped.dtype == torch.uint8
    assert warped.unique().tolist() == [3, IGNORE]


def test_every_label_value_survives() -> None:
    labels = torch.arange(256, dtype=torch.uint8).repeat(BATCH, HEIGHT * WIDTH // 256).view(BATCH, HEIGHT, WIDTH)
    _, warped = weakly(labels, NONE, seeded())
    assert torch.equal(warped, labels)


def test_without_any_strength_nothing_changes() -> None:
    images, labels = weakly(numbered(0), NONE, seeded())
    torch.testing.assert_close(images, coordinates())
    assert torch.equal(labels, numbered(0))
    torch.testing.assert_close(augment_strongly(coordinates(), NONE, seeded())[0], coordinates())


def test_the_same_generator_gives_the_same_result_and_another_one_does_not() -> None:
    first = weakly(numbered(1), EVERYTHING, seeded(1))
    again = weakly(numbered(1), EVERYTHING, seeded(1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], weakly(numbered(1), EVERYTHING, seeded(2))[0])
    strong, _ = augment_strongly(coordinates(), EVERYTHING, seeded(1))
    assert torch.equal(strong, augment_strongly(coordinates(), EVERYTHING, seeded(1))[0])
    assert not torch.equal(strong, augment_strongly(coordinates(), EVERYTHING, seeded(2))[0])


def test_each_image_of_a_batch_is_changed_in_its_own_way() -> None:
    images, _ = weakly(numbered(1), EVERYTHING, seeded())
    assert len({image.sum().item() for image in images}) == BATCH


def test_a_rotation_on_a_rectangular_plane_does_not_shear() -> None:
    """The steps from a pixel to its right and its lower neighbour stay one pixel long and at a right angle."""
    images, _ = weakly(numbered(1), replace(NONE, rotate_deg=60.0), seeded())
    source_px = 64 * images[:, :2]
    right = (source_px[..., :-1, 1:] - source_px[..., :-1, :-1]).movedim(1, -1)
    down = (source_px[..., 1:, :-1] - source_px[..., :-1, :-1]).movedim(1, -1)
    inside = from_inside(images)[:, :-1, :-1]
    one = torch.ones(int(inside.sum()))
    torch.testing.assert_close(right.norm(dim=-1)[inside], one, atol=1e-3, rtol=0)
    torch.testing.assert_close(down.norm(dim=-1)[inside], one, atol=1e-3, rtol=0)
    torch.testing.assert_close((right * down).sum(-1)[inside], 0 * one, atol=1e-3, rtol=0)
    turned_deg = torch.rad2deg(torch.atan2(right[..., 0], right[..., 1]))[:, HEIGHT // 2, WIDTH // 2]
    assert turned_deg.abs().max() <= 60.0
    assert turned_deg.abs().max() > 30.0


def test_a_flip_mirrors_whole_rows_or_columns() -> None:
    images, labels = weakly(numbered(1), replace(NONE, flip=0.5), seeded())
    ways = [coordinates()[0].flip(dims) for dims in ((), (1,), (2,), (1, 2))]
    seen = [next(i for i, way in enumerate(ways) if torch.allclose(image, way, atol=1e-5)) for image in images]
    assert len(set(seen)) > 1
    assert torch.equal(labels[seen.index(2)], numbered(1)[0].flip(1))


def test_intensity_changes_by_no_more_than_configured_and_leaves_labels_alone() -> None:
    config = replace(NONE, intensity=0.2)
    images, labels = weakly(numbered(0), config, seeded())
    assert torch.equal(labels, numbered(0))
    change = (images - coordinates()).abs()
    # Contrast acts round 0.5 and moves the ends by 0.1, brightness moves all by 0.1.
    assert 0.02 < change.max() <= 0.2 + 1e-5
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("strong", [True, False])
def test_an_elastic_change_bends_the_plane_but_moves_no_pixel_far(strong: bool) -> None:
    if strong:
        images, _ = augment_strongly(coordinates(), replace(NONE, strong_elastic=0.05), seeded())
    else:
        images, _ = weakly(numbered(1), replace(NONE, elastic=0.05), seeded())
    moved_px = 64 * (images - coordinates()).abs()[:, :2]
    # Cubic interpolation may pass its nodes by a little.
    assert 1.0 < moved_px[:, 0].max() < 1.3 * 0.05 * HEIGHT + 0.1
    assert 2.0 < moved_px[:, 1].max() < 1.3 * 0.05 * WIDTH + 0.1
    second_difference = images.diff(n=2, dim=-1).abs().amax((1, 2, 3))
    assert (second_difference > 1e-4).all()


def test_a_square_is_cut_out_and_filled_with_the_mean_of_the_image() -> None:
    images, _ = augment_strongly(coordinates(), replace(NONE, strong_cutout=0.25), seeded())
    cut = (images != augment_strongly(coordinates(), NONE, seeded())[0]).any(1)
    for image, where in zip(images, cut, strict=True):
        rows, columns = where.any(1).nonzero(), where.any(0).nonzero()
        assert where.sum() == len(rows) * len(columns) > 0
        assert len(rows) <= 0.25 * HEIGHT + 1
        assert len(columns) <= 0.25 * WIDTH + 1
        torch.testing.assert_close(image[:, where], coordinates()[0].mean().expand(3, int(where.sum())))


@pytest.mark.parametrize("strong", [True, False])
def test_any_map_of_a_slice_is_warped_as_its_image_was(strong: bool) -> None:
    augment = augment_strongly if strong else augment_weakly
    images, grid = augment(coordinates(), replace(GEOMETRY, strong_cutout=0.0), seeded())
    torch.testing.assert_close(warp(coordinates(), grid), images)


def test_a_coarse_map_comes_out_at_the_resolution_of_the_plane_where_its_image_does() -> None:
    images, grid = augment_weakly(coordinates(), GEOMETRY, seeded())
    coarse = F.avg_pool2d(coordinates(), 4)
    warped = warp(coarse, grid)
    y, x = 64 * images[:, :1], 64 * images[:, 1:2]
    # Beyond the centres of the outermost coarse pixels a coarse ramp cannot go on.
    inside = (y > 2) & (y < HEIGHT - 3) & (x > 2) & (x < WIDTH - 3)
    assert warped.shape == images.shape
    assert inside.float().mean() > 0.4
    assert ((warped - images).abs() * inside).max() < 1e-4
