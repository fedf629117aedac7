from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from sam2_folder import save_silently, tiny_sam2

from knowsam.config import Config, TeacherConfig
from knowsam.errors import ConfigError
from knowsam.models import teachers
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.prompted_teacher import PromptedTeacher
from knowsam.models.sam_teacher import SamTeacher
from knowsam.models.teachers import TEACHERS, Teacher, build_teacher, choose_teacher
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


@pytest.mark.parametrize(("choice", "variant"), [("scratch", "compact"), ("none", "none")])
def test_a_teacher_without_weights_is_chosen_by_name(choice: str, variant: str) -> None:
    assert choose_teacher(choice) == Teacher(variant)


@pytest.mark.parametrize("choice", ["auto", "compact"])
def test_the_default_teacher_is_the_compact_sam_with_its_weights(choice: str) -> None:
    assert choose_teacher(choice) == Teacher("compact", compact_sam_weights())


@pytest.mark.parametrize("name", ["vit_l", "sam2", "sam2.1-hiera-large"])
def test_official_weights_are_chosen_by_their_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "official_weights", lambda name, _: f"place of {name}")
    monkeypatch.setattr(teachers, "read_weights", lambda path: ("vit_l", {"from": path}))
    assert choose_teacher(name) == Teacher("vit_l", {"from": f"place of {name}"})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["sam2", "sam2.1-hiera-small"])
def test_nothing_is_downloaded_where_a_package_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "official_weights", lambda name, _: pytest.fail(f"{name} was downloaded"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"napari-knowsam\[sam2\]"):
        choose_teacher(name)


def test_a_folder_with_the_name_of_published_weights_is_taken_instead_of_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "official_weights", lambda name, _: pytest.fail(f"{name} was downloaded"))
    monkeypatch.chdir(tmp_path)
    save_silently(tiny_sam2(), tmp_path / "sam2.1-hiera-tiny")
    assert choose_teacher("sam2.1-hiera-tiny").variant == "sam2"


def test_the_variant_of_a_file_of_weights_is_recognised(tmp_path: Path) -> None:
    weights = {"image_encoder.pos_embed": torch.zeros(1, 2, 2, 768)}
    weights |= {f"image_encoder.blocks.{block}.norm1.weight": torch.zeros(1) for block in range(12)}
    torch.save(weights, tmp_path / "sam.pth")
    teacher = choose_teacher(str(tmp_path / "sam.pth"))
    assert teacher.variant == "vit_b"
    assert teacher.weights is not None
    assert teacher.weights.keys() == weights.keys()


def test_an_unknown_teacher_is_wrong_usage() -> None:
    with pytest.raises(ConfigError, match="neither a file nor a folder nor one of"):
        choose_teacher("vit_x")
