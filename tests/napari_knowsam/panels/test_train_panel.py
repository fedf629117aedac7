from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QProgressBar, QPushButton, QSpinBox
from superqt import QCollapsible

from knowsam.config import Config
from knowsam.errors import ConfigError
from knowsam.models.compact_sam import WEIGHTS_FILE
from knowsam.training.events import Stage
from napari_knowsam.panels.budget_choice import BudgetChoice
from napari_knowsam.panels.config_form import ConfigForm
from napari_knowsam.panels.start_choice import Start
from napari_knowsam.panels.teacher_choice import TeacherChoice
from napari_knowsam.panels.train_panel import TrainPanel
from napari_knowsam.panels.training_plot import TrainingPlot

if TYPE_CHECKING:
    from chosen_file import ChosenFile
    from pytestqt.qtbot import QtBot


@pytest.fixture
def panel(qtbot: QtBot) -> TrainPanel:
    made = TrainPanel()
    qtbot.addWidget(made)
    return made


def _buttons(panel: TrainPanel) -> tuple[QPushButton, QPushButton, QPushButton]:
    """Return the buttons that start, pause or resume, and stop."""
    words = (("Train on my labels",), ("Pause", "Resume"), ("Stop",))
    train, pause, stop = (next(one for one in panel.findChildren(QPushButton) if one.text() in word) for word in words)
    return train, pause, stop


def _choose(box: QComboBox, text: str) -> None:
    box.setCurrentIndex(next(row for row in range(box.count()) if box.itemText(row).startswith(text)))
    box.activated.emit(box.currentIndex())


@pytest.mark.parametrize(
    ("stage", "enabled", "pause_text"),
    [
        (None, (True, False, False), "Pause"),
        (Stage.PREPARING, (False, True, True), "Pause"),
        (Stage.TRAINING, (False, True, True), "Pause"),
        (Stage.PAUSED, (False, True, True), "Resume"),
    ],
)
def test_each_stage_offers_its_buttons(
    panel: TrainPanel, stage: Stage | None, enabled: tuple[bool, ...], pause_text: str
) -> None:
    panel.set_stage(stage)
    assert panel.findChild(QProgressBar).text()
    train, pause, stop = _buttons(panel)
    assert (train.isEnabled(), pause.isEnabled(), stop.isEnabled()) == enabled
    assert (train.text(), pause.text(), stop.text()) == ("Train on my labels", pause_text, "Stop")


def test_the_buttons_are_wishes(qtbot: QtBot, panel: TrainPanel) -> None:
    train, pause, stop = _buttons(panel)
    with qtbot.waitSignal(panel.bar.train_requested):
        train.click()
    panel.set_stage(Stage.TRAINING)
    with qtbot.waitSignals([panel.bar.pause_requested, panel.bar.stop_requested]):
        pause.click()
        stop.click()
    panel.set_stage(Stage.PAUSED)
    with qtbot.assertNotEmitted(panel.bar.pause_requested), qtbot.waitSignal(panel.bar.resume_requested):
        pause.click()


@pytest.mark.parametrize(("text", "seconds"), [("Quick", 60), ("Standard", 300), ("Thorough", 1800), ("Own", 420)])
def test_the_budget_is_what_is_chosen(panel: TrainPanel, text: str, seconds: float) -> None:
    choice = panel.findChild(BudgetChoice)
    minutes = choice.findChild(QSpinBox)
    minutes.setValue(7)
    _choose(choice.findChild(QComboBox), text)
    assert panel.budget().seconds == seconds
    assert minutes.isHidden() is (text != "Own")


def test_one_minute_with_the_compact_sam_on_the_fastest_device_is_the_default(panel: TrainPanel) -> None:
    assert (panel.budget().seconds, panel.teacher(), panel.device()) == (60.0, "compact", "auto")
    assert panel.config() == Config()


