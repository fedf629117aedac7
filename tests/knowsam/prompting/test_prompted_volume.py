"""SAM outlines what is boxed or clicked, at the resolution of the slice, and follows it to other slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mobile_sam_file import save_mobile_sam
from sam2_folder import save_silently, tiny_sam2

from knowsam.data.volume import Grid, Volume
from knowsam.errors import CheckpointError, InputError
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.teachers import read_weights
from knowsam.prompting import prompted_volume
from knowsam.prompting.following import followed
from knowsam.prompting.prompted_volume import PromptedVolume
from knowsam.prompting.slice_prompts import Box, Mask, SlicePrompts, logits_of

CPU = torch.device("cpu")
SLICES, HEIGHT, WIDTH = 12, 120, 90
RADIUS = 14
LEFT, RIGHT = (40, 20), (80, 62)
"""Row and column of the middle of two bright balls, drawn out along the slices."""


def balls() -> tuple[Mask, Mask]:
    """Two structures (SLICES, HEIGHT, WIDTH) in the slices from 2 to 9."""
    z, rows, columns = np.ogrid[:SLICES, :HEIGHT, :WIDTH]
    is_held = (z >= 2) & (z < 10)
    left, right = (np.hypot(rows - row, columns - column) < RADIUS for row, column in (LEFT, RIGHT))
    return is_held & left, is_held & right


def volume(axis: int) -> Volume:
    """Return an image of both balls, of anisotropic voxels, whose slices lie along an axis."""
    return image_of(balls()[0] | balls()[1], axis)


def image_of(bright: Mask, axis: int = 0) -> Volume:
    """Return a noisy image in which something (SLICES, HEIGHT, WIDTH) is bright."""
    noise = np.random.default_rng(0).normal(0, 20, (SLICES, HEIGHT, WIDTH))
    image = np.moveaxis(100 + 400 * bright + noise, 0, axis).astype(np.float32)
    spacing = [1.0, 1.5]
    spacing.insert(axis, 3.0)
    return Volume(image, Grid(image.shape[::-1], np.diag([*spacing[::-1], 1.0])), "balls")


def prompted(axis: int = 0) -> PromptedVolume:
    return PromptedVolume(volume(axis), axis, "compact", compact_sam_weights(), CPU)


def box_round(center: tuple[int, int]) -> Box:
    row, column = center
    return (row - RADIUS, column - RADIUS), (row + RADIUS + 1, column + RADIUS + 1)


def dice(one: Mask, other: Mask) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_outlines_what_is_in_it_and_nothing_else(axis: int) -> None:
    asked = prompted(axis)
    for center, own, other in ((LEFT, *balls()), (RIGHT, *balls()[::-1])):
        found = asked.ask(5, SlicePrompts(box=box_round(center)))
        assert found.logits.shape == (HEIGHT, WIDTH)
        assert dice(found.mask, own[5]) > 0.85
        assert not (found.mask & other[5]).any()


def test_a_mask_is_corrected_by_a_click() -> None:
    asked, (_, own) = prompted(), balls()
    half = own[5] & (np.arange(WIDTH) < RIGHT[1])
    clicked = SlicePrompts(logits=logits_of(half)).clicked(RIGHT[0], RIGHT[1] + RADIUS // 2, is_inside=True)
    assert dice(asked.ask(5, clicked).mask, own[5]) > dice(half, own[5]) + 0.03


def test_a_structure_is_followed_in_both_directions_to_its_ends() -> None:
    asked, (_, own) = prompted(), balls()
    up, down = (dict(followed(asked, 5, own[5], direction)) for direction in (1, -1))
    assert list(up) == [6, 7, 8, 9]
    assert list(down) == [4, 3, 2]
    assert min(dice(found.mask, own[index]) for index, found in (up | down).items()) > 0.85


def test_a_structure_that_shrinks_is_followed_until_much_of_it_is_gone() -> None:
    z, rows, columns = np.ogrid[:SLICES, :HEIGHT, :WIDTH]
    cone = np.hypot(rows - 60, columns - 45) < 24 - 2 * z
    asked = PromptedVolume(image_of(cone), 0, "compact", compact_sam_weights(), CPU)
    found = dict(followed(asked, 2, cone[2], 1))
    assert list(found) == [3, 4]
    assert dice(found[3].mask, cone[3]) > 0.85


def test_registration_takes_a_mask_along_as_far_as_there_are_slices() -> None:
    z, rows, columns = np.ogrid[:SLICES, :HEIGHT, :WIDTH]
    leaning = np.hypot(rows - 40 - 2 * z, columns - 45) < RADIUS
    asked = PromptedVolume(image_of(leaning), 0, "compact", compact_sam_weights(), CPU)
    up, down = (list(asked.registered(leaning[5], 5, direction)) for direction in (1, -1))
    assert (len(up), len(down)) == (6, 5)
    assert dice(up[-1], leaning[11]) > 0.9 > dice(leaning[5], leaning[11])
    assert dice(down[-1], leaning[0]) > 0.9 > dice(leaning[5], leaning[0])


def test_what_is_seen_once_is_kept() -> None:
    asked = prompted()
    first, again = (asked.ask(5, SlicePrompts(box=box_round(LEFT))).logits for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("index", "prompts"),
    [
        (12, SlicePrompts(box=((1, 1), (5, 5)))),
        (5, SlicePrompts(box=((1, 1), (HEIGHT + 1, 5)))),
        (5, SlicePrompts().clicked(-1, 3, is_inside=True)),
    ],
)
def test_what_lies_outside_of_the_image_is_refused(index: int, prompts: SlicePrompts) -> None:
    with pytest.raises(InputError, match="Point inside"):
        prompted().ask(index, prompts)


@pytest.mark.parametrize("prompts", [SlicePrompts(), SlicePrompts(logits=np.full((HEIGHT, WIDTH), -1, np.float32))])
def test_nothing_pointed_at_is_refused(prompts: SlicePrompts) -> None:
    with pytest.raises(InputError, match="Draw a box"):
        prompted().ask(5, prompts)


def test_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(CheckpointError):
        PromptedVolume(volume(0), 0, "vit_b", compact_sam_weights(), CPU)


@pytest.mark.parametrize("variant", ["mobile_sam", "sam2"])
def test_another_network_is_asked_as_any_sam(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompted_volume, "_SIDE_PX", 64)
    place = save_mobile_sam(tmp_path) if variant == "mobile_sam" else save_silently(tiny_sam2(), tmp_path)
    asked = PromptedVolume(volume(0), 0, *read_weights(place), CPU)
    assert asked.sees_whole_slices
    asked.look_at(5)
    left, right = (asked.ask(5, SlicePrompts(box=box_round(center))) for center in (LEFT, RIGHT))
    assert left.logits.shape == (HEIGHT, WIDTH)
    assert not np.allclose(left.logits, right.logits)
