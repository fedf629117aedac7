from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from knowsam.inference import metrics
from knowsam.inference.metrics import ClassScores, dice_score, evaluate_masks

SPACING_MM = (3.0, 1.0, 0.5)
AFFINE = np.diag([*SPACING_MM, 1.0])


def cube(start_zyx: tuple[int, int, int], stop_zyx: tuple[int, int, int], value: int = 1) -> NDArray[np.uint8]:
    labels = np.zeros((12, 14, 16), dtype=np.uint8)
    labels[tuple(slice(*span) for span in zip(start_zyx, stop_zyx, strict=True))] = value
    return labels


def scores_of(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], value: int = 1) -> ClassScores:
    (scores,) = evaluate_masks(prediction, reference, AFFINE, [value])
    return scores


def test_equal_masks_agree_perfectly() -> None:
    mask = cube((2, 2, 2), (6, 6, 6))
    volume_ml = pytest.approx(4**3 * 3.0 * 1.0 * 0.5 / 1000)
    diameter_mm = pytest.approx(math.hypot(4 * 3, 3, 1.5))
    assert scores_of(mask, mask) == ClassScores(1, 1.0, 0.0, 0.0, volume_ml, volume_ml, diameter_mm, diameter_mm)


def test_a_voxel_of_sheared_axes_is_smaller_than_the_product_of_its_sides() -> None:
    sheared = np.array([[1.0, 0.0, 0.0, 5.0], [0.0, 3.0, 0.0, 0.0], [0.0, 4.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    mask = cube((2, 2, 2), (6, 6, 6))
    (scores,) = evaluate_masks(mask, mask, sheared, [1])
    assert scores.volume_ml == scores.reference_volume_ml == pytest.approx(4**3 * 6 / 1000)


@pytest.mark.parametrize(("axis", "step_mm"), tuple(enumerate(SPACING_MM)))
def test_planes_lie_as_far_apart_as_their_slices(axis: int, step_mm: float) -> None:
    """Two parallel planes two voxels apart: every surface distance is the same."""
    prediction, reference = (np.zeros((9, 9, 9), dtype=np.uint8) for _ in range(2))
    np.moveaxis(prediction, axis, 0)[3] = 1
    np.moveaxis(reference, axis, 0)[5] = 1
    scores = scores_of(prediction, reference)
    assert scores.hd95_mm == pytest.approx(2 * step_mm)
    assert scores.assd_mm == pytest.approx(2 * step_mm)
    assert scores.dice == 0.0


def test_a_cube_one_slice_too_tall_has_hand_computed_scores() -> None:
    """Height 4 against 3, base 4 x 4.

    The 16 voxels of the extra slice lie 3 mm (one slice) from the reference. The reference's own top slice became inner
    in the prediction but for its 12 rim voxels; the 4 others lie one x step (0.5 mm) from that rim.
    """
    prediction, reference = cube((2, 2, 2), (6, 6, 6)), cube((2, 2, 2), (5, 6, 6))
    surface_prediction, surface_reference = 4**3 - 2**3, 3 * 4 * 4 - 1 * 2 * 2
    scores = scores_of(prediction, reference)
    assert scores.dice == pytest.approx(2 * 48 / (64 + 48))
    assert scores.hd95_mm == pytest.approx(3.0)
    assert scores.assd_mm == pytest.approx((16 * 3.0 + 4 * 0.5) / (surface_prediction + surface_reference))
    assert (scores.volume_ml, scores.reference_volume_ml) == pytest.approx((64 * 0.0015, 48 * 0.0015))


def test_the_95th_percentile_leaves_out_a_single_stray_voxel() -> None:
    reference = cube((2, 2, 2), (6, 6, 6))
    prediction = reference.copy()
    prediction[11, 3, 3] = 1
    scores = scores_of(prediction, reference)
    assert scores.hd95_mm == 0.0
    assert scores.assd_mm == pytest.approx(6 * 3.0 / (56 + 57))


def test_the_scores_do_not_depend_on_the_order_of_the_masks() -> None:
    one, other = cube((2, 2, 2), (6, 6, 6)), cube((1, 3, 2), (4, 9, 8))
    forward, backward = scores_of(one, other), scores_of(other, one)
    assert (forward.dice, forward.hd95_mm) == (backward.dice, backward.hd95_mm)
    assert forward.assd_mm == pytest.approx(backward.assd_mm)


def test_a_class_in_neither_mask_is_in_agreement() -> None:
    empty = cube((0, 0, 0), (0, 0, 0))
    assert scores_of(empty, empty) == ClassScores(1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_class_in_one_mask_only_has_no_distance() -> None:
    empty, full = cube((0, 0, 0), (0, 0, 0)), cube((2, 2, 2), (4, 4, 4))
    for scores in (scores_of(empty, full), scores_of(full, empty)):
        assert scores.dice == 0.0
        assert math.isnan(scores.hd95_mm)
        assert math.isnan(scores.assd_mm)


def test_each_class_is_scored_by_itself() -> None:
    prediction = cube((2, 2, 2), (4, 6, 6)) + cube((8, 2, 2), (10, 6, 6), value=5)
    reference = cube((2, 2, 2), (4, 6, 6)) + cube((8, 8, 2), (10, 12, 6), value=5)
    first, second = evaluate_masks(prediction, reference, AFFINE, [1, 5])
    assert (first.value, first.dice, first.hd95_mm) == (1, 1.0, 0.0)
    assert (second.value, second.dice) == (5, 0.0)
    assert second.assd_mm > 0.0


def test_the_bounding_box_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    prediction, reference = (cube((0, 3, 4), (9, 14, 12)) * rng.integers(0, 2, (12, 14, 16), np.uint8) for _ in "ab")
    cropped = scores_of(prediction, reference)
    whole = {1: tuple(slice(0, n) for n in prediction.shape)}
    monkeypatch.setattr(metrics, "class_boxes", lambda *_: whole)
    assert scores_of(prediction, reference) == cropped


@pytest.mark.parametrize("value", [1, 254, 3_000_000, -5])
def test_a_class_is_found_whatever_its_value(value: int) -> None:
    reference = cube((2, 3, 4), (5, 7, 9)).astype(np.int32) * value
    prediction = cube((2, 3, 4), (5, 7, 7)).astype(np.int32) * value
    (scores,) = evaluate_masks(prediction, reference, AFFINE, [value])
    assert scores.dice == pytest.approx(2 * 3 / (3 + 5))


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\) and \(2, 2, 3\)"):
        evaluate_masks(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), AFFINE, [1])
    with pytest.raises(ValueError, match="must have the same"):
        dice_score(np.zeros((2, 2)), np.zeros((1, 2)), 1)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [([1, 1, 0, 0], [1, 0, 0, 0], 2 / 3), ([0, 0], [2, 2], 1.0), ([1, 0], [0, 1], 0.0), ([0, 2], [1, 2], 0.0)],
)
def test_dice_score_of_small_masks(prediction: list[int], reference: list[int], expected: float) -> None:
    assert dice_score(np.array(prediction), np.array(reference), 1) == pytest.approx(expected)


@pytest.mark.slow
# MONAI 1.6 passes an argument to itself that it has deprecated.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_the_distances_are_those_of_monai() -> None:
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    rng = np.random.default_rng(4)
    prediction, reference = (cube((0, 3, 4), (9, 14, 12)) * rng.integers(0, 2, (12, 14, 16), np.uint8) for _ in "ab")
    scores = scores_of(prediction, reference)
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    hd95 = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=SPACING_MM)
    assd = compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=SPACING_MM)
    assert scores.hd95_mm == pytest.approx(hd95.item())
    assert scores.assd_mm == pytest.approx(assd.item())