@pytest.mark.parametrize(
    ("text", "teacher", "variant"),
    [
        ("SAM ViT-B", "vit_b", "vit_b"),
        ("SAM ViT-H", "vit_h", "vit_h"),
        ("SAM 2.1 base plus", "sam2.1-hiera-base-plus", "sam2"),
        ("EdgeTAM", "edgetam", "edgetam"),
        ("None", "none", "none"),
    ],
)
def test_the_teacher_is_part_of_the_configuration(panel: TrainPanel, text: str, teacher: str, variant: str) -> None:
    _choose(panel.findChild(TeacherChoice), text)
    assert panel.teacher() == teacher
    assert panel.config().teacher.variant == variant


def test_the_teachers_say_whether_they_are_on_this_computer_and_what_they_need(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWSAM_WEIGHTS", str(tmp_path))
    folder = tmp_path / "sam2.1-hiera-tiny"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    choice = TeacherChoice()
    qtbot.addWidget(choice)
    words = [choice.itemText(row) for row in range(choice.count())]
    assert {"SAM ViT-L (1.2 GB download)", "SAM 2.1 tiny (on this computer)", "EdgeTAM (56 MB download)"} <= set(words)
    tooltip = choice.itemData(words.index("EdgeTAM (56 MB download)"), Qt.ItemDataRole.ToolTipRole)
    assert "https://huggingface.co/yonigozlan/EdgeTAM-hf, licence Apache 2.0" in tooltip
    assert 'pip install "napari-knowsam[edgetam]"' in tooltip


def test_a_teacher_from_a_file_is_its_path(panel: TrainPanel, chosen: ChosenFile) -> None:
    choice, chosen.path = panel.findChild(TeacherChoice), "/weights/medsam.pth"
    before = choice.count()
    for _ in range(2):
        _choose(choice, "From file")
        assert panel.teacher() == str(Path("/weights/medsam.pth"))
        assert choice.currentText() == "File medsam.pth"
    assert choice.count() == before + 1
    assert panel.config() == Config()


def test_a_teacher_from_a_folder_is_its_path_and_stays_when_settings_come_back(
    panel: TrainPanel, chosen: ChosenFile
) -> None:
    choice, chosen.path = panel.findChild(TeacherChoice), "/weights/sam2.1-hiera-tiny"
    _choose(choice, "From folder")
    assert panel.teacher() == str(Path("/weights/sam2.1-hiera-tiny"))
    assert choice.currentText() == "Folder sam2.1-hiera-tiny"
    for variant in ("sam2", "edgetam"):
        panel.set_config(Config().with_values(variant=variant))
        assert panel.teacher() == str(Path("/weights/sam2.1-hiera-tiny"))


@pytest.mark.usefixtures("chosen")
def test_declining_a_file_keeps_the_teacher_chosen_before(panel: TrainPanel) -> None:
    choice = panel.findChild(TeacherChoice)
    _choose(choice, "None")
    _choose(choice, "From file")
    assert panel.teacher() == "none"


def test_only_devices_that_are_there_are_offered_and_the_chosen_one_stays(panel: TrainPanel) -> None:
    device = panel._device
    assert [device.itemData(row) for row in range(device.count())] == ["auto", "cpu"]
    _choose(device, "Processor")
    panel.set_devices(["cuda", "cpu"])
    assert [device.itemData(row) for row in range(device.count())] == ["auto", "cpu", "cuda"]
    assert panel.device() == "cpu"


def _start(panel: TrainPanel, start: Start) -> None:
    panel._start.setCurrentIndex(panel._start.findData(start.value))
    panel._start.activated.emit(panel._start.currentIndex())


def test_going_on_from_the_last_training_is_the_default_and_offered_only_if_there_is_one(panel: TrainPanel) -> None:
    assert panel.start() is Start.NEW
    assert not panel._start.isEnabled()
    panel.set_can_continue(True)
    assert panel.start() is Start.LAST
    _start(panel, Start.NEW)
    panel.clear_plot(8)
    panel.set_can_continue(True)
    assert panel.start() is Start.NEW


def test_an_opened_model_is_begun_with_once_and_what_is_known_of_it_is_shown(panel: TrainPanel) -> None:
    assert panel.model_box.isHidden()
    panel.set_can_continue(True)
    panel.set_model("atrium", "atrium: learnt from 7 slices.", "The card")
    assert panel.start() is Start.MODEL
    assert not panel.model_box.isHidden()
    assert "7 slices" in panel.model_box._facts.text()
    assert panel.model_box._facts.toolTip() == "The card"
    panel.clear_plot(8)
    panel.set_can_continue(True)
    assert panel.start() is Start.LAST
    panel.set_can_continue(False)
    assert panel.start() is Start.MODEL


def test_the_advanced_form_is_built_when_it_is_first_unfolded_and_then_counts(panel: TrainPanel) -> None:
    assert panel.findChild(ConfigForm) is None
    panel.findChild(QCollapsible).expand(animate=False)
    form = panel.findChild(ConfigForm)
    rate = next(one for one in form.findChildren(QLineEdit) if one.text() == "0.002")
    rate.setText("3e-3")
    assert panel.config() == Config().with_values(learning_rate=3e-3)
    next(one for one in panel.findChildren(QPushButton) if one.text() == "Reset to defaults").click()
    assert panel.config() == Config()


@pytest.mark.parametrize("is_unfolded", [False, True])
def test_settings_of_an_earlier_training_are_shown_again(panel: TrainPanel, is_unfolded: bool) -> None:
    section = panel.findChild(QCollapsible)
    if is_unfolded:
        section.expand(animate=False)
    earlier = Config().with_values(variant="none", max_side_px=64, mixing=True, learning_rate=1e-6)
    panel.set_config(earlier)
    section.expand(animate=False)
    assert panel.config() == earlier
    assert (panel.teacher(), panel.findChild(TeacherChoice).currentText()) == ("none", "None")


def test_settings_that_do_not_hold_keep_the_train_button_off(panel: TrainPanel) -> None:
    panel.findChild(QCollapsible).expand(animate=False)
    rate = next(one for one in panel.findChild(ConfigForm).findChildren(QLineEdit) if one.text() == "0.002")
    rate.setText("fast")
    train = next(one for one in panel.findChildren(QPushButton) if one.text() == "Train on my labels")
    assert not train.isEnabled()
    with pytest.raises(ConfigError, match="Learning rate is “fast”"):
        panel.config()
    rate.setText("0,01")
    assert train.isEnabled()
    assert panel.config().training.learning_rate == 0.01


@pytest.mark.parametrize("budget", ["Quick", "Thorough"])
@pytest.mark.parametrize(
    ("teacher", "hint"),
    [
        ("Compact SAM", "The compact SAM does not teach and slices are not mixed unless you ask for it."),
        ("None", "Slices are not mixed unless you ask for it."),
        ("SAM ViT-B", ""),
    ],
)
def test_parts_of_the_method_that_are_left_out_are_named(
    panel: TrainPanel, budget: str, teacher: str, hint: str
) -> None:
    _choose(panel.findChild(BudgetChoice).findChild(QComboBox), budget)
    _choose(panel.findChild(TeacherChoice), teacher)
    assert panel._hint.text().startswith(hint)
    assert panel._hint.isHidden() is not bool(hint)


def test_a_compact_sam_from_a_file_is_named_as_the_one_that_is_included(panel: TrainPanel, chosen: ChosenFile) -> None:
    chosen.path = str(WEIGHTS_FILE)
    _choose(panel.findChild(TeacherChoice), "From file")
    assert panel.teacher() == str(WEIGHTS_FILE)
    assert panel._hint.text().startswith("The compact SAM does not teach")
    panel.set_config(Config().with_values(variant="compact"))
    assert panel.teacher() == str(WEIGHTS_FILE)
    chosen.path = "/weights/medsam.pth"
    _choose(panel.findChild(TeacherChoice), "From file")
    assert panel._hint.isHidden()


def test_the_advanced_settings_decide_what_is_left_out(panel: TrainPanel) -> None:
    panel.findChild(QCollapsible).expand(animate=False)
    for part in ("distillation", "mixing"):
        assert panel._hint.isHidden() is False
        panel._form._entries["method"][part].value = True  # type: ignore[union-attr]
    assert panel._hint.isHidden()
    assert panel.config().method.mixing is True


def test_the_advanced_form_offers_nothing_that_changes_nothing_in_the_window(panel: TrainPanel) -> None:
    panel.findChild(QCollapsible).expand(animate=False)
    sections = panel.findChild(ConfigForm)._choice
    assert "Prediction" not in [sections.itemText(row) for row in range(sections.count())]
    assert "Propagation" in [sections.itemText(row) for row in range(sections.count())]
    assert panel.config() == Config()


def test_settings_can_be_locked_while_they_would_change_nothing(panel: TrainPanel) -> None:
    panel.set_can_continue(True)
    panel.set_settings_enabled(False)
    assert not any(box.isEnabled() for box in panel.findChildren(QComboBox))
    panel.set_settings_enabled(True)
    assert all(box.isEnabled() for box in panel.findChildren(QComboBox))


@pytest.mark.parametrize(
    ("seconds_left", "text"),
    [(None, "Training"), (42.4, "Training, 42 s left"), (200.0, "Training, 3 min left")],
)
def test_progress_is_shown_in_words_and_steps_only_in_the_tooltip(
    panel: TrainPanel, seconds_left: float | None, text: str
) -> None:
    panel.set_stage(Stage.TRAINING)
    panel.bar.set_progress(7, 0.25, seconds_left)
    bar = panel.findChild(QProgressBar)
    assert (bar.text(), bar.value()) == (text, 25)
    assert bar.toolTip().startswith("Step 7")


def test_a_score_is_shown_where_there_is_one_and_explained_in_its_tooltip(panel: TrainPanel) -> None:
    score = panel.bar._score
    assert score.text() == "Score -"
    assert "cannot" in score.toolTip()
    panel.bar.set_score(0.917)
    assert score.text() == "Score about 0.92"
    assert "Dice" in score.toolTip()
    panel.bar.set_score(0.917, is_open=True)
    assert score.text() == "Score about 0.92, ends?"
    assert "say so" in score.toolTip()
    panel.bar.set_score(None, is_open=True)
    assert score.text() == "Score -"


def test_the_curves_are_under_advanced_and_only_once_there_is_a_training(panel: TrainPanel) -> None:
    plot = panel.findChild(TrainingPlot)
    assert panel.findChild(QCollapsible).isAncestorOf(plot)
    assert plot.isHidden()
    panel.set_stage(Stage.PREPARING)
    panel.set_stage(None)
    assert not plot.isHidden()


def test_the_curves_can_be_unfolded_while_the_settings_are_locked(panel: TrainPanel) -> None:
    panel.set_settings_enabled(False)
    assert panel.findChild(QCollapsible).toggleButton().isEnabled()
    assert panel.findChild(TrainingPlot).isEnabled()


def test_it_fits_a_narrow_dock_with_everything_unfolded(panel: TrainPanel) -> None:
    panel.set_stage(Stage.PAUSED)
    panel.findChild(QCollapsible).expand(animate=False)
    panel.bar.set_message("A sentence that is much longer than the panel is wide. " * 4)
    assert max(panel.minimumSizeHint().width(), panel.bar.minimumSizeHint().width()) <= 350


@pytest.mark.parametrize(("lines_of_news", "is_cut_off"), [(2, False), (3, True)])
def test_news_of_two_lines_is_seen_under_a_sentence_of_four(
    panel: TrainPanel, lines_of_news: int, is_cut_off: bool
) -> None:
    message = panel.bar._message
    message.resize(300, 100)
    panel.bar.set_message("\n".join(["What is going on."] * 4 + ["News."] * lines_of_news))
    assert bool(message.toolTip()) is is_cut_off
