from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QPoint, QSize
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QSlider, QToolButton, QVBoxLayout

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass, SliceState
from napari_knowsam.panels.annotate_panel import AnnotatePanel
from napari_knowsam.panels.class_table import ClassTable

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

LIVER, SPLEEN = LabelClass(2, "liver", (230, 75, 53)), LabelClass(5, "spleen", (77, 187, 213))
CLASSES = (BACKGROUND_CLASS, LIVER, SPLEEN)
STATES = [SliceState.UNLABELLED, SliceState.COMPLETE, SliceState.PARTIAL, SliceState.BACKGROUND_ONLY]
SIGNALS = (
    "image_chosen",
    "image_file_requested",
    "dicom_requested",
    "window_chosen",
    "labels_chosen",
    "new_labels_requested",
    "axis_chosen",
    "class_added",
    "class_removed",
)


@pytest.fixture
def panel(qtbot: QtBot) -> AnnotatePanel:
    made = AnnotatePanel()
    qtbot.addWidget(made)
    made.set_images(["CT", "MR"], "CT")
    made.set_labels(["CT labels"], "CT labels")
    made.set_classes(CLASSES, 255, frozenset({5}))
    made.marks.set_slices(STATES, {1}, {2}, {3: SliceState.BACKGROUND_ONLY})
    return made


def _button(panel: AnnotatePanel, text: str) -> QPushButton:
    return next(one for one in panel.findChildren(QPushButton) if one.text() == text)


def _checked(panel: AnnotatePanel) -> list[str]:
    return [one.text() for one in panel.findChildren(QPushButton) if one.isChecked()]


def _remove(panel: AnnotatePanel, row: int) -> None:
    button = panel.findChild(ClassTable).cellWidget(row, 3)
    assert isinstance(button, QToolButton)
    button.click()


def test_no_setter_emits_a_signal(panel: AnnotatePanel) -> None:
    table, brush, marks = panel.table, panel.brush, panel.marks
    signals = {
        **{name: getattr(panel, name) for name in SIGNALS},
        **{name: getattr(table, name) for name in ("class_chosen", "class_renamed", "class_recolored")},
        **{name: getattr(marks, name) for name in ("slice_requested", "mark_requested", "annotated_slice_requested")},
        "size_chosen": brush.size_chosen,
    }
    for name, told in signals.items():
        told.connect(lambda *_, name=name: pytest.fail(f"{name} was emitted"))
    panel.set_images(["a", "b"], "b")
    panel.set_images([], None)
    panel.set_labels(["c"], None)
    panel.set_labels(["c"], "c")
    panel.set_axis(2)
    panel.set_classes((BACKGROUND_CLASS, SPLEEN), 255, frozenset())
    panel.table.select_class(5)
    panel.table.select_class(255)
    panel.marks.set_slices(STATES, (), (), {})
    panel.marks.set_current_slice(2)
    panel.brush.set_size(8.0, 0.5)
    panel.set_windows(["Lung", "Bone"], "Bone")
    panel.set_message("Hello.")


@pytest.mark.parametrize(
    ("row", "text", "signal", "value"),
    [
        (0, "MR", "image_chosen", "MR"),
        (1, "CT labels", "labels_chosen", "CT labels"),
        (2, "Sagittal (x)", "axis_chosen", 2),
    ],
)
def test_choosing_in_a_combo_box_emits_a_signal(
    qtbot: QtBot, panel: AnnotatePanel, row: int, text: str, signal: str, value: object
) -> None:
    box = panel.findChildren(QComboBox)[row]
    index = box.findText(text)
    with qtbot.waitSignal(getattr(panel, signal)) as chosen:
        box.activated.emit(index)
        box.textActivated.emit(text)
    assert chosen.args == [value]


def test_without_an_image_nothing_can_be_painted_and_the_panel_says_why(panel: AnnotatePanel) -> None:
    panel.set_images([], None)
    assert panel.findChildren(QComboBox)[0].placeholderText() == "Open an image first"
    assert not panel.findChild(ClassTable).isEnabled()
    assert not _button(panel, "Complete").isEnabled()
    panel.set_images(["CT"], "CT")
    assert panel.findChild(ClassTable).isEnabled()


