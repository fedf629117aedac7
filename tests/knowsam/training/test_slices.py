from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import from_matvec

from knowsam.data.annotation import IGNORE, Annotation, LabelArray, LabelSlice
from knowsam.data.case import Case
from knowsam.data.sampling import SliceKey
from knowsam.data.volume import Grid, Volume
from knowsam.data.window import Window
from knowsam.propagation.sampling import warp
from knowsam.training.augment import warp_labels
from knowsam.training.network_volumes import common_windows
from knowsam.training.slices import TrainingSlices

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.propagation.propagated_labels import PropagatedLabels
    from knowsam.training.batch import Batch

CHANNELS = 8
"""Four of propagated labels for each of two classes."""


def slices_of(cases: list[Case], config: Config, holdout: Collection[SliceKey] = (), seed: int = 0) -> TrainingSlices:
    windows, _ = common_windows(cases, config)
    slices = TrainingSlices(cases, windows, config, device=torch.device("cpu"), seed=seed)
    slices.restart_streams(holdout)
    return slices


def drawn_indices(slices: TrainingSlices, images: torch.Tensor) -> set[int]:
    """Find the slices of the first case that the middle channels of images show."""
    distance = (slices.planes[0].unsqueeze(0) - images[:, 1].unsqueeze(1)).abs().amax((2, 3))
    assert distance.min(1).values.max() < 1e-4
    return set(distance.argmin(1).tolist())


def shrunk(ball: Volume, factor: int) -> Volume:
    """Return every n-th row and column of the ball, on voxels n times as large."""
    array = np.ascontiguousarray(ball.array[:, ::factor, ::factor])
    affine = from_matvec(ball.grid.affine[:3, :3] * [1, factor, factor])
    return Volume(array, Grid(array.shape, affine))


def test_the_window_holds_the_painted_structure_with_its_margin(tiny_config: Config) -> None:
    labels = np.zeros((4, 80, 80), dtype=np.uint8)
    labels[1, 10:58, 20:52] = 1
    volume = Volume(labels, Grid(labels.shape, from_matvec(np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]]))))
    painted = Case(volume, Annotation.from_labels(labels, axis=0))
    tight, pixel_mm = common_windows([painted], tiny_config.with_values(max_side_px=64, min_margin_px=0, margin=0.0))
    assert tight == [Window((10, 20), (58, 52), (48, 32))]
    assert pixel_mm == 1.0
    wide, _ = common_windows([painted], tiny_config.with_values(max_side_px=64, min_margin_px=8, margin=0.0))
    assert wide == [Window((2, 12), (66, 60), (64, 48))]


def test_whole_slices_are_seen_if_they_are_wanted(tiny_config: Config) -> None:
    labels = np.zeros((4, 80, 64), dtype=np.uint8)
    labels[1, 10:20, 20:30] = 1
    volume = Volume(labels, Grid((64, 80, 4), from_matvec(-np.eye(3))))
    painted = Case(volume, Annotation.from_labels(labels, axis=0))
    windows, pixel_mm = common_windows([painted], tiny_config.with_values(max_side_px=160, whole_slices=True))
    assert windows == [Window((0, 0), (80, 64), (80, 64))]
    assert pixel_mm == 1.0


def test_all_volumes_share_one_plane_at_one_pixel_size(case: Case, ball: Volume, tiny_config: Config) -> None:
    coarse = shrunk(ball, 2)
    labels = np.zeros(coarse.shape, dtype=np.uint8)
    labels[5, 6:10, 4:12] = 1
    other = Case(coarse, Annotation.from_labels(labels, axis=0))
    windows, pixel_mm = common_windows([case, other], tiny_config)
    assert pixel_mm == 1.0
    assert [window.plane for window in windows] == [(32, 32)] * 2
    assert [window.extent for window in windows] == [(32, 32), (16, 16)]


def test_a_volume_without_labels_is_seen_where_the_others_are_seen(
    case: Case, ball: Volume, tiny_config: Config
) -> None:
    labels = np.zeros(ball.shape, dtype=np.uint8)
    labels[5, :8, 24:] = 1
    corner = Case(ball, Annotation.from_labels(labels, axis=0))
    empty = Case(shrunk(ball, 2), Annotation((12, 16, 16), 0, case.annotation.classes))
    windows, _ = common_windows([corner, empty], tiny_config.with_values(min_margin_px=0, margin=0.0))
    centres = [tuple((window.start[i] + window.stop[i]) / 2 for i in range(2)) for window in windows]
    assert centres == [(4, 28), (2, 14)]


