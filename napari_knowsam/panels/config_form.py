"""A form made from the public fields of a configuration, so that every setting stands once, in `knowsam.config`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import Field, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from knowsam.config import Config
from knowsam.errors import ConfigError
from knowsam.setting import Section, Setting, setting_of
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.wheel_guard import WheelGuard
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

_AUTO_CHOICES = (("auto", None), ("on", True), ("off", False))
"""What can be chosen for a part that the plan of the training may decide on."""

ConfigT = TypeVar("ConfigT", bound=Config | Section)

_UNIT_WORDS = {"px": "px", "%": "percent", "degrees": "deg", "s": "s", "mm": "mm", "slices": "slices", "MiB": "mib"}
"""The word at the end of a setting's name that says its unit."""


def label_of(name: str, unit: str = "") -> str:
    """Return the label of a setting for people.

    >>> label_of("max_side_px", "px"), label_of("learning_rate")
    ('Max side (px)', 'Learning rate')
    """
    words = name.split("_")
    if unit and words[-1] == _UNIT_WORDS.get(unit):
        words.pop()
    text = " ".join(words).capitalize()
    return f"{text} ({unit})" if unit else text


class ConfigForm(QWidget, Generic[ConfigT]):
    """Edits a whole configuration, one section shown at a time, or a single section.

    Parameters
    ----------
    config : the settings shown at first.
    hidden : names of settings that are chosen elsewhere; they keep their value.
    """

    changed = Signal()

    def __init__(self, config: ConfigT, parent: QWidget | None = None, *, hidden: Collection[str] = ()) -> None:
        super().__init__(parent)
        self._config: ConfigT = config
        self._entries: dict[str, dict[str, ValueWidget[Any]]] = {}
        self._pages: list[QWidget] = []
        self._is_being_set = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._choice = ChoiceBox("Which settings are shown below.")
        self._choice.currentIndexChanged.connect(self._on_page_chosen)
        self._column.addWidget(self._choice)
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._problem.setAccessibleName("Problem")
        for name, section in _sections(config).items():
            self._add_page(name, section, hidden)
        self._choice.setVisible(len(self._pages) > 1)
        self._column.addWidget(self._problem)
        self._refresh_problem()

    def value(self) -> ConfigT:
        """Return the settings as they stand in the form.

        Raises
        ------
        ConfigError
            If an entry is no number or the settings do not fit together.
        """
        edited: dict[str, Any] = {
            name: self._section(name, section) for name, section in _sections(self._config).items()
        }
        return cast("ConfigT", Config(**edited) if isinstance(self._config, Config) else edited[""])

    def problem(self) -> str:
        """Return what is wrong with the entries, in a sentence; empty if nothing is."""
        try:
            self.value()
        except ConfigError as error:
            return str(error)
        return ""

    def reset(self) -> None:
        """Go back to the defaults."""
        self.set_value(type(self._config)())

    def set_value(self, config: ConfigT) -> None:
        """Show these settings."""
        self._config = config
        self._is_being_set = True
        for name, section in _sections(config).items():
            for key, entry in self._entries[name].items():
                entry.value = _shown(getattr(section, key))
        self._is_being_set = False
        self._on_changed()

    def _add_page(self, name: str, section: Section, hidden: Collection[str]) -> None:
        shown = [field for field in fields(section) if setting_of(field).is_public and field.name not in hidden]  # type: ignore[arg-type]
        entries = self._entries.setdefault(name, {})
        if not shown:
            return
        page = QWidget()
        form = QFormLayout(page)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(_about(section))
        for config_field in shown:
            entry = _entry(config_field, getattr(section, config_field.name))
            entry.changed.connect(self._on_changed)
            entries[config_field.name] = entry
            form.addRow(_row_label(config_field), entry.native)
        self._pages.append(page)
        self._column.addWidget(page)
        with QSignalBlocker(self._choice):
            self._choice.addItem(label_of(name))
        page.setVisible(len(self._pages) == 1)

    def _section(self, name: str, section: Section) -> Section:
        entries = self._entries[name]
        given = {key: _read(key, entry.value, getattr(section, key)) for key, entry in entries.items()}
        try:
            return replace(section, **given)  # type: ignore[type-var]
        except ConfigError as error:
            raise ConfigError(_with_labels(str(error), section)) from error

    def _on_page_chosen(self, chosen: int) -> None:
        for index, page in enumerate(self._pages):
            page.setVisible(index == chosen)

    def _on_changed(self) -> None:
        if not self._is_being_set:
            self._refresh_problem()
            self.changed.emit()

    def _refresh_problem(self) -> None:
        problem = self.problem()
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))


def _sections(config: Config | Section) -> dict[str, Section]:
    """Return the sections by name; a single section has none."""
    return dict(config.sections()) if isinstance(config, Config) else {"": config}


def _entry(config_field: Field[Any], value: Any) -> ValueWidget[Any]:
    """Return the widget that edits one setting."""
    rules = setting_of(config_field)
    entry: ValueWidget[Any]
    if "None" in str(config_field.type):
        entry = ComboBox(value=value, choices=_AUTO_CHOICES)
    elif isinstance(value, bool):
        entry = CheckBox(value=value)
    elif rules.choices:
        entry = ComboBox(value=value, choices=rules.choices)
    elif isinstance(value, int):
        entry = SpinBox(value=value, min=int(rules.low or 0), max=int(rules.high or 0))
    else:
        # A text, because a spin box rounds 1e-6 to the decimals it shows.
        entry = LineEdit(value=_shown(value))
    entry.tooltip = _help_text(rules)
    entry.native.setToolTip(entry.tooltip)
    WheelGuard(entry.native)
    return entry


def _about(section: Section) -> QLabel:
    """Return what a section is about, and in which units, as it says of itself."""
    return WrappedLabel(" ".join((type(section).__doc__ or "").split()))


def _row_label(config_field: Field[Any]) -> QLabel:
    rules = setting_of(config_field)
    label = QLabel(label_of(config_field.name, rules.unit))
    label.setWordWrap(True)
    label.setToolTip(_help_text(rules))
    return label


def _help_text(rules: Setting) -> str:
    if rules.low is None or rules.high is None:
        return rules.help
    return f"{rules.help} From {rules.low:g} to {rules.high:g}."


def _shown(value: Any) -> Any:
    """Return a value as its widget takes it; a float as the shortest text that loses no digit."""
    return repr(value) if isinstance(value, float) else value


def _read(name: str, entered: Any, default: Any) -> Any:
    """Return what was entered, in the type of the setting."""
    if not isinstance(default, float):
        return entered
    try:
        return float(entered.replace(",", "."))
    except ValueError as error:
        raise ConfigError(
            f"{label_of(name)} is “{entered}”, but a number was expected. Type one such as 0.002 or 2e-3."
        ) from error


def _with_labels(sentence: str, section: Section) -> str:
    """Replace the name of a setting at the start of a sentence by its label."""
    name, _, rest = sentence.partition(" ")
    known = {config_field.name for config_field in fields(section)}  # type: ignore[arg-type]
    return f"{label_of(name)} {rest}" if name in known else sentence
