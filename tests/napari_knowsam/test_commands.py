from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QApplication, QListWidget, QMessageBox, QPushButton

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.identity import NOBODY
from knowsam.io.dicom.seg_writer import write_dicom_seg
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder
from napari_knowsam import _commands
from napari_knowsam._commands import measurements
from napari_knowsam._writer import labels_of
from napari_knowsam.choice_dialog import ChoiceDialog
from napari_knowsam.opening import Opening
from napari_knowsam.panels.terms_dialog import TermsDialog
from napari_knowsam.volume_layers import (
    CLASSES_KEY,
    VOLUME_KEY,
    image_layer_data,
    layer_kwargs,
    require_layers_match,
)
from napari_knowsam.volumes_dialog import VolumesDialog

if TYPE_CHECKING:
    from chosen_file import ChosenFile
    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from knowsam.data.volume import Volume

# Dialogs cannot be made without it, and some are made without a window.
pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def viewer(viewer: ViewerModel, tiny: Volume) -> ViewerModel:
    """A viewer with the tiny image, selected."""
    array, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(array, **kwargs)
    return viewer


def run(command: str, viewer: ViewerModel) -> None:
    """Do what a menu of napari does."""
    getattr(_commands, command)(viewer)


def run_to_its_end(command: str, viewer: ViewerModel, qtbot: QtBot) -> None:
    """Do what a menu of napari does, and wait for the thread that it reads in."""
    run(command, viewer)
    qtbot.waitUntil(lambda: not any(owner.findChild(Opening) for owner in _owners()))


def _owners() -> list[QObject]:
    return [QApplication.instance(), *QApplication.topLevelWidgets()]


def last_message() -> str:
    return str(notification_manager.records[-1].message)


def test_every_command_has_its_place_in_the_menus_and_finds_the_viewer(
    make_napari_viewer: Callable[[], Viewer], tiny: Volume
) -> None:
    viewer = make_napari_viewer()
    array, kwargs, _ = image_layer_data(tiny)
    viewer.add_image(array, **kwargs)
    menus = get_app_model().menus
    titles = {
        menu: [item.command.title for item in menus.get_menu(menu) if item.command.id.startswith("napari-knowsam")]
        for menu in ("napari/layers/segment", "napari/layers/annotate", "napari/layers/measure")
    }
    assert titles == {
        "napari/layers/segment": ["Segment from painted slices (KnowSAM)"],
        "napari/layers/annotate": ["New labels for the selected image (KnowSAM)"],
        "napari/layers/measure": ["Volume of each class in ml (KnowSAM)"],
    }
    utilities = [item.command.title for item in menus.get_menu("napari/file/io_utilities")]
    expected = ["Open image...", "Open DICOM series...", "Open mask as labels...", "Export labels..."]
    assert {f"{title} (KnowSAM)" for title in expected} <= set(utilities)
    get_app_model().commands.execute_command("napari-knowsam.new_labels")
    assert [layer.name for layer in viewer.layers] == ["tiny", "tiny labels"]


def test_new_labels_lie_on_the_selected_image(viewer: ViewerModel) -> None:
    run("new_labels", viewer)
    image, labels = viewer.layers
    assert isinstance(labels, Labels)
    assert labels.name == "tiny labels"
    require_layers_match(image, labels)


def test_new_labels_need_to_know_which_of_several_images(viewer: ViewerModel) -> None:
    viewer.add_image(np.arange(60).reshape(3, 4, 5))
    viewer.layers.selection.clear()
    run("new_labels", viewer)
    assert len(viewer.layers) == 2
    assert "2 images are open and none is selected" in last_message()


def test_new_labels_on_an_unusable_image_are_refused_with_its_sentence(viewer: ViewerModel) -> None:
    viewer.add_image(np.arange(20).reshape(4, 5), name="flat")
    run("new_labels", viewer)
    assert len(viewer.layers) == 2
    assert "flat has the shape (4, 5)" in last_message()


def test_volumes_are_counted_for_known_and_unknown_values(tiny: Volume, classes: tuple[LabelClass, ...]) -> None:
    values = np.zeros(tiny.shape, dtype=np.uint8)
    values[0, 0, :5], values[1], values[2, 0, 0] = 2, 7, 254
    layer = Labels(values, **layer_kwargs(tiny))
    layer.metadata["knowsam_background_brush"] = 254
    # A voxel of 4 x 2 x 1.5 mm fills 0.012 ml.
    rows = measurements(labels_of(layer), classes, tiny)
    found = [(label_class.name, one.volume_ml) for label_class, one in rows]
    assert found == [("liver", pytest.approx(0.06)), ("spleen", 0.0), ("class 7", pytest.approx(0.96))]


