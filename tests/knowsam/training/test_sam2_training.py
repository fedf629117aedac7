"""Training with a SAM-2 or a MobileSAM as teacher: it learns, is saved, goes on, and is not mixed with another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mobile_sam_file import save_mobile_sam
from sam2_folder import save_silently, tiny_sam2

from knowsam import jobs
from knowsam.models.mobile_sam_teacher import MobileSamTeacher
from knowsam.models.sam2_teacher import Sam2Teacher
from knowsam.models.teachers import choose_teacher
from knowsam.training.schedule import Budget
from knowsam.training.teaching import EveryImageTeaching, RoundRobinTeaching
from knowsam.training.trained_model import load_model, save_model

if TYPE_CHECKING:
    import torch

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.session import TrainingSession


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_silently(tiny_sam2(), tmp_path_factory.mktemp("sam2"))


def trained(case: Case, config: Config, teacher: Path, **given: object) -> TrainingSession:
    chosen = choose_teacher(str(teacher))
    return jobs.train([case], budget=Budget(steps=2), config=config, teacher=chosen, device="cpu", **given)  # type: ignore[arg-type]


def test_a_mobilesam_learns_and_its_model_is_saved_and_continued(
    case: Case, tiny_config: Config, tmp_path: Path
) -> None:
    file, config = save_mobile_sam(tmp_path), tiny_config.with_values(adapted_blocks=2, adaptation_minimum=1)
    session = trained(case, config, file)
    model = session.model()
    assert isinstance(session.trainer.learner.teacher, MobileSamTeacher)
    assert all(t.any() for n, t in model.teacher.items() if n.endswith("adapter.2.weight"))
    assert {name.split(".blocks")[0] for name in model.teacher if "adapter" in name} == {"sam.image_encoder.layers.3"}
    loaded = load_model(save_model(model, tmp_path / "model.safetensors"))
    assert loaded.config.teacher.variant == "mobile_sam"
    after = trained(case, config, file, start_from=loaded)
    assert after.plan.to_dict()["earlier_model"] == "students and teacher"


@pytest.mark.parametrize(("in_turn", "way"), [("pretrained", RoundRobinTeaching), ("never", EveryImageTeaching)])
def test_a_sam2_learns_and_its_model_is_saved_and_continued(
    case: Case, tiny_config: Config, folder: Path, tmp_path: Path, in_turn: str, way: type
) -> None:
    config = tiny_config.with_values(teacher_in_turn=in_turn, adapted_blocks=2)
    session = trained(case, config, folder)
    learner, model = session.trainer.learner, session.model()
    assert isinstance(learner.teacher, Sam2Teacher)
    assert isinstance(learner._teaching, way)
    assert learner.teacher.frozen_blocks == 5
    # A second layer that is not zero any more has learnt.
    assert all(t.any() for n, t in model.teacher.items() if n.endswith("adapter.2.weight"))
    assert not any("blocks.4." in name for name in model.teacher)

    loaded = load_model(save_model(model, tmp_path / "model.safetensors"))
    assert loaded.config.teacher.variant == "sam2"
    assert loaded.teacher_origin == model.teacher_origin
    after = trained(case, config.with_values(adaptation_minimum=1), folder, start_from=loaded)
    assert after.plan.to_dict()["earlier_model"] == "students and teacher"


def test_weights_of_another_sam2_are_left_out(case: Case, tiny_config: Config, folder: Path, tmp_path: Path) -> None:
    other = save_silently(tiny_sam2(seed=1), tmp_path)
    config = tiny_config.with_values(adapted_blocks=2, adaptation_minimum=1)
    session = trained(case, config, other, start_from=trained(case, config, folder).model())
    assert session.plan.to_dict()["earlier_model"] == "students"
    assert any("another SAM" in reason for reason in session.plan.reasons)


def test_frozen_blocks_are_passed_once_by_each_slice_in_memory_and_on_disk(
    case: Case, tiny_config: Config, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    trunk = Sam2Teacher.trunk

    def counted(teacher: Sam2Teacher, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return trunk(teacher, x)

    monkeypatch.setattr(Sam2Teacher, "trunk", counted)
    for memory_mib in (0, 1024):
        seen.clear()
        config = tiny_config.with_values(adapted_blocks=2, trunk_memory_mib=memory_mib, teacher_refresh_after=1)
        jobs.train([case], budget=Budget(steps=6), config=config, teacher=choose_teacher(str(folder)), device="cpu")
        assert 2 <= sum(seen) <= len(case.volume.array)
    assert list((tmp_path / "cache" / "trunk").glob("*.trunk"))