@pytest.mark.parametrize(
    ("index", "button", "sentence"),
    [
        (0, [], "Slice 1 of 4: not painted"),
        (1, ["Complete"], "Slice 2 of 4: complete (corrected)"),
        (2, ["Partly painted"], "Slice 3 of 4: partly painted (outlined)"),
        (3, ["Background only"], "Slice 4 of 4: background only"),
        (9, [], "No slice is shown."),
    ],
)
def test_the_current_slice_is_described_in_words_and_by_its_button(
    panel: AnnotatePanel, index: int, button: list[str], sentence: str
) -> None:
    panel.marks.set_current_slice(index)
    assert _checked(panel) == button
    assert sentence in [label.text() for label in panel.findChildren(QLabel)]


def _show(panel: AnnotatePanel) -> None:
    """Show the panel with no more room for its parts than they need, as in the dock."""
    column = panel.layout()
    assert isinstance(column, QVBoxLayout)
    column.addStretch(1)
    panel.resize(340, 700)
    panel.show()


def test_nothing_moves_where_the_words_for_a_slice_take_two_lines(panel: AnnotatePanel) -> None:
    _show(panel)
    tops = []
    for index in (0, 2):
        panel.marks.set_current_slice(index)
        QApplication.processEvents()
        tops.append(_button(panel, "Complete").mapTo(panel, QPoint(0, 0)).y())
    assert tops[0] == tops[1]


@pytest.mark.parametrize(
    ("index", "text", "wish"),
    [
        (0, "Complete", SliceState.COMPLETE),
        (0, "Background only", SliceState.BACKGROUND_ONLY),
        (1, "Partly painted", SliceState.PARTIAL),
        (1, "Complete", SliceState.COMPLETE),
        (3, "Background only", None),
    ],
)
def test_a_mark_is_a_wish_and_shows_only_once_it_is_granted(
    qtbot: QtBot, panel: AnnotatePanel, index: int, text: str, wish: SliceState | None
) -> None:
    panel.marks.set_current_slice(index)
    before = _checked(panel)
    with qtbot.waitSignal(panel.marks.mark_requested) as asked:
        _button(panel, text).click()
    assert asked.args == [wish]
    assert _checked(panel) == before


@pytest.mark.parametrize(("text", "direction"), [("◀", -1), ("▶", 1)])
def test_the_arrows_ask_for_the_annotated_slice_on_their_side(
    qtbot: QtBot, panel: AnnotatePanel, text: str, direction: int
) -> None:
    with qtbot.waitSignal(panel.marks.annotated_slice_requested) as asked:
        _button(panel, text).click()
    assert asked.args == [direction]


def test_the_arrows_are_off_while_nothing_is_annotated(panel: AnnotatePanel) -> None:
    panel.marks.set_slices([SliceState.UNLABELLED] * 4, (), (), {})
    assert not _button(panel, "▶").isEnabled()


def test_an_unpainted_class_is_removed_without_a_question(
    qtbot: QtBot, panel: AnnotatePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "confirm_removal", lambda _one: pytest.fail("asked about an unpainted class"))
    with qtbot.waitSignal(panel.class_removed) as removed:
        _remove(panel, 1)
    assert removed.args == [2]


