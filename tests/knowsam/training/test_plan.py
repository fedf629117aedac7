"""What runs is decided in one place, and what a person asked for wins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from knowsam.config import Config
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.models.students import Students
from knowsam.models.teacher_origin import TeacherOrigin
from knowsam.training.continuation import Continuation, LearningState
from knowsam.training.plan import TrainingPlan, make_plan
from knowsam.training.schedule import Budget
from knowsam.training.trained_model import TrainedModel

SHORT, LONG = Budget(seconds=60), Budget(seconds=1800)
CPU = torch.device("cpu")
PRETRAINED = {"weight": torch.arange(100.0)}


def parts(plan: TrainingPlan) -> tuple[bool | None, bool | None]:
    return plan.config.method.distillation, plan.config.method.mixing


@pytest.mark.parametrize("budget", [SHORT, LONG, Budget(steps=10_000)])
@pytest.mark.parametrize(
    ("variant", "weights", "run"),
    [("compact", None, False), ("compact", PRETRAINED, False), ("vit_b", PRETRAINED, True)],
    ids=["from scratch", "compact and pretrained", "official"],
)
def test_parts_that_nobody_chose_run_with_official_weights(
    variant: str, budget: Budget, weights: Mapping[str, Tensor] | None, run: bool
) -> None:
    plan = make_plan(Config().with_values(variant=variant), budget, CPU, sam_weights=weights)
    assert parts(plan) == (run, run)
    assert bool(plan.left_out) is not run


@pytest.mark.parametrize("budget", [SHORT, LONG, Budget(steps=1)])
@pytest.mark.parametrize(("distillation", "mixing"), [(True, True), (False, True), (True, False), (False, False)])
def test_what_a_person_chose_runs_in_every_budget(budget: Budget, distillation: bool, mixing: bool) -> None:
    plan = make_plan(Config().with_values(distillation=distillation, mixing=mixing), budget, CPU)
    assert parts(plan) == (distillation, mixing)
    assert plan.left_out == ()
    assert plan.reasons == (() if distillation else ("No teacher: the students learn alone.",))


def test_one_part_can_be_chosen_and_the_other_left_to_the_plan() -> None:
    plan = make_plan(Config().with_values(mixing=True), SHORT, CPU)
    assert parts(plan) == (False, True)
    assert "compact SAM does not teach" in plan.left_out[0]
    assert "mixed" not in plan.left_out[0]


def test_without_a_teacher_nothing_is_distilled_whatever_was_asked_for() -> None:
    plan = make_plan(Config().with_values(variant="none", distillation=True), LONG, CPU)
    assert parts(plan) == (False, False)
    assert plan.teacher is None


def test_a_model_of_other_volumes_learns_slowly() -> None:
    config = Config().with_values(learning_rate=0.01, adaptation=0.2)
    plan = make_plan(config, LONG, CPU, start_from=earlier(config, None))
    assert plan.config.training.learning_rate == pytest.approx(0.002)
    assert plan.is_transfer


def earlier(config: Config, origin: TeacherOrigin | None) -> TrainedModel:
    return TrainedModel(
        students=Students(2, config=config.students, prior=True),
        teacher={} if origin is None else {"sam.mask_decoder.iou_token.weight": torch.ones(1, 256)},
        teacher_origin=origin,
        config=config,
        plan={},
        classes=(BACKGROUND_CLASS, LabelClass(1, "organ", (1, 2, 3))),
        axis=0,
        pixel_mm=1.0,
        steps=5,
    )


COMPACT = Config()
VIT_B = Config().with_values(variant="vit_b")


@pytest.mark.parametrize(
    ("then", "weights_then", "now", "weights_now", "goes_on"),
    [
        (COMPACT, None, COMPACT, None, True),
        (VIT_B, {"a": torch.ones(3)}, VIT_B, {"a": torch.ones(3)}, True),
        (COMPACT, None, VIT_B, {"a": torch.ones(3)}, False),
        (VIT_B, {"a": torch.ones(3)}, COMPACT, None, False),
        (VIT_B, {"a": torch.ones(3)}, VIT_B, {"a": torch.zeros(3)}, False),
        (COMPACT, None, COMPACT, {"a": torch.ones(3)}, False),
        (COMPACT, None, COMPACT.with_values(prompt_tokens=3), None, False),
        (VIT_B, {"a": torch.ones(3)}, VIT_B.with_values(adapted_blocks=2), {"a": torch.ones(3)}, False),
    ],
    ids=[
        "the same",
        "the same, pretrained",
        "compact, then ViT-B",
        "ViT-B, then compact",
        "other weights",
        "scratch, then pretrained",
        "other prompts",
        "other adapters",
    ],
)
def test_only_a_teacher_of_the_same_origin_goes_on(
    then: Config,
    weights_then: Mapping[str, Tensor] | None,
    now: Config,
    weights_now: Mapping[str, Tensor] | None,
    goes_on: bool,
) -> None:
    model = earlier(then, TeacherOrigin.of(then.teacher, weights_then))
    plan = make_plan(now.with_values(distillation=True), LONG, CPU, sam_weights=weights_now, last=left(model))
    assert plan.earlier is not None
    assert plan.earlier.students is model.students
    assert plan.last is not None
    assert bool(plan.earlier.teacher) is bool(plan.last.learning.teacher_moments) is goes_on
    assert plan.to_dict()["earlier_model"] == ("students and teacher" if goes_on else "students")
    assert any("another SAM" in reason for reason in plan.reasons) is not goes_on


def test_students_alone_go_on_where_nothing_is_distilled() -> None:
    model = earlier(COMPACT, TeacherOrigin.of(COMPACT.teacher, None))
    plan = make_plan(COMPACT, SHORT, CPU, last=left(model))
    assert plan.to_dict()["earlier_model"] == "students"
    assert plan.reasons[-1] == "Training goes on where the last one ended."


@pytest.mark.parametrize("changed", [{"max_side_px": 64}, {"width": 8}, {"shape_prior": False}])
def test_what_networks_cannot_go_on_with_is_learnt_from_scratch_with_a_message(changed: dict[str, Any]) -> None:
    plan = make_plan(COMPACT.with_values(**changed), SHORT, CPU, last=left(earlier(COMPACT, None)))
    assert plan.earlier is plan.last is None
    assert not plan.is_transfer
    assert plan.reasons[-1].endswith("training begins from scratch.")


def test_another_optimiser_begins_anew() -> None:
    plan = make_plan(COMPACT.with_values(optimizer="sgd"), SHORT, CPU, last=left(earlier(COMPACT, None)))
    assert plan.last is not None
    assert plan.last.learning.moments == {}
    assert "The optimiser is another one, and begins anew." in plan.reasons


def left(model: TrainedModel) -> Continuation:
    """Return what a training left that had some of its moments."""
    known = {"weight": {"exp_avg": torch.ones(1)}}
    state = LearningState(model.students.state_dict(), model.students.state_dict(), known, known)
    return Continuation(model, model.config, state, 5.0, frozenset(), frozenset())


def test_a_plan_can_be_stored_as_json() -> None:
    plan = make_plan(VIT_B, LONG, CPU, sam_weights=PRETRAINED, last=left(earlier(VIT_B, None)))
    stored = json.loads(json.dumps(plan.to_dict()))
    assert stored["config"]["method"]["distillation"] is True
    assert stored["teacher"]["variant"] == "vit_b"
    assert stored["budget"] == {"seconds": 1800, "steps": None}
