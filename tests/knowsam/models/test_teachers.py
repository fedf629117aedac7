from __future__ import annotations

from dataclasses import fields

import pytest

from knowsam.config import Config, TeacherConfig
from knowsam.models.prompted_teacher import PromptedTeacher
from knowsam.models.sam_teacher import SamTeacher
from knowsam.models.teachers import TEACHERS, build_teacher
from knowsam.setting import setting_of

PLANE = (32, 32)


def test_the_settings_offer_the_teachers_of_the_table_and_none() -> None:
    (variant,) = (one for one in fields(TeacherConfig) if one.name == "variant")
    assert set(setting_of(variant).choices) == {"none", *TEACHERS}


def test_the_table_builds_the_configured_teacher(tiny_config: Config) -> None:
    teacher = build_teacher(3, PLANE, tiny_config.with_values(mask_prompts=False), None)
    assert isinstance(teacher, SamTeacher)
    assert (teacher.classes, teacher.plane, teacher.mask_prompts) == (3, PLANE, False)
    assert teacher.prompt_heads is not None


@pytest.mark.parametrize("values", [{"variant": "none"}, {"distillation": False}])
def test_nothing_is_built_where_nothing_teaches(tiny_config: Config, values: dict[str, object]) -> None:
    assert build_teacher(2, PLANE, tiny_config.with_values(**values), None) is None


@pytest.mark.parametrize("network", dict.fromkeys(kind.network for kind in TEACHERS.values()))
def test_every_teacher_brings_all_that_training_asks_of_one(network: type[PromptedTeacher]) -> None:
    assert issubclass(network, PromptedTeacher)
    assert not network.__abstractmethods__
