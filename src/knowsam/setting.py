"""A setting of the method: a dataclass field with its range, unit, help and the source of its default."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from knowsam.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """What a person needs to know of one setting.

    Parameters
    ----------
    help : one sentence for a user.
    unit : unit of the value, empty if it has none.
    low, high : inclusive range of a number.
    choices : the permitted words of a text setting.
    source : where the default comes from.
    is_public : whether it is an option of the command line and of the window; the others are for experiments in Python.
    """

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    source: str = ""
    is_public: bool = False


def setting(default: Any, help: str, **details: Any) -> Any:
    """Declare a dataclass field that carries its own `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, **details)})


def public(default: Any, help: str, **details: Any) -> Any:
    """Declare a setting that people choose, not only experiments."""
    return setting(default, help, is_public=True, **details)


def setting_of(config_field: Field[Any]) -> Setting:
    """Return the `Setting` of a field of a section."""
    found: Setting = config_field.metadata["setting"]
    return found


class Section:
    """One group of settings; checks every value against its declared range when built."""

    def __post_init__(self) -> None:
        for config_field in fields(self):  # type: ignore[arg-type]
            _check(config_field.name, getattr(self, config_field.name), setting_of(config_field))


def _check(name: str, value: Any, rules: Setting) -> None:
    if rules.choices and value not in rules.choices:
        raise ConfigError(f"{name} is {value!r}, but must be one of {', '.join(rules.choices)}. Choose one of these.")
    below = rules.low is not None and value < rules.low
    above = rules.high is not None and value > rules.high
    # A NaN is neither below nor above anything, so it is asked for by name.
    if below or above or value != value:
        raise ConfigError(f"{name} is {value}, but must lie between {rules.low} and {rules.high}.")