def test_an_earlier_model_keeps_its_pixel_size(case: Case, tiny_config: Config) -> None:
    windows, pixel_mm = common_windows([case], tiny_config, pixel_mm=0.5)
    assert pixel_mm == 0.5
    assert windows[0].plane == (64, 64)


def test_a_batch_holds_slices_with_their_own_labels(case: Case, ball_labels: LabelArray, still_config: Config) -> None:
    slices = slices_of([case], still_config)
    batch = slices.batch(2, 3)
    assert batch.labelled.shape == (2, 3 + CHANNELS, 32, 32)
    assert batch.unlabelled.shape == (3, 3 + CHANNELS, 32, 32)
    for image, labels in zip(batch.labelled, batch.labels, strict=True):
        (index,) = drawn_indices(slices, image.unsqueeze(0))
        np.testing.assert_array_equal(labels.numpy(), ball_labels[index])


def test_labelled_and_unlabelled_slices_never_mix(case: Case, still_config: Config) -> None:
    slices = slices_of([case], still_config)
    batch = slices.batch(20, 20)
    assert drawn_indices(slices, batch.labelled) == {4, 7}
    assert drawn_indices(slices, batch.unlabelled) == set(range(12)) - {4, 7}


def test_a_held_out_slice_is_never_drawn_from_either_stream(
    ball: Volume, ball_labels: LabelArray, still_config: Config
) -> None:
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=[3, 5, 8]))
    slices = slices_of([case], still_config, holdout={SliceKey(0, 5)})
    batch = slices.batch(30, 30)
    assert drawn_indices(slices, batch.labelled) == {3, 8}
    assert 5 not in drawn_indices(slices, batch.unlabelled)


def test_where_everything_is_annotated_the_images_serve_as_unlabelled_ones(
    ball: Volume, ball_labels: LabelArray, still_config: Config
) -> None:
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=range(12)))
    slices = slices_of([case], still_config, holdout={SliceKey(0, 5)})
    assert drawn_indices(slices, slices.batch(1, 33).unlabelled) == set(range(12)) - {5}


def test_no_unlabelled_slice_is_drawn_where_none_is_asked_for(case: Case, tiny_config: Config) -> None:
    assert slices_of([case], tiny_config).batch(2, 0).unlabelled.shape == (0, 3 + CHANNELS, 32, 32)


def test_a_slice_painted_later_is_drawn_with_its_labels(case: Case, still_config: Config) -> None:
    slices = slices_of([case], still_config)
    painted = np.full((32, 32), IGNORE, dtype=np.uint8)
    painted[5, 5] = 1
    slices.annotate(0, LabelSlice(0, 9, painted))
    slices.restart_streams(())
    assert slices.labelled_keys == (SliceKey(0, 4), SliceKey(0, 7), SliceKey(0, 9))
    batch = slices.batch(3, 18)
    assert 9 not in drawn_indices(slices, batch.unlabelled)
    (repainted,) = (labels for labels in batch.labels if (labels == IGNORE).any())
    np.testing.assert_array_equal(repainted.numpy(), painted)


def test_a_slice_whose_labels_were_taken_away_is_unlabelled_again(case: Case, still_config: Config) -> None:
    slices = slices_of([case], still_config)
    slices.annotate(0, LabelSlice(0, 7, np.full((32, 32), IGNORE, dtype=np.uint8)))
    slices.restart_streams(())
    batch = slices.batch(2, 22)
    assert drawn_indices(slices, batch.labelled) == {4}
    assert 7 in drawn_indices(slices, batch.unlabelled)


def test_slices_of_all_volumes_are_drawn(case: Case, tiny_config: Config) -> None:
    slices = slices_of([case, case], tiny_config)
    assert {key.case for key in slices.labelled_keys} == {0, 1}


