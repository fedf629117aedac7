"""DICOM segmentations in: every voxel in its place with its class, and in words what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid
from seg_sources import COLUMNS, NAMES, ROWS, SLICES, SPACING_MM, TURN, grid, mask, series

from knowsam.data.annotation import LabelClass
from knowsam.data.orientation import from_working, to_working, working_axis
from knowsam.data.painted_slices import painted_by_default
from knowsam.data.resample import placed_on
from knowsam.data.volume import Grid
from knowsam.errors import InputError
from knowsam.io.dicom.seg_writer import write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels

if TYPE_CHECKING:
    from knowsam.data.volume import Volume

Change = Callable[[pydicom.Dataset], None]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_volume(series(tmp_path_factory.mktemp("series")))


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory, source: Volume) -> Path:
    """The mask as a segmentation."""
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    write_dicom_seg(path, mask(), source)
    return path


def changed(path: Path, change: Change) -> Path:
    """Return a copy of a file with its header or pixels changed."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path.with_name("changed.dcm"), enforce_file_format=True)
    return path.with_name("changed.dcm")


def foreign(folder: Path, source: Volume, pixels: np.ndarray[Any, Any], kind: str, **options: Any) -> Path:
    """Write a segmentation as another program does; pixels are (slices, rows, columns) or have segments as well."""
    described = [
        highdicom.seg.SegmentDescription(
            number, f"s{number}", _code("Tissue", "85756007"), _code("Tissue", "85756007"), "MANUAL"
        )
        for number in (1, 2)
    ]
    made = highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(path) for path in source.dicom_files],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=5,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="another",
        manufacturer_model_name="one",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    made.save_as(folder / "foreign.dcm")
    return folder / "foreign.dcm"


def _code(meaning: str, value: str) -> highdicom.sr.CodedConcept:
    return highdicom.sr.CodedConcept(value, "SCT", meaning)


def in_file_order(labels: Volume) -> np.ndarray[Any, Any]:
    """Return labels on the grid of the source as (slices, rows, columns)."""
    return from_working(placed_on(labels, grid()).array, grid()).T


def test_a_mask_comes_back_voxel_for_voxel_with_values_names_and_colours(seg: Path) -> None:
    labels = read_labels(seg)
    placed = placed_on(labels, grid())
    assert np.array_equal(placed.array, mask().array)
    assert placed.notices == ()
    assert (labels.classes, labels.name, labels.array.dtype) == (NAMES, "seg", np.uint8)


def test_only_slices_between_the_outermost_frames_are_there(seg: Path) -> None:
    # Nothing lies in the first slice; in the fourth, which is empty too, lies nothing.
    assert read_labels(seg).grid.shape == (COLUMNS, ROWS, SLICES - 1)


def test_large_values_come_back(tmp_path: Path, source: Volume) -> None:
    values = np.where(mask().array == 7, np.int32(70_000), mask().array)
    write_dicom_seg(tmp_path / "seg.dcm", replace(mask(), array=values, classes=()), source)
    labels = read_labels(tmp_path / "seg.dcm")
    assert np.array_equal(placed_on(labels, grid()).array, values)
    assert [c.name for c in labels.classes] == ["class 2", "class 70000"]


