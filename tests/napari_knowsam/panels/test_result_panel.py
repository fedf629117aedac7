from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qtpy.QtWidgets import QAbstractButton, QSlider, QTableWidget

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.measurements import Measurement
from napari_knowsam.panels import export_dialog
from napari_knowsam.panels.result_panel import ResultPanel
from napari_knowsam.panels.volume_table import volume_text

if TYPE_CHECKING:
    from chosen_file import ChosenFile
    from pytestqt.qtbot import QtBot

SIGNALS = (
    "live_toggled",
    "opacity_chosen",
    "uncertainty_toggled",
    "bar.accept_slice_requested",
    "bar.accept_between_requested",
    "bar.accept_all_requested",
    "undo_requested",
    "redo_requested",
    "export_requested",
)

RTSTRUCT = "DICOM structure set for radiotherapy (*.rtstruct.dcm)"
FILES = ["NIfTI (*.nii.gz *.nii)", "3D Slicer segmentation, NRRD (*.seg.nrrd *.nrrd)", "MetaImage (*.mha)"]
FILES += ["Surface of each class, STL (*.stl)", "Surfaces of all classes, OBJ (*.obj)"]
FILES += ["Report with pictures and measurements (*.html)"]


@pytest.fixture
def panel(qtbot: QtBot) -> ResultPanel:
    made = ResultPanel()
    qtbot.addWidget(made)
    made.set_has_prediction(True)
    return made


def _button(panel: ResultPanel, text: str) -> QAbstractButton:
    return next(one for one in panel.findChildren(QAbstractButton) if one.text() == text)


def test_no_setter_emits_a_signal(panel: ResultPanel) -> None:
    for name in SIGNALS:
        attrgetter(name)(panel).connect(lambda *_, name=name: pytest.fail(f"{name} was emitted"))
    for value in (True, False):
        panel.set_live(value)
        panel.set_has_prediction(value)
        panel.set_opacity(float(value))
    panel.set_volumes([(LabelClass(1, "liver", (1, 2, 3)), 3.0)], {}, ())
    panel.set_history("accept slice 12", None)
    panel.set_message("Saved.")
    panel.set_suggested_name("mask.nii.gz")


def test_without_a_prediction_only_a_model_can_be_opened_and_the_history_used(panel: ResultPanel) -> None:
    panel.set_history("painting of slice 3", None)
    panel.set_has_prediction(False)
    enabled = [one.text() for one in panel.findChildren(QAbstractButton) if one.isEnabled()]
    assert enabled == ["Model", "Undo"]
    assert not panel.findChild(QSlider).isEnabled()


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("Slice", "bar.accept_slice_requested"),
        ("Between", "bar.accept_between_requested"),
        ("All", "bar.accept_all_requested"),
        ("Undo", "undo_requested"),
        ("Redo", "redo_requested"),
    ],
)
def test_each_button_is_its_wish(qtbot: QtBot, panel: ResultPanel, text: str, signal: str) -> None:
    panel.set_history("a", "b")
    with qtbot.waitSignal(attrgetter(signal)(panel)):
        _button(panel, text).click()


@pytest.mark.parametrize(
    ("text", "signal"),
    [("Live segmentation", "live_toggled"), ("Uncertainty", "uncertainty_toggled")],
)
def test_a_switch_emits_its_new_position(qtbot: QtBot, panel: ResultPanel, text: str, signal: str) -> None:
    box = _button(panel, text)
    with qtbot.waitSignal(attrgetter(signal)(panel)) as toggled:
        box.click()
    assert toggled.args == [box.isChecked()]


def test_opacity_is_a_share_of_one(qtbot: QtBot, panel: ResultPanel) -> None:
    panel.set_opacity(0.3)
    slider = panel.findChild(QSlider)
    assert slider.value() == 30
    with qtbot.waitSignal(panel.opacity_chosen) as chosen:
        slider.setValue(75)
    assert chosen.args == [0.75]


def test_the_history_is_named_in_the_tooltips_and_none_switches_off(panel: ResultPanel) -> None:
    panel.set_history("accept slice 12", None)
    undo, redo = _button(panel, "Undo"), _button(panel, "Redo")
    assert (undo.toolTip(), undo.isEnabled()) == ("Undo accept slice 12 (Ctrl+Z)", True)
    assert (redo.toolTip(), redo.isEnabled()) == ("Nothing to redo (Ctrl+Shift+Z)", False)


@pytest.mark.parametrize(
    ("dice", "open_ended", "text"),
    [
        ({2: 0.934}, [], "Dice ≈ 0.93"),
        ({2: 0.934}, [2], "Dice ≈ 0.93, ends?"),
        ({2: None}, [1], "Dice: cannot tell"),
        ({}, [2], ""),
    ],
)
def test_volumes_are_listed_without_background_beside_the_probable_dice(
    panel: ResultPanel, dice: dict[int, float | None], open_ended: list[int], text: str
) -> None:
    panel.set_volumes([(BACKGROUND_CLASS, 9e5), (LabelClass(2, "liver", (1, 2, 3)), 1532.44)], dice, open_ended)
    table = panel.findChild(QTableWidget)
    assert [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())] == [
        ["liver", text, "1532.4 ml"]
    ]
    panel.set_volumes([], {}, ())
    assert table.isHidden()