def test_a_batch_holds_the_origin_of_its_images(case: Case, ball_labels: LabelArray, tiny_config: Config) -> None:
    slices = slices_of([case, case], tiny_config)
    batch = slices.batch(2, 3)
    assert batch.origin is not None
    rows, planes, images, labels, grid, prompts = batch.origin
    assert planes is slices.planes
    assert grid.shape == (5, 32, 32, 2)
    assert prompts is not None
    assert prompts.shape == (5, 2, 32, 32)
    assert images.shape == (5, 3 + CHANNELS, 32, 32)
    for row, image in zip(rows, images, strict=True):
        assert torch.equal(image[1], slices.planes[row // 12][row % 12])
    for row, own in zip(rows[:2], labels, strict=True):
        np.testing.assert_array_equal(own.numpy(), ball_labels[row % 12])
    assert torch.equal(warp_labels(labels, grid[:2]), batch.labels)


def test_the_grid_of_a_batch_warps_as_its_images_were(case: Case, tiny_config: Config) -> None:
    batch = slices_of([case], tiny_config.with_values(intensity=0.0, strong_cutout=0.0)).batch(2, 3)
    assert batch.origin is not None
    warped = warp(batch.origin.images, batch.origin.grid)
    torch.testing.assert_close(warped, torch.cat([batch.labelled, batch.unlabelled]))
    assert not torch.allclose(warped, batch.origin.images)


def test_the_same_seed_gives_the_same_batches(case: Case, tiny_config: Config) -> None:
    first, again, other = (slices_of([case], tiny_config, seed=seed) for seed in (1, 1, 2))
    batches = [[slices.batch(2, 2) for _ in range(3)] for slices in (first, again, other)]
    for one, same in zip(batches[0], batches[1], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], same[:3], strict=True))
    assert not torch.equal(batches[0][0].labelled, batches[2][0].labelled)


def carrying(config: Config, **values: float) -> Config:
    """Without dropout, and annotated slices are shown nothing but what is propagated to them."""
    return config.with_values(**{"shape_prior": True, "prior_dropout": 0.0, "full_mixing_share": 1.0} | values)


def rows_of(batch: Batch) -> tuple[int, ...]:
    assert batch.origin is not None
    return batch.origin.rows


def learnt_by(slices: TrainingSlices, rows: Collection[int]) -> PropagatedLabels:
    """Return what is propagated to slices of the first volume."""
    assert slices.propagations[0] is not None
    propagated = slices.propagations[0].for_training(list(rows))
    assert propagated is not None
    return propagated


def test_every_slice_of_a_batch_comes_with_what_the_others_say_of_it(case: Case, still_config: Config) -> None:
    slices = slices_of([case], carrying(still_config))
    batch = slices.batch(2, 5)
    given = torch.cat([batch.labelled, batch.unlabelled])[:, 3:]
    torch.testing.assert_close(given, learnt_by(slices, rows_of(batch)).channels, atol=1e-3, rtol=0.0)


def test_an_annotated_slice_is_mostly_shown_something_nearer_to_its_own_shape(case: Case, still_config: Config) -> None:
    slices = slices_of([case], carrying(still_config, full_mixing_share=0.0))
    batch = slices.batch(2, 0)
    far = batch.labelled[:, -1, 0, 0]
    propagated = learnt_by(slices, rows_of(batch)).channels
    assert (far < propagated[:, -1, 0, 0]).all()
    assert (far > 0).all()


def test_propagated_labels_are_labels_of_unlabelled_slices_between_annotated_ones(
    case: Case, still_config: Config
) -> None:
    slices = slices_of([case], carrying(still_config))
    batch = slices.batch(2, 10)
    assert batch.pseudo_labels is not None
    rows = rows_of(batch)[2:]
    expected = learnt_by(slices, rows).probabilities
    for row, probabilities, confidence, own in zip(rows, *batch.pseudo_labels, expected, strict=True):
        if 4 < row < 7:
            torch.testing.assert_close(probabilities, own, atol=1e-3, rtol=0.0)
            torch.testing.assert_close(confidence[0], 2 * own.amax(0) - 1, atol=2e-3, rtol=0.0)
        else:
            assert not confidence.any()


