from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QLabel

from knowsam.config import Config, PlaneConfig, TrainingConfig
from knowsam.errors import ConfigError
from knowsam.setting import setting_of
from napari_knowsam.panels.config_form import ConfigForm, label_of

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

CHANGED = Config().with_values(
    semi_supervised="ua_mt",
    max_side_px=128,
    clip_percent=0.25,
    norm="group",
    learning_rate=1e-6,
    gradient_norm=1e6,
    shift=0.123456789,
)


@pytest.fixture
def form(qtbot: QtBot) -> ConfigForm[Config]:
    made = ConfigForm(Config())
    qtbot.addWidget(made)
    return made


def _entry(form: ConfigForm[Any], section: str, name: str) -> Any:
    return form._entries[section][name]


@pytest.mark.parametrize("config", [Config(), Config.paper(), CHANGED])
def test_a_form_gives_back_exactly_the_configuration_it_shows(qtbot: QtBot, config: Config) -> None:
    form = ConfigForm(config)
    qtbot.addWidget(form)
    assert form.value() == config
    assert form.problem() == ""


@pytest.mark.parametrize("section", [section for _, section in Config().sections()], ids=lambda one: type(one).__name__)
def test_a_single_section_has_a_form_too(qtbot: QtBot, section: Any) -> None:
    form = ConfigForm(section)
    qtbot.addWidget(form)
    assert form.value() == section
    assert type(form.value()) is type(section)


def test_every_public_setting_and_no_other_has_an_entry_with_its_help(form: ConfigForm[Config]) -> None:
    for name, section in Config().sections():
        public = {f.name: setting_of(f) for f in fields(section) if setting_of(f).is_public}  # type: ignore[arg-type]
        assert form._entries[name].keys() == public.keys()
        for key, rules in public.items():
            assert _entry(form, name, key).native.toolTip().startswith(rules.help)


@pytest.mark.parametrize(
    ("name", "unit", "label"),
    [
        ("max_side_px", "px", "Max side (px)"),
        ("rotate_deg", "degrees", "Rotate (degrees)"),
        ("clip_percent", "%", "Clip (%)"),
        ("validate_every_s", "s", "Validate every (s)"),
        ("learning_rate", "", "Learning rate"),
        ("distance", "mm", "Distance (mm)"),
        ("half_distance_slices", "slices", "Half distance (slices)"),
        ("trunk_memory_mib", "MiB", "Trunk memory (MiB)"),
    ],
)
def test_labels_are_words_with_a_unit(name: str, unit: str, label: str) -> None:
    assert label_of(name, unit) == label


def test_every_page_says_what_it_is_about(form: ConfigForm[Config]) -> None:
    said = [label.text() for label in form.findChildren(QLabel)]
    assert any(text.startswith("How painted labels are propagated to other slices") for text in said)
    assert sum(text in said for text in (_about(section) for _, section in Config().sections())) == len(form._pages)


def _about(section: Any) -> str:
    return " ".join(type(section).__doc__.split())


def test_a_section_of_which_everything_is_chosen_elsewhere_has_no_page(qtbot: QtBot) -> None:
    form = ConfigForm(Config(), hidden=[one.name for one in fields(PlaneConfig)])
    qtbot.addWidget(form)
    assert "Plane" not in [form._choice.itemText(row) for row in range(form._choice.count())]
    assert form.value() == Config()


@pytest.mark.parametrize(
    ("text", "value"), [("2e-3", 0.002), ("0.0000123456789", 1.23456789e-05), ("1e-6", 1e-6), (" 0,5 ", 0.5)]
)
def test_numbers_are_read_without_losing_digits(form: ConfigForm[Config], text: str, value: float) -> None:
    _entry(form, "training", "learning_rate").value = text
    assert form.value().training.learning_rate == value


def test_each_change_is_emitted_once(qtbot: QtBot, form: ConfigForm[Config]) -> None:
    emitted: list[None] = []
    form.changed.connect(lambda: emitted.append(None))
    _entry(form, "method", "mixing").value = False
    assert len(emitted) == 1
    form.reset()
    assert len(emitted) == 2
    assert form.value() == Config()


def test_reset_gives_the_defaults_whatever_the_form_began_with(qtbot: QtBot) -> None:
    form = ConfigForm(Config.paper())
    qtbot.addWidget(form)
    form.reset()
    assert form.value() == Config()


@pytest.mark.parametrize(
    ("section", "name", "entered", "sentence"),
    [
        ("training", "learning_rate", "fast", "Learning rate is “fast”, but a number was expected."),
        ("training", "learning_rate", "", "Learning rate is “”, but a number was expected."),
        ("training", "learning_rate", "nan", "Learning rate is nan, but must lie between 1e-06 and 1.0."),
        ("training", "learning_rate", "5", "Learning rate is 5.0, but must lie between 1e-06 and 1.0."),
    ],
)
def test_what_does_not_hold_is_a_sentence_in_the_form_until_it_is_mended(
    form: ConfigForm[Config], section: str, name: str, entered: Any, sentence: str
) -> None:
    entry = _entry(form, section, name)
    before = entry.value
    entry.value = entered
    assert form.problem().startswith(sentence)
    assert form.problem() in [label.text() for label in form.findChildren(QLabel) if not label.isHidden()]
    with pytest.raises(ConfigError):
        form.value()
    entry.value = before
    assert form.problem() == ""
    assert form.value() == Config()


def test_one_section_is_shown_at_a_time(form: ConfigForm[Config]) -> None:
    choice = form.findChild(QComboBox)
    assert [choice.itemText(row) for row in range(3)] == ["Method", "Plane", "Propagation"]
    for row in (0, 7):
        choice.setCurrentIndex(row)
        assert [index for index, page in enumerate(form._pages) if not page.isHidden()] == [row]


def test_a_single_section_offers_no_choice_of_sections(qtbot: QtBot) -> None:
    form = ConfigForm(PlaneConfig())
    qtbot.addWidget(form)
    assert form.findChild(QComboBox).isHidden()


def test_a_hidden_setting_keeps_its_value(qtbot: QtBot) -> None:
    form = ConfigForm(Config.paper(), hidden=("variant",))
    qtbot.addWidget(form)
    assert "variant" not in form._entries["teacher"]
    assert form.value() == Config.paper()


def test_the_wheel_that_scrolls_past_an_entry_does_not_change_it(qtbot: QtBot) -> None:
    form = ConfigForm(TrainingConfig())
    qtbot.addWidget(form)
    form.show()
    spin = form.findChild(QAbstractSpinBox)
    spin.clearFocus()
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(spin, wheel)
    assert form.value() == TrainingConfig()
