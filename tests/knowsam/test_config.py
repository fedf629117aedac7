from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import Field, fields
from typing import Any

import pytest

from knowsam.config import Config
from knowsam.errors import ConfigError
from knowsam.setting import setting_of


def all_fields() -> list[Field[Any]]:
    return [section_field for _, section in Config().sections() for section_field in fields(section)]  # type: ignore[arg-type]


def named(section_field: Field[Any]) -> str:
    return section_field.name


NUMBERS = [section_field for section_field in all_fields() if section_field.type in ("int", "float")]
TEXTS = [section_field for section_field in all_fields() if section_field.type == "str"]


def value_of(settings: Config, name: str) -> Any:
    (value,) = (getattr(section, name) for _, section in settings.sections() if hasattr(section, name))
    return value


def test_each_name_stands_in_one_section_only() -> None:
    names = [section_field.name for section_field in all_fields()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("section_field", all_fields(), ids=named)
def test_every_setting_explains_itself_in_a_sentence(section_field: Field[Any]) -> None:
    help_text = setting_of(section_field).help
    assert help_text[0].isupper()
    assert help_text.endswith(".")


@pytest.mark.parametrize("section_field", all_fields(), ids=named)
def test_every_setting_is_a_switch_a_number_or_a_choice(section_field: Field[Any]) -> None:
    rules = setting_of(section_field)
    has_range = rules.low is not None and rules.high is not None and rules.low < rules.high
    assert (section_field.type in ("bool", "bool | None")) + has_range + bool(rules.choices) == 1


@pytest.mark.parametrize("section_field", NUMBERS, ids=named)
def test_the_ends_of_a_range_are_allowed_and_what_lies_beyond_is_not(section_field: Field[Any]) -> None:
    name, rules = section_field.name, setting_of(section_field)
    assert rules.low is not None
    assert rules.high is not None
    for value in (rules.low, rules.high):
        assert value_of(Config().with_values(**{name: value}), name) == value
    for value in (rules.low - 1, rules.high + 1, math.nan, math.inf):
        with pytest.raises(ConfigError, match=f"{name} is .* must lie between"):
            Config().with_values(**{name: value})


@pytest.mark.parametrize("section_field", TEXTS, ids=named)
def test_a_word_outside_the_choices_is_refused(section_field: Field[Any]) -> None:
    for word in setting_of(section_field).choices:
        assert value_of(Config().with_values(**{section_field.name: word}), section_field.name) == word
    with pytest.raises(ConfigError, match=f"{section_field.name} is 'nonsense', but must be one of"):
        Config().with_values(**{section_field.name: "nonsense"})


def test_unknown_names_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError, match="no setting named first, second"):
        Config().with_values(second=1, dropout=0.5, first=2)


def test_changing_a_setting_leaves_the_others_and_the_original_alone() -> None:
    before = Config()
    after = before.with_values(dropout=0.5, temperature=4.0)
    assert before == Config()
    assert after.students == dataclasses.replace(before.students, dropout=0.5)
    assert after.loss == dataclasses.replace(before.loss, temperature=4.0)
    assert after.training is before.training


def test_settings_survive_the_way_through_json() -> None:
    settings = Config.paper().with_values(mixing=False, temperature=4.0)
    assert Config.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_setting_that_was_not_stored_keeps_its_default() -> None:
    stored = Config().with_values(dropout=0.5).to_dict()
    del stored["training"], stored["students"]["width"]
    assert Config.from_dict(stored) == Config().with_values(dropout=0.5)


def test_a_stored_setting_this_version_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting named of_the_future"):
        Config.from_dict({"training": {"of_the_future": 1}})


def test_the_settings_of_the_paper_differ_from_the_defaults() -> None:
    paper = Config.paper()
    assert (paper.plane.max_side_px, paper.training.labelled_batch, paper.training.optimizer) == (256, 12, "sgd")
    assert (paper.teacher.adapted_blocks, paper.teacher.teacher_in_turn) == (0, "never")
    assert paper != Config()


def test_the_grid_of_the_mixing_divides_every_plane() -> None:
    with pytest.raises(ConfigError, match="Choose 2, 4, 8 or 16"):
        Config().with_values(grid=5)