def test_in_a_volume_annotated_throughout_few_slices_are_carried_at_a_time_and_to_half_of_the_others(
    ball: Volume, ball_labels: LabelArray, still_config: Config
) -> None:
    case = Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=range(12)))
    slices = slices_of([case], carrying(still_config))
    shown = []
    for _ in range(60):
        batch = slices.batch(4, 4)
        assert batch.pseudo_labels is not None
        # The true labels are known, so that what is propagated is no label.
        assert not batch.pseudo_labels.confidence.any()
        given = torch.cat([batch.labelled, batch.unlabelled])[:, 3:]
        shown += given.abs().sum(dim=(1, 2, 3)).gt(0).tolist()
    # Nothing is propagated before the first simulation, which every tenth batch begins on average.
    begun = shown[shown.index(True) :]
    assert len(begun) > 200
    assert 0.35 < sum(begun) / len(begun) < 0.65


def test_propagated_labels_are_warped_with_the_image(case: Case, tiny_config: Config) -> None:
    slices = slices_of([case], carrying(tiny_config))
    batch = slices.batch(2, 10)
    assert batch.origin is not None
    assert batch.pseudo_labels is not None
    plain = learnt_by(slices, rows_of(batch))
    warped = warp(plain.channels, batch.origin.grid)
    given = torch.cat([batch.labelled, batch.unlabelled])[:, 3:]
    torch.testing.assert_close(given, warped, atol=1e-4, rtol=0.0)
    assert not torch.allclose(warped, plain.channels, atol=1e-2)
    between = [place for place, row in enumerate(rows_of(batch)[2:]) if 4 < row < 7]
    assert between
    torch.testing.assert_close(
        batch.pseudo_labels.probabilities[between],
        warp(plain.probabilities, batch.origin.grid)[2:][between],
        atol=1e-4,
        rtol=0.0,
    )


def test_a_volume_without_annotation_is_shown_without_propagated_labels(case: Case, still_config: Config) -> None:
    bare = Case(case.volume, Annotation(case.volume.shape, 0, case.annotation.classes))
    batch = slices_of([case, bare], carrying(still_config)).batch(2, 22)
    assert batch.pseudo_labels is not None
    of_bare = [place for place, row in enumerate(rows_of(batch)[2:]) if row >= 12]
    assert of_bare
    assert not batch.unlabelled[of_bare, 3:].any()
    assert not batch.pseudo_labels.confidence[of_bare].any()
    others = [place for place, row in enumerate(rows_of(batch)[2:]) if row < 12]
    assert batch.unlabelled[others, 3:].flatten(1).any(1).all()


def test_slices_are_shown_without_propagated_labels_at_random_but_keep_them_as_labels(
    case: Case, still_config: Config
) -> None:
    batch = slices_of([case], carrying(still_config, prior_dropout=1.0)).batch(2, 10)
    assert batch.pseudo_labels is not None
    assert not batch.labelled[:, 3:].any()
    assert not batch.unlabelled[:, 3:].any()
    assert batch.pseudo_labels.confidence.any()
    some = slices_of([case], carrying(still_config, prior_dropout=0.5)).batch(2, 30).unlabelled[:, 3:]
    assert 5 < some.flatten(1).any(1).sum() < 25


def test_held_out_slices_have_no_part_in_what_is_shown_to_the_students(
    ball: Volume, ball_labels: LabelArray, still_config: Config
) -> None:
    case, without = (Case(ball, Annotation.from_labels(ball_labels, axis=0, indices=i)) for i in ([3, 5, 8], [3, 8]))
    slices = slices_of([case], carrying(still_config), holdout={SliceKey(0, 5)})
    batch = slices.batch(2, 6)
    expected = learnt_by(slices_of([without], carrying(still_config)), rows_of(batch)).channels
    given = torch.cat([batch.labelled, batch.unlabelled])[:, 3:]
    torch.testing.assert_close(given, expected, atol=1e-2, rtol=0.0)


def test_without_propagated_labels_a_batch_holds_grey_values_only(case: Case, still_config: Config) -> None:
    batch = slices_of([case], still_config.with_values(shape_prior=False)).batch(2, 3)
    assert (batch.labelled.shape[1], batch.unlabelled.shape[1], batch.pseudo_labels) == (3, 3, None)
