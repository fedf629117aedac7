from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import notification_manager

from knowsam.data.annotation import LabelClass
from knowsam.io.labels import write_labels
from knowsam.io.sample import sample_folder
from napari_knowsam._reader import get_reader, read_paths
from napari_knowsam.volume_layers import CLASSES_KEY, has_known_orientation, volume_of

if TYPE_CHECKING:
    from npe2 import PluginManager

    from knowsam.data.volume import Volume

Writer = Callable[..., Path]
GREY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
MASK = (GREY > 20).astype(np.uint8)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ", "scan.v1.2.nii.gz"])
def test_nifti_files_are_accepted_by_their_names(name: str, nifti_file: Writer) -> None:
    assert get_reader(str(nifti_file(name.lower(), GREY).with_name(name))) is read_paths


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha"])
def test_nrrd_and_metaimage_files_are_opened_on_their_grid(name: str, tmp_path: Path, tiny: Volume) -> None:
    write_labels(tmp_path / name, np.arange(tiny.array.size).reshape(tiny.shape) % 300, tiny.grid)
    assert get_reader(str(tmp_path / name)) is read_paths
    ((_, kwargs, kind),) = read_paths(str(tmp_path / name))
    assert kind == "image"
    assert kwargs["scale"] == pytest.approx(tiny.spacing_mm)


def test_segments_of_slicer_open_as_labels_with_their_names(tmp_path: Path, tiny: Volume) -> None:
    named = LabelClass(1, "Leber", (1, 2, 3))
    write_labels(tmp_path / "case.seg.nrrd", np.ones(tiny.shape, np.uint8), tiny.grid, [named])
    ((_, kwargs, kind),) = read_paths(str(tmp_path / "case.seg.nrrd"))
    assert kind == "labels"
    assert named in kwargs["metadata"][CLASSES_KEY]


@pytest.mark.parametrize("name", ["case_mask.nii.gz", "case.seg.nrrd", "case_mask.mha"])
def test_labels_have_the_colours_and_names_of_their_file(name: str, tmp_path: Path, tiny: Volume) -> None:
    named = LabelClass(3, "Leber", (51, 102, 204))
    write_labels(tmp_path / name, np.full(tiny.shape, 3, np.uint8), tiny.grid, [named])
    ((array, kwargs, _),) = read_paths(str(tmp_path / name))
    layer = ViewerModel().add_labels(array, **kwargs)
    assert layer.get_color(3) == pytest.approx([0.2, 0.4, 0.8, 1], abs=1e-3)
    assert layer.get_status(layer.data_to_world((1, 1, 1)), world=True)["value"].endswith("name: Leber")


def test_labels_without_names_look_as_napari_shows_them(nifti_file: Writer) -> None:
    ((array, kwargs, _),) = read_paths(str(nifti_file("seg.nii", MASK)))
    assert np.array_equal(Labels(array, **kwargs).get_color(1), Labels(array).get_color(1))


def test_other_files_and_folders_without_dicom_are_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 200)
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(tmp_path / "a.nii"), str(tmp_path / "notes.txt")]) is None


def test_a_file_opens_as_an_image_on_its_grid(nifti_file: Writer) -> None:
    (array, kwargs, kind), *rest = read_paths(str(nifti_file("scan.nii.gz", GREY, np.diag([1, 2, 3, 1]))))
    assert (kind, rest) == ("image", [])
    assert kwargs["name"] == "scan"
    assert kwargs["scale"] == (3, 2, 1)
    # From (i, j, k) growing to R, A, S to (z, y, x) growing to I, P, L.
    assert np.array_equal(array, GREY.T[::-1, ::-1, ::-1])


def test_a_dicom_folder_opens_as_the_volume_of_its_nifti_twin(phantom: Volume) -> None:
    folder = str(sample_folder() / "phantom_dicom")
    assert get_reader(folder) is read_paths
    ((array, kwargs, kind),) = read_paths(folder)
    assert kind == "image"
    assert np.array_equal(array, phantom.array)
    assert kwargs["scale"] == pytest.approx(phantom.spacing_mm, abs=1e-4)


