from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from npe2 import write
from scipy.spatial.transform import Rotation

from knowsam.data.annotation import LabelClass
from knowsam.data.volume import Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from napari_knowsam._writer import labels_of, mask_writer, save_labels, write_labels
from napari_knowsam.volume_layers import labels_layer_data, layer_kwargs

Writer = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("plugins")


def labels_on(volume: Volume, values: Any = 3, **changes: Any) -> Labels:
    array = np.broadcast_to(np.asarray(values, dtype=np.uint8), volume.shape).copy()
    return Labels(array, **layer_kwargs(volume) | {"name": "painted"} | changes)


def save(layer: Labels, path: Path) -> Path:
    (written,) = write(path, [layer], plugin_name="napari-knowsam")
    return Path(written)


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz", "case.v2.nii.gz"])
def test_saved_labels_have_the_voxels_and_the_header_of_their_file(
    name: str, tmp_path: Path, phantom_labels: Volume
) -> None:
    array, kwargs, _ = labels_layer_data(phantom_labels)
    saved = nib.load(save(Labels(array, **kwargs), tmp_path / name))
    source = nib.load(sample_folder() / "phantom_labels.nii.gz")
    assert np.array_equal(np.asanyarray(saved.dataobj), np.asanyarray(source.dataobj))
    assert np.array_equal(saved.affine, source.affine)
    assert saved.header["qform_code"] == source.header["qform_code"]


def test_names_and_colours_of_an_opened_file_are_saved_again(tmp_path: Path, tiny: Volume) -> None:
    named = LabelClass(3, "Leber", (51, 102, 204))
    array, kwargs, _ = labels_layer_data(Volume(np.full(tiny.shape, 3, np.uint8), tiny.grid, classes=(named,)))
    assert read_labels(save(Labels(array, **kwargs), tmp_path / "mask.nii.gz")).classes == (named,)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SLA", "PIR"])
def test_labels_return_to_the_axis_order_of_any_file(codes: str, tmp_path: Path, nifti_file: Writer) -> None:
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [9, -7, 12], degrees=True).as_matrix() @ np.diag([1, 2, 3])
    upright = nib.Nifti1Image(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), turned)
    order = nib.orientations.axcodes2ornt(codes)
    source = upright.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(turned), order))
    path = nifti_file("source.nii", np.asanyarray(source.dataobj), source.affine)
    volume = read_labels(path)
    saved = nib.load(save(labels_on(volume, volume.array), tmp_path / "saved.nii"))
    assert np.array_equal(np.asanyarray(saved.dataobj), np.asanyarray(source.dataobj))
    assert np.allclose(saved.affine, source.affine, atol=1e-6)


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.seg.nrrd", "mask.mha"])
def test_labels_are_saved_as_the_kind_of_file_that_the_name_says(name: str, tmp_path: Path, tiny: Volume) -> None:
    saved = read_labels(save(labels_on(tiny), tmp_path / name))
    assert (saved.array == 3).all()
    np.testing.assert_allclose(saved.affine, tiny.affine, atol=1e-5)


def test_a_name_without_ending_becomes_a_packed_nifti_file(tmp_path: Path, tiny: Volume) -> None:
    assert save(labels_on(tiny), tmp_path / "mask").name == "mask.nii.gz"
    layer = labels_on(tiny)
    data, meta, _ = layer.as_layer_data_tuple()
    assert write_labels(str(tmp_path / "case.1"), data, meta) == [str(tmp_path / "case.1.nii.gz")]


def test_a_file_the_dialog_has_asked_about_is_replaced(tmp_path: Path, tiny: Volume) -> None:
    path = tmp_path / "mask.nii"
    save(labels_on(tiny, 1), path)
    save(labels_on(tiny, 2), path)
    assert read_volume(path).array.max() == 2


def test_a_mask_does_not_replace_the_image_it_was_made_in(tmp_path: Path, nifti_file: Writer) -> None:
    image = nifti_file("brain.nii.gz", np.arange(24).reshape(2, 3, 4).astype(np.int16))
    volume = read_volume(image)
    with pytest.raises(OutputError, match="a file of the image itself"):
        mask_writer(image, volume, volume, lambda _: {})
    assert mask_writer(tmp_path / "brain_mask.nii.gz", volume, volume, lambda _: {}) is not None
    (tmp_path / "brain.nrrd").write_text("an older mask")
    assert mask_writer(tmp_path / "brain.nrrd", volume, volume, lambda _: {}) is not None
    (tmp_path / "link.nii.gz").symlink_to(image)
    with pytest.raises(OutputError, match="a file of the image itself"):
        mask_writer(tmp_path / "link.nii.gz", volume, volume, lambda _: {})


def test_known_background_is_saved_as_background(tmp_path: Path, tiny: Volume) -> None:
    layer = labels_on(tiny, np.arange(10) % 2 * 254 + 1)
    layer.metadata["knowsam_background_brush"] = 255
    assert np.unique(labels_of(layer).array).tolist() == [0, 1]
    assert np.unique(read_volume(save(layer, tmp_path / "mask.nii")).array).tolist() == [0, 1]


def test_labels_that_know_no_file_are_saved_where_they_are_seen_with_a_warning(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    layer = Labels(values, scale=(3, 2, 1), translate=(5, 6, 7), name="scribble")
    volume = read_labels(save(layer, tmp_path / "mask.nii"))
    assert np.array_equal(volume.array, values)
    assert layer_kwargs(volume)["scale"] == (3, 2, 1)
    assert layer_kwargs(volume)["translate"] == (5, 6, 7)
    assert "scribble do not say which image" in notification_manager.records[-1].message


def test_labels_without_file_and_volume_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3D volume"):
        save(Labels(np.zeros((2, 3, 4, 5), np.uint8)), tmp_path / "mask.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "words"), [(-1, "from -1"), (2**31, "to 2147483648")])
def test_values_no_file_can_hold_are_refused(value: int, words: str, tmp_path: Path, tiny: Volume) -> None:
    with pytest.raises(InputError, match=words):
        save_labels(tmp_path / "mask.nii", np.full(tiny.shape, value), tiny)


def test_only_a_writer_that_may_overwrite_replaces_a_file(tmp_path: Path, tiny: Volume) -> None:
    path = tmp_path / "mask.nii"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        save_labels(path, np.zeros(tiny.shape, np.uint8), tiny)
    assert path.read_text() == "precious"