@pytest.mark.parametrize(("pieces", "ending"), [(1, ""), (3, ", across 3 pieces")])
def test_the_tooltip_of_a_class_has_its_measures(panel: ResultPanel, pieces: int, ending: str) -> None:
    panel.set_measurements([Measurement(2, 1532.44, 183.21, pieces, 102.345, 14.06), Measurement(5, 0.0, 0.0, 0)])
    panel.set_volumes([(LabelClass(2, "liver", (1, 2, 3)), 1532.44), (LabelClass(5, "cyst", (3, 2, 1)), 0.0)], {}, ())
    table = panel.findChild(QTableWidget)
    assert table.item(0, 2).toolTip().splitlines() == [
        "liver: 1532.4 ml",
        f"Largest diameter: 183.2 mm, in any direction{ending}",
        "Grey values: 102.34 ± 14.1 (mean ± standard deviation)",
    ]
    assert table.item(1, 0).toolTip() == "cyst: 0.000 ml"


@pytest.mark.parametrize(
    ("volume_ml", "text"),
    [(0.0, "0.000 ml"), (0.0321, "0.032 ml"), (2.345, "2.35 ml"), (23.456, "23.5 ml"), (1234.56, "1234.6 ml")],
)
def test_volumes_have_the_digits_that_matter(volume_ml: float, text: str) -> None:
    assert volume_text(volume_ml) == text


def test_export_emits_the_chosen_path_and_nothing_if_there_is_none(
    qtbot: QtBot, panel: ResultPanel, chosen: ChosenFile
) -> None:
    chosen.path = "/out/mask.nii.gz"
    with qtbot.waitSignal(panel.export_requested) as asked:
        _button(panel, "Export…").click()
    assert asked.args == [Path("/out/mask.nii.gz")]
    chosen.path = ""
    with qtbot.assertNotEmitted(panel.export_requested):
        _button(panel, "Export…").click()


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("mask.nii.gz", "mask.nii.gz"),
        ("mask.NII", "mask.NII"),
        ("mask", "mask.nii.gz"),
        ("liver.v2", "liver.v2.nii.gz"),
    ],
)
def test_the_dialog_starts_with_the_suggested_name_and_gives_a_nifti_name(
    panel: ResultPanel, chosen: ChosenFile, tmp_path: Path, typed: str, written: str
) -> None:
    chosen.path = tmp_path / typed
    panel.set_suggested_name("CT_mask.nii.gz")
    assert panel.ask_export_path() == tmp_path / written
    assert [suggested for _, _, suggested, _ in chosen.asked] == ["CT_mask.nii.gz"]


@pytest.mark.parametrize(
    ("typed", "kind", "written"),
    [
        ("CT_mask.nii.gz", "DICOM segmentation (*.dcm)", "CT_mask.dcm"),
        ("seg", "DICOM segmentation (*.dcm)", "seg.dcm"),
        ("seg.DCM", "DICOM segmentation (*.dcm)", "seg.DCM"),
        ("seg.dcm", "NIfTI (*.nii.gz *.nii)", "seg.dcm"),
        ("seg.dcm", RTSTRUCT, "seg.rtstruct.dcm"),
        ("seg.rtstruct.dcm", RTSTRUCT, "seg.rtstruct.dcm"),
        ("seg.rtstruct.dcm", "DICOM segmentation (*.dcm)", "seg.dcm"),
        ("seg.nii.gz", "MetaImage (*.mha)", "seg.mha"),
        ("seg", "3D Slicer segmentation, NRRD (*.seg.nrrd *.nrrd)", "seg.seg.nrrd"),
        ("seg", "NIfTI (*.nii.gz *.nii)", "seg.nii.gz"),
    ],
)
def test_for_a_dicom_image_a_segmentation_is_offered(
    panel: ResultPanel, chosen: ChosenFile, tmp_path: Path, typed: str, kind: str, written: str
) -> None:
    chosen.path, chosen.kind = tmp_path / typed, kind
    panel.set_suggested_name("CT_mask.nii.gz", dicom=True)
    assert panel.ask_export_path() == tmp_path / written
    assert chosen.asked[0][-1].split(";;") == [*FILES, "DICOM segmentation (*.dcm)", RTSTRUCT]


def test_for_another_image_no_segmentation_is_offered(panel: ResultPanel, chosen: ChosenFile) -> None:
    panel.ask_export_path()
    assert chosen.asked[0][-1] == ";;".join(FILES)


@pytest.mark.parametrize("answer", [True, False])
def test_a_file_the_dialog_did_not_ask_about_is_asked_about(
    panel: ResultPanel, chosen: ChosenFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bool
) -> None:
    existing = tmp_path / "mask.nii.gz"
    existing.touch()
    chosen.path = tmp_path / "mask"
    monkeypatch.setattr(export_dialog, "confirm_overwrite", lambda *_: answer)
    assert panel.ask_export_path() == (existing if answer else None)


@pytest.mark.usefixtures("chosen")
def test_a_cancelled_dialog_gives_no_path(panel: ResultPanel) -> None:
    assert panel.ask_export_path() is None


def test_every_button_has_a_tooltip_and_the_panel_fits_a_narrow_dock(panel: ResultPanel) -> None:
    assert [one.text() for one in panel.findChildren(QAbstractButton) if one.text() and not one.toolTip()] == []
    panel.set_volumes([(LabelClass(1, "a class with a very long name " * 4, (1, 2, 3)), 1.0)], {1: None}, {1})
    assert max(panel.minimumSizeHint().width(), panel.bar.minimumSizeHint().width()) <= 350