def test_a_layer_of_a_dicom_series_names_no_patient_but_by_the_paths_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "ZZQ"
    folder.mkdir()
    for number, path in enumerate(sorted((sample_folder() / "phantom_dicom").iterdir())[:3]):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.SeriesDescription, dataset.PatientID = "ZZQ^JANE", "ZZQ", "ZZQ"
        dataset.ImagePositionPatient = [0, 0, 4 * number]
        dataset.save_as(folder / f"ZZQ{number}.dcm")
    ((_, kwargs, _),) = read_paths(str(folder))
    volume = kwargs["metadata"].pop("knowsam")
    assert len(volume.dicom_files) == 3
    # A segmentation in DICOM must refer to these files; nothing shows their paths.
    assert "ZZQ" not in repr(kwargs) + repr(replace(volume, dicom_files=()))


@pytest.mark.usefixtures("plugins")
def test_all_files_of_a_series_at_once_open_it_once() -> None:
    files = sorted(str(path) for path in (sample_folder() / "phantom_dicom").iterdir())[:3]
    assert get_reader(files[0]) is read_paths
    assert len(read_paths(files)) == 1


def test_several_images_without_a_window_to_ask_in_are_listed(
    nifti_file: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_knowsam.choice_dialog.QApplication.instance", lambda: None)
    path = nifti_file("moving.nii", np.stack([GREY, GREY + 1], axis=-1))
    assert read_paths(str(path)) == [(None,)]
    assert "frame 2 of 2" in notification_manager.records[-1].message


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", ["slice.dcm", "SLICE.DCM", "DICOMDIR"])
def test_napari_asks_for_dicom_files_by_these_names(name: str, plugins: PluginManager) -> None:
    assert "napari-knowsam" in {reader.plugin_name for reader in plugins.iter_compatible_readers(name)}


@pytest.mark.parametrize("name", ["picture.png", "abcd.tif", "Makefile", "eightlet"])
def test_napari_does_not_ask_for_other_files(name: str, plugins: PluginManager) -> None:
    assert "napari-knowsam" not in {reader.plugin_name for reader in plugins.iter_compatible_readers(name)}


def test_several_files_open_as_one_layer_each(nifti_file: Writer) -> None:
    paths = [str(nifti_file(name, GREY)) for name in ("a.nii", "b.nii")]
    assert [kwargs["name"] for _, kwargs, _ in read_paths(paths)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("la_01_label.nii.gz", MASK, "labels"),
        ("painted.nii.gz", MASK, "labels"),
        ("case-seg.nii", MASK, "labels"),
        ("lesionMask.nii", MASK, "labels"),
        ("SEGMENTATION.nii", MASK.astype(np.float32), "labels"),
        ("scan.nii", MASK, "image"),
        ("masked.nii", MASK, "image"),
        ("ct_label.nii", GREY - 1000, "image"),
        ("mask_probability.nii", (MASK / 2).astype(np.float32), "image"),
        ("seg_source.nii", np.arange(300, dtype=np.int16).reshape(5, 6, 10), "image"),
    ],
)
def test_what_is_called_a_mask_and_could_be_one_opens_as_labels(
    name: str, array: np.ndarray, kind: str, nifti_file: Writer
) -> None:
    assert read_paths(str(nifti_file(name, array)))[0][2] == kind


def test_labels_keep_their_values_and_get_classes(nifti_file: Writer) -> None:
    ((array, kwargs, _),) = read_paths(str(nifti_file("seg.nii", MASK * 4)))
    assert array.dtype == np.uint8
    assert array.flags.writeable
    assert [(c.value, c.name) for c in kwargs["metadata"]["knowsam_classes"]] == [(0, "background"), (4, "class 4")]


@pytest.mark.usefixtures("plugins")
def test_a_viewer_shows_the_sentence_of_an_error_and_no_layer(tmp_path: Path) -> None:
    path = tmp_path / "broken_label.nii"
    path.write_bytes(b"no header")
    viewer = ViewerModel()
    assert viewer.open(path, plugin="napari-knowsam") == []
    shown = notification_manager.records[-1]
    assert shown.severity.value == "error"
    assert "broken_label.nii is not a readable NIfTI file" in shown.message


@pytest.mark.usefixtures("plugins")
def test_a_viewer_opens_what_the_reader_returns(nifti_file: Writer) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(nifti_file("scan.nii", GREY), plugin="napari-knowsam")
    assert has_known_orientation(layer)
    assert volume_of(layer).name == "scan"
