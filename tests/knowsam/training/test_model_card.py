"""The card says what a model is for, what it has learnt from and how good it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from knowsam.config import TeacherConfig
from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.data.image_statistics import ImageStatistics
from knowsam.models.students import Students
from knowsam.models.teacher_origin import TeacherOrigin
from knowsam.training.expected_dice import ExpectedDice
from knowsam.training.model_card import model_card
from knowsam.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from knowsam.config import Config

MR = ImageStatistics(False, (0.1, 0.9), 1.5)
CT = ImageStatistics(True, (0.1, 0.9), 5.0)
SAM = TeacherOrigin.of(TeacherConfig(), None)


@pytest.fixture(scope="module")
def model(tiny_config: Config) -> TrainedModel:
    students = Students(2, config=tiny_config.students, prior=tiny_config.method.shape_prior)
    classes = (BACKGROUND_CLASS, LabelClass(7, "left atrium", (1, 2, 3)))
    return TrainedModel(
        students, {}, tiny_config, classes, axis=1, pixel_mm=0.75, steps=42, annotated_slices=5, images=(MR,), dice=0.9
    )


def test_what_a_person_says_of_it_comes_first(model: TrainedModel) -> None:
    assert model_card(replace(model, about="Our scanner")).splitlines()[0] == "Our scanner"


def test_it_says_what_is_segmented_and_what_it_was_learnt_from(model: TrainedModel) -> None:
    card = model_card(model)
    assert "Segments 7 (left atrium) in coronal slices, at 0.75 mm a pixel." in card
    assert "Learnt in 42 steps from 5 annotated slices of one volume (no CT; slices 1.5 mm apart)." in card
    both = model_card(replace(model, images=(MR, CT), annotated_slices=1))
    assert "one annotated slice of 2 volumes (CT and others; slices 1.5 to 5 mm apart)" in both


def test_it_says_how_many_slices_hold_outlines_that_nobody_has_confirmed(model: TrainedModel) -> None:
    assert "outlined" not in model_card(model)
    card = model_card(replace(model, unconfirmed_slices=2))
    assert (
        "5 annotated slices (2 of them outlined by SAM, which nobody had corrected or accepted) of one volume" in card
    )


def test_it_names_the_method_and_whether_sam_taught(model: TrainedModel) -> None:
    assert "Method: mutual consistency (KnowSAM, Huang et al. 2025)." in model_card(model)
    other = replace(model, config=model.config.with_values(semi_supervised="cps"), teacher_origin=SAM)
    assert "Method: cross pseudo supervision (Chen et al. 2021), with distillation from SAM." in model_card(other)


def test_it_gives_a_score_of_other_volumes_or_says_that_there_is_none(model: TrainedModel) -> None:
    assert "How good it is in other volumes was not measured" in model_card(model)
    card = model_card(replace(model, expected=(ExpectedDice(7, 0.8, 0.7, 0.9, 4),)))
    assert "was not measured" not in card
    assert "In other volumes, left atrium: Dice 0.80 on average of 4 volumes" in card


def test_a_class_in_too_few_volumes_is_reported_as_unmeasured(model: TrainedModel) -> None:
    classes = (*model.classes, LabelClass(9, "thrombus", (3, 2, 1)))
    card = model_card(replace(model, classes=classes, expected=(ExpectedDice(7, 0.8, 0.7, 0.9, 4),)))
    assert "In other volumes, thrombus: not measured" in card


def test_networks_that_predict_poorly_are_reported(model: TrainedModel) -> None:
    assert "predicts poorly" not in model_card(model)
    assert "predicts poorly" in model_card(replace(model, dice=0.0))