@pytest.mark.parametrize("answer", [True, False])
def test_a_painted_class_is_removed_only_if_the_person_says_so(
    panel: AnnotatePanel, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked: list[LabelClass] = []
    removed: list[int] = []

    def confirm(label_class: LabelClass) -> bool:
        asked.append(label_class)
        return answer

    monkeypatch.setattr(panel, "confirm_removal", confirm)
    panel.class_removed.connect(removed.append)
    _remove(panel, 2)
    assert asked == [SPLEEN]
    assert removed == ([5] if answer else [])


def test_a_class_painted_since_the_classes_changed_is_asked_about_too(
    panel: AnnotatePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[LabelClass] = []
    monkeypatch.setattr(panel, "confirm_removal", lambda one: asked.append(one))
    panel.set_painted(frozenset({2}))
    _remove(panel, 1)
    assert asked == [LIVER]


def test_add_class_and_new_labels_are_wishes(qtbot: QtBot, panel: AnnotatePanel) -> None:
    with qtbot.waitSignals([panel.class_added, panel.new_labels_requested]):
        _button(panel, "Add class").click()
        _button(panel, "New").click()


def test_classes_can_be_added_by_clicks_on_one_spot(panel: AnnotatePanel) -> None:
    _show(panel)
    tops = []
    for count in (1, 3):
        added = (LabelClass(value, f"class {value}", (1, 2, 3)) for value in range(1, count + 1))
        panel.set_classes((BACKGROUND_CLASS, *added), 9, frozenset())
        QApplication.processEvents()
        tops.append(_button(panel, "Add class").mapTo(panel, QPoint(0, 0)).y())
    assert tops[0] == tops[1]


def test_every_control_has_a_tooltip_and_marks_name_their_key(panel: AnnotatePanel) -> None:
    controls = [*panel.findChildren(QPushButton), *panel.findChildren(QComboBox), *panel.findChildren(QToolButton)]
    assert [one for one in controls if not one.toolTip()] == []
    for text, key in (("Complete", "(K)"), ("Partly painted", "(J)"), ("Background only", "(G)"), ("▶", "(N)")):
        assert _button(panel, text).toolTip().endswith(key)


def test_long_names_do_not_make_the_panel_wider_than_a_narrow_dock(panel: AnnotatePanel) -> None:
    name = "a volume with a very long name " * 5
    panel.set_images([name], name)
    panel.set_windows([name], name)
    panel.set_classes((BACKGROUND_CLASS, LabelClass(1, name, (1, 2, 3))), 255, frozenset())
    size = panel.minimumSizeHint()
    assert isinstance(size, QSize)
    assert size.width() <= 350


@pytest.mark.parametrize(("seen", "said"), [(0, None), (1, "Coronal slices"), (None, "The whole volume")])
def test_a_plane_that_is_only_looked_at_is_named(panel: AnnotatePanel, seen: int | None, said: str | None) -> None:
    panel.set_axis(0)
    panel.set_seen_axis(seen)
    sentences = [one.text() for one in panel.findChildren(QLabel) if "on the screen" in one.text()]
    shown = [one for one in panel.findChildren(QLabel) if "on the screen" in one.text() and not one.isHidden()]
    assert len(sentences) == 1
    assert [one.text().startswith(said or "") for one in shown] == ([] if said is None else [True])


def test_the_brush_is_chosen_in_pixels_and_shown_in_mm(qtbot: QtBot, panel: AnnotatePanel) -> None:
    panel.brush.set_size(3.0, 0.625)
    slider = panel.findChild(QSlider)
    assert slider.value() == 5
    assert "3.0 mm" in [label.text() for label in panel.findChildren(QLabel)]
    with qtbot.waitSignal(panel.brush.size_chosen) as chosen:
        slider.setValue(20)
    assert chosen.args == [12.5]
    assert "12 mm" in [label.text() for label in panel.findChildren(QLabel)]


def test_windows_are_shown_only_where_there_are_some(qtbot: QtBot, panel: AnnotatePanel) -> None:
    assert panel._windows.isHidden()
    panel.set_windows(["Lung", "Bone"], "Bone")
    assert not panel._windows.isHidden()
    assert panel._windows.currentText() == "Bone"
    with qtbot.waitSignal(panel.window_chosen) as chosen:
        panel._windows.textActivated.emit("Lung")
    assert chosen.args == ["Lung"]
    panel.set_windows(["Lung", "Bone"], None)
    assert panel._windows.currentIndex() == -1


@pytest.mark.parametrize(
    ("entry", "signal"), [("Image file…", "image_file_requested"), ("DICOM folder…", "dicom_requested")]
)
def test_an_image_is_opened_from_the_panel(qtbot: QtBot, panel: AnnotatePanel, entry: str, signal: str) -> None:
    with qtbot.waitSignal(getattr(panel, signal)):
        next(one for one in _button(panel, "Open").menu().actions() if one.text() == entry).trigger()