def test_the_volumes_of_the_selected_labels_are_shown_and_can_be_copied(
    viewer: ViewerModel, tiny: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[VolumesDialog] = []
    monkeypatch.setattr(VolumesDialog, "exec", lambda dialog: shown.append(dialog))
    viewer.add_labels(np.where(tiny.array < 250, 1, 0), **layer_kwargs(tiny) | {"name": "organ"})
    run("show_volumes", viewer)
    (dialog,) = shown
    assert dialog.windowTitle() == "Volume of each class: organ"
    (copy,) = [button for button in dialog.findChildren(QPushButton) if button.text() == "Copy"]
    copy.click()
    head, row = (line.split("\t") for line in QApplication.clipboard().text().splitlines())
    assert head == ["Class", "Volume (ml)", "Diameter (mm)", "Pieces", "Grey mean", "Grey SD"]
    assert row == ["class 1", "3.00", "25.2", "1", "124.50", "72.17"]


def test_volumes_need_selected_labels(viewer: ViewerModel) -> None:
    run("show_volumes", viewer)
    assert "No labels are selected" in last_message()


def test_a_mask_opens_as_labels_whatever_its_name(
    viewer: ViewerModel, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    viewer.layers.clear()
    path = nifti_file("scan.nii", np.eye(4, dtype=np.float32)[None] * np.ones((3, 1, 1)))
    chosen.path = path
    run("open_mask", viewer)
    assert isinstance(viewer.layers[-1], Labels)
    assert viewer.layers[-1].data.sum() == 12


def test_a_mask_of_a_part_of_the_image_opens_on_the_voxels_of_the_image(
    viewer: ViewerModel, tiny: Volume, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    affine = tiny.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * 2
    chosen.path = nifti_file("part.nii", np.full((3, 8, 6), 4, np.uint8), affine)
    run("open_mask", viewer)
    image, labels = viewer.layers
    require_layers_match(image, labels)
    assert np.count_nonzero(labels.data == 4) == 3 * 8 * 6


def test_a_mask_on_other_voxels_is_resampled_with_a_notice(
    viewer: ViewerModel, tiny: Volume, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    affine = tiny.grid.affine @ np.diag([2, 2, 2, 1])
    chosen.path = nifti_file("coarse.nii", np.ones((5, 4, 3), np.uint8), affine)
    run("open_mask", viewer)
    require_layers_match(*viewer.layers)
    assert "coarse: The labels have other voxels than the image, so they were resampled" in last_message()


def test_a_mask_that_lies_beside_the_image_is_refused(
    viewer: ViewerModel, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    chosen.path = nifti_file("other.nii", np.ones((3, 4, 5), np.uint8), np.diag([-1, 1, -1, 1]))
    run("open_mask", viewer)
    assert len(viewer.layers) == 1
    assert "None of the 60 labelled voxels of other lies in the image" in last_message()


def test_with_several_images_a_mask_opens_on_the_selected_one_or_where_it_lies(
    viewer: ViewerModel, tiny: Volume, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    chosen.path = nifti_file("part.nii", np.ones((3, 8, 6), np.uint8), tiny.grid.affine)
    viewer.add_image(np.arange(60).reshape(3, 4, 5))
    viewer.layers.selection.clear()
    run("open_mask", viewer)
    assert viewer.layers[-1].data.shape == (6, 8, 3)
    viewer.layers.selection = {viewer.layers["tiny"]}
    run("open_mask", viewer)
    assert viewer.layers[-1].data.shape == tiny.shape


def test_labels_on_a_dicom_image_are_exported_as_a_segmentation_and_open_again(
    tmp_path: Path, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, volume = ViewerModel(), read_volume(sample_folder() / "phantom_dicom")
    array, kwargs, _ = image_layer_data(volume)
    viewer.add_image(array, **kwargs)
    run("new_labels", viewer)
    viewer.layers[-1].data[3:5, 4:9, 5] = 2
    viewer.layers[-1].metadata[CLASSES_KEY] = (BACKGROUND_CLASS, LabelClass(2, "left kidney", (1, 2, 3)))
    path = tmp_path / "seg.dcm"
    chosen.path = path
    monkeypatch.setattr(TermsDialog, "exec", lambda dialog: dialog.terms()[2].words == "Kidney, left")
    run("export_labels", viewer)
    assert last_message() == "Saved seg.dcm."
    chosen.path = path
    viewer.layers.selection.clear()
    run("open_mask", viewer)
    assert np.array_equal(viewer.layers[-1].data, viewer.layers[-2].data)
    assert viewer.layers[-1].metadata[CLASSES_KEY][1] == LabelClass(2, "left kidney", (1, 2, 3))


@pytest.fixture
def of_others(tmp_path: Path) -> ViewerModel:
    """A viewer with a DICOM image, and with seg.dcm, which another patient's image of the same geometry has."""
    viewer, volume = ViewerModel(), read_volume(sample_folder() / "phantom_dicom")
    values = np.zeros(volume.shape, np.uint8)
    values[3:5, 20:30, 20:30] = 1
    write_dicom_seg(tmp_path / "seg.dcm", replace(volume, array=values), volume)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    dataset.PatientID, dataset.FrameOfReferenceUID = "somebody else", "1.2.9"
    dataset.save_as(tmp_path / "seg.dcm")
    array, kwargs, _ = image_layer_data(replace(volume, identity=replace(volume.identity, patient_id="this one")))
    viewer.add_image(array, **kwargs)
    return viewer


def test_a_mask_of_another_patient_does_not_open_on_an_image(
    of_others: ViewerModel, tmp_path: Path, chosen: ChosenFile
) -> None:
    chosen.path = tmp_path / "seg.dcm"
    run("open_mask", of_others)
    assert len(of_others.layers) == 1
    assert "are of different patients" in last_message()
    assert "somebody" not in last_message()


def test_a_mask_that_lies_on_images_of_two_patients_is_exported_into_the_study_of_neither(
    of_others: ViewerModel, tmp_path: Path, chosen: ChosenFile
) -> None:
    image = of_others.layers[0].metadata[VOLUME_KEY]
    other = replace(image, identity=replace(image.identity, patient_id="somebody else"))
    of_others.add_image(other.array, **layer_kwargs(other))
    masks = replace(image, array=np.ones(image.shape, np.uint8), identity=NOBODY)
    of_others.add_labels(masks.array, **layer_kwargs(masks))
    chosen.path = tmp_path / "new.dcm"
    run("export_labels", of_others)
    assert "do not say to which they belong" in last_message()
    assert not (tmp_path / "new.dcm").exists()


def test_an_export_can_be_thought_better_of_at_the_terms(
    tmp_path: Path, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = ViewerModel()
    array, kwargs, _ = image_layer_data(read_volume(sample_folder() / "phantom_dicom"))
    viewer.add_image(array, **kwargs)
    run("new_labels", viewer)
    viewer.layers[-1].data[3, 4, 5] = 2
    chosen.path = tmp_path / "seg.dcm"
    monkeypatch.setattr(TermsDialog, "exec", lambda _: 0)
    run("export_labels", viewer)
    assert not list(tmp_path.glob("*.dcm"))


def test_an_image_opens_as_such_even_if_it_is_called_a_mask(
    qtbot: QtBot, viewer: ViewerModel, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    chosen.path = nifti_file("seg.nii", np.eye(4, dtype=np.uint8)[None])
    run_to_its_end("open_image", viewer, qtbot)
    assert isinstance(viewer.layers[-1], Image)
    assert viewer.layers[-1].name == "seg"


def test_a_dicom_series_opens_from_its_folder(
    qtbot: QtBot, viewer: ViewerModel, phantom: Volume, chosen: ChosenFile
) -> None:
    chosen.path = sample_folder() / "phantom_dicom"
    run_to_its_end("open_dicom", viewer, qtbot)
    assert np.array_equal(viewer.layers[-1].data, phantom.array)


def test_a_folder_without_dicom_is_refused_with_its_sentence(
    qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, chosen: ChosenFile
) -> None:
    chosen.path = tmp_path
    run_to_its_end("open_dicom", viewer, qtbot)
    assert len(viewer.layers) == 1
    assert "No DICOM images were found" in last_message()


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    """A folder with the series of the sample, and with another one of half its slices."""
    slices = [pydicom.dcmread(path) for path in (sample_folder() / "phantom_dicom").iterdir()]
    slices.sort(key=lambda found: float(found.ImagePositionPatient[2]))
    for number, dataset in enumerate(slices):
        dataset.save_as(tmp_path / f"{number}.dcm")
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = "1.2.3", 99, "half"
        if number % 2:
            dataset.save_as(tmp_path / f"half{number}.dcm")
    return tmp_path


def answer_choice(monkeypatch: pytest.MonkeyPatch, act: Callable[[ChoiceDialog], None]) -> None:
    """Let a person act on the dialog, which then returns what it would have returned."""

    def execute(dialog: ChoiceDialog) -> int:
        dialog.show()
        act(dialog)
        return dialog.result()

    monkeypatch.setattr(ChoiceDialog, "exec", execute)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("way", ["menu", "drop"])
def test_of_several_images_the_chosen_one_opens(
    way: str, viewer: ViewerModel, two_series: Path, qtbot: QtBot, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(dialog: ChoiceDialog) -> None:
        listed = dialog.findChild(QListWidget)
        rows = [listed.item(row).text() for row in range(listed.count())]
        assert rows == [
            "MR (series 1), 32 slices of 80 x 96, 6 mm apart",
            "half (series 99), 16 slices of 80 x 96, 12 mm apart",
        ]
        qtbot.keyClick(listed, Qt.Key.Key_Down)
        qtbot.mouseClick(button(dialog, "Open"), Qt.MouseButton.LeftButton)

    answer_choice(monkeypatch, choose)
    open_by(way, viewer, two_series, qtbot, chosen)
    assert viewer.layers[-1].data.shape[0] == 16


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("way", ["menu", "drop"])
def test_to_choose_none_of_several_images_opens_nothing_and_is_no_error(
    way: str, viewer: ViewerModel, two_series: Path, qtbot: QtBot, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(notification_manager.records)
    answer_choice(monkeypatch, lambda dialog: qtbot.keyClick(dialog, Qt.Key.Key_Escape))
    open_by(way, viewer, two_series, qtbot, chosen)
    assert len(viewer.layers) == 1
    assert len(notification_manager.records) == before


def open_by(way: str, viewer: ViewerModel, folder: Path, qtbot: QtBot, chosen: ChosenFile) -> None:
    if way == "menu":
        chosen.path = folder
        run_to_its_end("open_dicom", viewer, qtbot)
    else:
        viewer.open(str(folder), plugin="napari-knowsam")


def button(dialog: ChoiceDialog, text: str) -> QPushButton:
    return next(found for found in dialog.findChildren(QPushButton) if found.text().replace("&", "") == text)


def test_what_is_no_mask_is_refused_with_its_sentence(
    viewer: ViewerModel, nifti_file: Callable[..., Path], chosen: ChosenFile
) -> None:
    path = nifti_file("scan.nii", np.full((3, 4, 5), -2, dtype=np.int16))
    chosen.path = path
    run("open_mask", viewer)
    assert len(viewer.layers) == 1
    assert "values that are no labels" in last_message()


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("command", ["open_mask", "export_labels"])
def test_a_dialog_that_was_closed_does_nothing(command: str, viewer: ViewerModel) -> None:
    run("new_labels", viewer)
    run(command, viewer)
    assert len(viewer.layers) == 2


def test_exported_labels_of_napari_itself_lie_on_the_file_of_the_image(
    phantom: Volume, tmp_path: Path, chosen: ChosenFile
) -> None:
    viewer = ViewerModel()
    array, kwargs, _ = image_layer_data(phantom)
    image = viewer.add_image(array, **kwargs)
    viewer._new_labels()
    viewer.layers[-1].data[3, 4, 5] = 2
    chosen.path = tmp_path / "mask"
    run("export_labels", viewer)
    saved = read_labels(tmp_path / "mask.nii.gz")
    assert isinstance(image, Image)
    assert np.array_equal(saved.grid.affine, phantom.grid.affine)
    assert np.argwhere(saved.array).tolist() == [[3, 4, 5]]
    assert last_message() == "Saved mask.nii.gz."


def test_a_file_the_dialog_could_not_ask_about_is_asked_about(
    viewer: ViewerModel, tmp_path: Path, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mask.nii.gz").write_text("precious")
    run("new_labels", viewer)
    chosen.path = tmp_path / "mask"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    run("export_labels", viewer)
    assert (tmp_path / "mask.nii.gz").read_text() == "precious"


@pytest.mark.usefixtures("plugins")
def test_the_window_opens_files_and_saves_layers_as_nifti(viewer: ViewerModel, tmp_path: Path) -> None:
    run("new_labels", viewer)
    labels: Any = viewer.layers[-1]
    labels.data[2, 3, 4] = 9
    viewer.layers.selection = {labels}
    assert viewer.layers.save(str(tmp_path / "mask.nii.gz"), selected=True) == [str(tmp_path / "mask.nii.gz")]
    (opened,) = viewer.open(tmp_path / "mask.nii.gz", plugin="napari-knowsam")
    assert np.array_equal(opened.data, labels.data)
