"""Each volume is predicted by a model of the others and compared with what was annotated in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from knowsam import cross_validation
from knowsam.cross_validation import leave_one_out
from knowsam.data.annotation import IGNORE, Annotation, LabelClass, LabelSlice
from knowsam.data.case import Case
from knowsam.data.volume import Volume
from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.training.session import TrainingSession


class Model:
    """Predicts the mean grey value of what it has learnt from, everywhere."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.names = [case.volume.name for case in cases]
        self.classes = cases[0].annotation.classes

    def model(self) -> Model:
        return self


def case(tiny: Volume, classes: tuple[LabelClass, ...], name: str, planes: dict[int, np.ndarray[Any, Any]]) -> Case:
    slices = {index: LabelSlice(0, index, plane) for index, plane in planes.items()}
    return Case(Volume(tiny.array + len(name), tiny.grid, name), Annotation(tiny.shape, 0, classes, slices))


def named(case: Case, name: str) -> Case:
    return replace(case, volume=replace(case.volume, name=name))


def test_each_annotated_volume_is_left_out_and_validated_where_it_was_annotated(
    tiny: Volume, classes: tuple[LabelClass, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = np.zeros(tiny.shape[1:], np.uint8)
    half[:4] = 1
    partly = np.full(tiny.shape[1:], IGNORE, np.uint8)
    partly[0] = 2
    cases = [
        case(tiny, classes, "a", {2: half}),
        case(tiny, classes, "bb", {1: half, 4: partly}),
        case(tiny, classes, "unlabelled", {}),
        named(case(tiny, classes, "a", {}), "a again"),
    ]
    asked: list[list[str]] = []

    def train(others: Sequence[Case]) -> TrainingSession:
        asked.append([one.volume.name for one in others])
        return cast("TrainingSession", Model(others))

    def predict(model: Model, volume: Volume, **_more: object) -> tuple[np.ndarray[Any, Any], None]:
        assert volume.name not in model.names
        labels = np.zeros(volume.shape, np.int32)
        labels[:, :2] = classes[1].value
        return labels, None

    monkeypatch.setattr(cross_validation.jobs, "predict", predict)
    first, second = leave_one_out(cases, train)
    assert asked == [["bb", "unlabelled"], ["a", "unlabelled", "a again"]]
    assert (first.name, second.name) == ("a", "bb")
    # Two of four rows are found; what nobody has annotated does not count, nor a class that the others do not show.
    assert first.dice == pytest.approx({2: 2 * 20 / (20 + 40)})
    assert second.dice == pytest.approx({2: 2 * 20 / (20 + 10 + 40)})


def test_what_is_found_beyond_a_whole_mask_is_wrong(
    tiny: Volume, classes: tuple[LabelClass, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A structure of three slices without a gap, which a model finds in all six."""
    plane = np.ones(tiny.shape[1:], np.uint8)
    cases = [case(tiny, classes, name, dict.fromkeys((1, 2, 3), plane)) for name in ("a", "bb")]
    everywhere = np.full(tiny.shape, classes[1].value)
    monkeypatch.setattr(cross_validation.jobs, "predict", lambda *_given, **_more: (everywhere, None))
    found = list(leave_one_out(cases, lambda others: cast("TrainingSession", Model(others))))
    assert [one.dice for one in found] == [pytest.approx({2: 2 * 3 / (3 + 6)})] * 2


def test_one_annotated_volume_cannot_be_left_out(tiny: Volume, classes: tuple[LabelClass, ...]) -> None:
    plane = np.ones(tiny.shape[1:], np.uint8)
    cases = [case(tiny, classes, "a", {0: plane}), case(tiny, classes, "bb", {})]
    with pytest.raises(InputError, match="Different annotated volumes: 1"):
        next(leave_one_out(cases, lambda _: pytest.fail("trained")))
    with pytest.raises(InputError, match="Different annotated volumes: 1"):
        next(leave_one_out(cases[:1] * 2, lambda _: pytest.fail("trained")))