def test_one_slice_alone_is_read(tmp_path: Path, source: Volume) -> None:
    values = np.zeros_like(mask().array)
    values[1] = mask().array[1]
    write_dicom_seg(tmp_path / "seg.dcm", replace(mask(), array=values), source)
    assert np.array_equal(placed_on(read_labels(tmp_path / "seg.dcm"), grid()).array, values)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_of_other_programs_have_their_numbers_as_values(tmp_path: Path, source: Volume, kind: str) -> None:
    numbers = (in_file_order(mask()) // 3).astype(np.uint8)
    labels = read_labels(foreign(tmp_path, source, numbers, kind, omit_empty_frames=False))
    assert np.array_equal(in_file_order(labels), numbers)
    assert [(c.value, c.name) for c in labels.classes if c.value] == [(1, "s1"), (2, "s2")]


@pytest.mark.parametrize("outer", [0, 1])
def test_a_segment_inside_another_one_keeps_its_voxels_with_a_notice(
    tmp_path: Path, source: Volume, outer: int
) -> None:
    both = np.zeros((SLICES, ROWS, COLUMNS, 2), np.uint8)
    both[1:5, :5, :, outer], both[2:4, 1:3, :, 1 - outer] = 1, 1
    labels = read_labels(foreign(tmp_path, source, both, "BINARY"))
    expected = np.where(both[..., 1 - outer], 2 - outer, both[..., outer] * (1 + outer))
    assert np.array_equal(in_file_order(labels), expected)
    assert f"s{2 - outer} in s{1 + outer}" in labels.notices[0]


def test_a_frame_that_is_there_twice_changes_nothing(seg: Path) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        frames = [*dataset.pixel_array, dataset.pixel_array[0]]
        dataset.PerFrameFunctionalGroupsSequence.append(dataset.PerFrameFunctionalGroupsSequence[0])
        dataset.NumberOfFrames = len(frames)
        packed = np.packbits(np.ravel(frames), bitorder="little").tobytes()
        dataset.PixelData = packed + b"\0" * (len(packed) % 2)

    assert np.array_equal(placed_on(read_labels(changed(seg, change)), grid()).array, mask().array)


def test_segments_that_overlap_in_part_are_refused_by_name(tmp_path: Path, source: Volume) -> None:
    both = np.zeros((SLICES, ROWS, COLUMNS, 2), np.uint8)
    both[1:4, :3, :, 0], both[2:5, 2:, :, 1] = 1, 1
    with pytest.raises(InputError, match=f"segments s1 and s2 overlap in {2 * COLUMNS} voxels"):
        read_labels(foreign(tmp_path, source, both, "BINARY"))


def test_a_segment_that_no_one_describes_is_refused(tmp_path: Path, source: Volume) -> None:
    numbers = (in_file_order(mask()) // 3).astype(np.uint8)
    for kind in ("BINARY", "LABELMAP"):
        path = foreign(tmp_path, source, numbers, kind)
        with pytest.raises(InputError, match="segment 2, which it does not describe"):
            read_labels(changed(path, lambda dataset: dataset.SegmentSequence.pop(-1)))


def test_several_frames_of_a_label_map_in_one_slice_are_refused(tmp_path: Path, source: Volume) -> None:
    numbers = (in_file_order(mask()) // 3).astype(np.uint8)

    def change(dataset: pydicom.Dataset) -> None:
        first, second = dataset.PerFrameFunctionalGroupsSequence[:2]
        second.PlanePositionSequence = first.PlanePositionSequence

    with pytest.raises(InputError, match="lie in one slice"):
        read_labels(changed(foreign(tmp_path, source, numbers, "LABELMAP"), change))


def test_a_fractional_segmentation_is_cut_at_one_half_with_a_notice(tmp_path: Path, source: Volume) -> None:
    shares = np.zeros((SLICES, ROWS, COLUMNS, 2))
    shares[1:4, :, 0, 0], shares[1:4, :, 1, 0], shares[1:4, :, 2, 1] = 0.6, 0.4, 1.0
    # Neither of two structures that share voxels in halves has more of them.
    shares[1:4, :, 3] = 0.5
    labels = read_labels(foreign(tmp_path, source, shares, "FRACTIONAL", max_fractional_value=200))
    expected = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    expected[1:4, :, 0], expected[1:4, :, 2] = 1, 2
    assert np.array_equal(in_file_order(labels), expected)
    assert "is fractional; voxels that are filled by more than half were taken" in labels.notices[0]


def test_a_structure_that_fills_no_voxel_by_more_than_half_is_named(tmp_path: Path, source: Volume) -> None:
    shares = np.zeros((SLICES, ROWS, COLUMNS, 2))
    shares[1:4, :, 0, 0], shares[1:4, :, 2, 1] = 1.0, 0.3
    labels = read_labels(foreign(tmp_path, source, shares, "FRACTIONAL"))
    assert "nothing is left of s2" in labels.notices[0]


def test_compressed_frames_are_read(tmp_path: Path, source: Volume) -> None:
    numbers = (in_file_order(mask()) // 3).astype(np.uint8)
    path = foreign(tmp_path, source, numbers, "LABELMAP")
    compressed = changed(path, lambda dataset: dataset.compress(RLELossless, encoding_plugin="pydicom"))
    assert np.array_equal(in_file_order(read_labels(compressed)), numbers)


def test_distances_that_the_file_does_not_state_come_from_its_frames(seg: Path) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        del measures.SpacingBetweenSlices
        measures.SliceThickness = 2.0

    assert np.array_equal(placed_on(read_labels(changed(seg, change)), grid()).array, mask().array)


def measures(**attributes: float | None) -> Change:
    """Change what the file says of the distance of its slices, or with None take it out."""

    def change(dataset: pydicom.Dataset) -> None:
        shared = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        for keyword, value in attributes.items():
            setattr(shared, keyword, value)
            if value is None:
                delattr(shared, keyword)

    return change


STATED = [
    {"SpacingBetweenSlices": None, "SliceThickness": 3.0},
    {"SpacingBetweenSlices": 3.0, "SliceThickness": 3.0},
    {"SpacingBetweenSlices": 2 * SPACING_MM[2], "SliceThickness": 3.0},
    {"SpacingBetweenSlices": 4 * SPACING_MM[2], "SliceThickness": 3.0},
    {"SpacingBetweenSlices": None, "SliceThickness": None},
    {"SpacingBetweenSlices": None, "SliceThickness": 9.0},
    {"SpacingBetweenSlices": float(SPACING_MM[2])},
]


@pytest.mark.parametrize("painted", [[0, 4], [1, 3, 5], [0, 3, 5], [2], [1, 2, 5]], ids=str)
def test_frames_of_painted_slices_alone_lie_where_their_positions_say(
    tmp_path: Path, source: Volume, painted: list[int]
) -> None:
    values = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    values[painted] = 2
    write_dicom_seg(tmp_path / "seg.dcm", replace(mask(), array=to_working(values.T, grid().affine)), source)
    for stated in STATED:
        labels = placed_on(read_labels(changed(tmp_path / "seg.dcm", measures(**stated))), source.grid)
        assert labels is not None, stated
        assert np.array_equal(from_working(labels.array, grid()).T, values), stated
        assert labels.notices == (), stated


@pytest.mark.parametrize("beside_mm", [0.0001, 0.003, 0.02])
def test_frames_of_two_segments_in_one_slice_need_no_positions_alike_to_the_last_digit(
    seg: Path, beside_mm: float
) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        measures(SpacingBetweenSlices=None, SliceThickness=None)(dataset)
        for frame in dataset.PerFrameFunctionalGroupsSequence[1::2]:
            place = frame.PlanePositionSequence[0]
            beside = np.array(place.ImagePositionPatient, float) + beside_mm * TURN[:, 2]
            place.ImagePositionPatient = beside.round(6).tolist()

    labels = placed_on(read_labels(changed(seg, change)), grid())
    assert labels is not None
    assert np.array_equal(labels.array, mask().array)


def test_slices_between_frames_are_empty_even_where_no_image_is_known(tmp_path: Path, source: Volume) -> None:
    values = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    values[[0, 4]] = 2
    write_dicom_seg(tmp_path / "seg.dcm", replace(mask(), array=to_working(values.T, grid().affine)), source)
    labels = read_labels(changed(tmp_path / "seg.dcm", measures(SpacingBetweenSlices=None, SliceThickness=3.0)))
    assert from_working(labels.array, labels.grid).any((0, 1)).tolist() == [True, False, False, False, True]
    assert labels.grid.spacing_mm == pytest.approx(SPACING_MM)
    assert "3.3 mm are assumed" in labels.notices[0]


def test_slices_that_fill_the_space_between_them_cover_the_voxels_of_a_finer_image(
    tmp_path: Path, source: Volume
) -> None:
    write_dicom_seg(tmp_path / "seg.dcm", mask(), source)
    labels = read_labels(changed(tmp_path / "seg.dcm", measures(SliceThickness=3.3)))
    affine = grid().affine @ np.diag([1, 1, 0.5, 1])
    fine = Grid((COLUMNS, ROWS, 2 * SLICES), affine)
    painted = painted_by_default(labels, working_axis(labels.grid, 2)).on(fine)
    values = np.maximum(from_working(painted.labels.array, fine), 0)
    # A fine slice of whole number lies in the middle of a thick one.
    assert np.array_equal(values[..., ::2], from_working(mask().array, grid()))
    assert values[..., 3].any()


def test_segments_without_name_and_colour_get_usual_ones(seg: Path) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        for segment in dataset.SegmentSequence:
            del segment.SegmentLabel, segment.RecommendedDisplayCIELabValue

    first, second = read_labels(changed(seg, change)).classes
    assert (first.name, second.name) == ("class 2", "class 7")
    assert first.color != second.color


def test_values_that_contradict_each_other_give_way_to_numbers(seg: Path) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.SegmentSequence[0].SegmentDescription = "Label value 7"

    assert [c.value for c in read_labels(changed(seg, change)).classes] == [1, 2]


def test_another_dicom_object_is_no_segmentation(source: Volume) -> None:
    with pytest.raises(InputError, match="is a DICOM file, but no segmentation"):
        read_labels(source.dicom_files[0])


def _turn(dataset: pydicom.Dataset) -> None:
    turned = pydicom.Dataset()
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [turned]


def _move(frame: int, mm: tuple[float, float, float]) -> Change:
    def change(dataset: pydicom.Dataset) -> None:
        position = dataset.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0]
        position.ImagePositionPatient = [a + b for a, b in zip(position.ImagePositionPatient, mm, strict=True)]

    return change


def _set(**attributes: Any) -> Change:
    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    return change


def _lose(keyword: str) -> Change:
    return lambda dataset: delattr(dataset, keyword)


NO_STACK = "are no slices of one stack"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_turn, NO_STACK),
        (_move(1, (0.9, 0.9, 0.9)), NO_STACK),
        (_move(1, (0, 0, float("nan"))), NO_STACK),
        (_move(1, (0, 0, 1e30)), "damaged|no slices|slices apart"),
        (_move(1, (3.3e7 * 0.1, 0, 0)), "no slices|slices apart"),
        (_set(NumberOfFrames=6), "says that it holds 6 frames"),
        (_set(NumberOfFrames=2**31 - 1), "says that it holds 2147483647 frames"),
        (_set(Rows=65535, Columns=65535), "of 65535 x 65535 pixels, but holds less"),
        (_set(Rows=0), "of 0 x 5 pixels"),
        (_set(PixelData=b"\0\0"), "holds less"),
        (_lose("PixelData"), "damaged"),
        (_lose("SegmentSequence"), "damaged"),
        (_lose("SharedFunctionalGroupsSequence"), "damaged"),
        (_lose("PerFrameFunctionalGroupsSequence"), "damaged"),
        (_set(SegmentSequence=[]), "does not describe"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(seg: Path, change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(changed(seg, change))


def test_a_small_file_that_claims_a_large_volume_is_refused_before_anything_is_allocated(seg: Path) -> None:
    away_lps = 90_000_000 * grid().affine[:3, 2] * (-1, -1, 1)
    with pytest.raises(InputError, match=r"lie 9000000\d slices apart"):
        read_labels(changed(seg, _move(6, tuple(away_lps.tolist()))))


def test_frames_that_are_damaged_inside_are_refused(seg: Path) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = encapsulate([b"\1\0\0\0" * 16] * 7)
        dataset["PixelData"].is_undefined_length = True
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.file_meta.TransferSyntaxUID = RLELossless

    assert pydicom.dcmread(seg).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    with pytest.raises(InputError, match="damaged"):
        read_labels(changed(seg, change))


def test_a_file_cut_off_anywhere_is_refused(seg: Path) -> None:
    whole = seg.read_bytes()
    for length in (*range(132, len(whole), len(whole) // 40), len(whole) - 4):
        seg.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_labels(seg)


def test_a_background_that_a_label_map_describes_is_no_class(tmp_path: Path, source: Volume) -> None:
    numbers = (in_file_order(mask()) // 3).astype(np.uint8)
    path = foreign(tmp_path, source, numbers, "LABELMAP", omit_empty_frames=False)

    def change(dataset: pydicom.Dataset) -> None:
        if all(int(segment.SegmentNumber) for segment in dataset.SegmentSequence):
            background = pydicom.Dataset()
            background.SegmentNumber, background.SegmentLabel = 0, "Background"
            dataset.SegmentSequence.insert(0, background)

    labels = read_labels(changed(path, change))
    assert labels.classes[0] == LabelClass(1, "s1", labels.classes[0].color)
    assert np.array_equal(in_file_order(labels), numbers)
