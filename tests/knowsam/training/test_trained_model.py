"""A model comes back from its file as it was, and nothing but a whole model is ever taken for one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from knowsam.data.annotation import BACKGROUND_CLASS, Annotation, LabelClass
from knowsam.data.image_statistics import ImageStatistics
from knowsam.errors import CheckpointError, InputError, OutputError
from knowsam.inference.planes import NetworkSlices, network_planes
from knowsam.inference.predictor import Predictor
from knowsam.models.students import Students
from knowsam.models.teacher_origin import TeacherOrigin
from knowsam.training.expected_dice import ExpectedDice
from knowsam.training.tensor_file import checksum
from knowsam.training.trained_model import MODEL_FILE, TrainedModel, load_model, save_model

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.volume import Volume

CLASSES = (BACKGROUND_CLASS, LabelClass(7, "left atrium", (1, 2, 3)))


@pytest.fixture(scope="module")
def model(tiny_config: Config) -> TrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        students = Students(2, config=tiny_config.students, prior=tiny_config.method.shape_prior)
        # One pass in training mode, so that the running statistics are not those of a new network.
        students.train()(torch.rand(2, 3 + students.prior_channels, 32, 32))
    return TrainedModel(
        students=students.eval(),
        teacher={"prompt": torch.arange(6.0).view(2, 3).T},
        teacher_origin=TeacherOrigin.of(tiny_config.teacher, None),
        config=tiny_config.with_values(mixing=False, temperature=4.0),
        plan={"reasons": ["Because."]},
        classes=CLASSES,
        axis=1,
        pixel_mm=0.75,
        steps=42,
        annotated_slices=5,
        images=(ImageStatistics(False, tuple(np.linspace(0.1, 0.9, 19).tolist()), 1.5),),
        dice=0.25,
        validations=((10, 0.5), (20, 0.75)),
        expected=(ExpectedDice(7, 0.8, 0.7, 0.9, 4),),
        about="Gadolinium MR of our scanner",
        unconfirmed_slices=2,
    )


@pytest.fixture
def saved(model: TrainedModel, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "new" / "folder")


def described(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as stored:
        description: dict[str, Any] = json.loads(stored.metadata()["knowsam"])
    return description


def rewrite(path: Path, description: Any) -> None:
    """Replace the description in a model file and keep its tensors."""
    write_with_checksum(path, load_file(path), description)


def write_with_checksum(path: Path, tensors: dict[str, torch.Tensor], description: Any) -> None:
    text = json.dumps(description)
    save_file(tensors, path, metadata={"knowsam": text, "sha256": checksum(text, tensors)})


def probabilities(model: TrainedModel, volume: Volume) -> np.ndarray:
    window = model.window_for(volume)
    planes = network_planes(volume, model.axis, window, model.config.plane.clip_percent)
    slices = NetworkSlices(planes, window, model.axis, volume.shape)
    predictor = Predictor(slices, model.config, len(model.classes), model.students)
    return next(predictor.slices([16])).probabilities


def test_a_loaded_model_predicts_exactly_what_the_saved_one_did(model: TrainedModel, saved: Path, ball: Volume) -> None:
    loaded = load_model(saved.parent)
    assert not loaded.students.training
    np.testing.assert_array_equal(probabilities(loaded, ball), probabilities(model, ball))


def test_a_loaded_model_has_all_that_was_saved(model: TrainedModel, saved: Path) -> None:
    loaded = load_model(saved)
    names = ("config", "classes", "axis", "pixel_mm", "steps", "annotated_slices", "images", "dice")
    names += ("validations", "expected", "about", "unconfirmed_slices")
    same = {name: getattr(model, name) for name in names}
    assert {name: getattr(loaded, name) for name in same} == same
    assert loaded.teacher.keys() == {"prompt"}
    assert torch.equal(loaded.teacher["prompt"], model.teacher["prompt"])


def test_a_model_is_one_file_and_says_nothing_of_the_volumes(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == [MODEL_FILE]
    known = {"format", "config", "classes", "axis", "pixel_mm", "steps", "annotated_slices", "teacher_origin", "plan"}
    known |= {"dice", "images", "validations", "expected", "about", "card", "unconfirmed_slices"}
    assert described(saved).keys() == known


@pytest.mark.parametrize(("dice", "warns"), [(0.25, True), (0.8, False), (None, False)])
def test_a_model_that_predicts_poorly_in_its_own_volumes_says_so(
    model: TrainedModel, dice: float | None, warns: bool
) -> None:
    assert ("Dice 0.25" in replace(model, dice=dice).weakness) == warns


def test_a_newer_model_takes_the_place_of_the_older_one(model: TrainedModel, saved: Path) -> None:
    save_model(replace(model, steps=43), saved.parent, overwrite=True)
    assert load_model(saved).steps == 43


def test_a_model_that_is_there_is_kept_unless_overwriting_is_allowed(model: TrainedModel, saved: Path) -> None:
    with pytest.raises(OutputError, match="File exists"):
        save_model(replace(model, steps=43), saved.parent)
    assert load_model(saved).steps == model.steps


def test_the_window_covers_a_whole_slice_at_the_pixel_size_of_training(model: TrainedModel, ball: Volume) -> None:
    """Along axis 1 the slices of the ball are 24 mm x 32 mm."""
    window = model.window_for(ball)
    assert window.plane == (32, 48)
    assert window.extent == (12, 36)


@pytest.mark.parametrize("failing", ["replace", "write"])
def test_a_failed_write_leaves_the_older_model_and_nothing_else(
    model: TrainedModel, saved: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = saved.read_bytes()

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    if failing == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"cannot be written .*No space left on device\. Choose another folder"):
        save_model(replace(model, steps=43), saved.parent, overwrite=True)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [MODEL_FILE]


def test_a_folder_that_cannot_be_made_is_named(model: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken"):
        save_model(model, tmp_path / "taken")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"There is no {MODEL_FILE}"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match=f"There is no {MODEL_FILE}"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("length", [0, 4, 100, -1], ids=["empty", "length only", "half a header", "one byte short"])
def test_a_truncated_file_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
        load_model(saved)


def test_a_single_flipped_bit_anywhere_is_refused(saved: Path) -> None:
    good = saved.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    places = [*range(8), *np.linspace(8, header - 1, 40, dtype=int), *np.linspace(header, len(good) - 1, 40, dtype=int)]
    for number, place in enumerate(places):
        saved.write_bytes(good[:place] + bytes([good[place] ^ 1 << number % 8]) + good[place + 1 :])
        with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
            load_model(saved)


def test_weights_that_were_exchanged_are_refused(saved: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(saved).items()}
    next(iter(tensors.values())).view(-1)[0] += 1
    with safe_open(saved, framework="pt") as stored:
        metadata = stored.metadata()
    save_file(tensors, saved, metadata=metadata)
    with pytest.raises(CheckpointError, match="its checksum does not fit"):
        load_model(saved)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(100), b"not a model" * 50, b"\xff" * 64])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MODEL_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
        load_model(tmp_path)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / MODEL_FILE)
    with pytest.raises(CheckpointError, match=r"not a usable KnowSAM model \(another program saved it"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"config": {"students": {"width": 8}}},
        {"config": {"students": {"width": 3}}},
        {"config": {"students": {"of_the_future": 1}}},
        {"config": 3},
        {"config": {"students": 3}},
        {"classes": []},
        {"classes": 3},
        {"classes": [{"value": 1}]},
        {"classes": [[0, "background", [0, 0, 0]], [7, "organ", [0, 0, 0]]]},
        {"axis": None},
        {"axis": 3},
        {"pixel_mm": "wide"},
        {"pixel_mm": 0.0},
        {"steps": None},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_refused(saved: Path, change: dict[str, Any]) -> None:
    rewrite(saved, described(saved) | change)
    with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
        load_model(saved)


@pytest.mark.parametrize("description", [None, [], "text", {}], ids=str)
def test_a_description_that_is_none_is_refused(saved: Path, description: object) -> None:
    rewrite(saved, description)
    with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
        load_model(saved)


def test_a_missing_tensor_is_refused(saved: Path) -> None:
    tensors = load_file(saved)
    del tensors["students.unet.head.weight"]
    write_with_checksum(saved, tensors, described(saved))
    with pytest.raises(CheckpointError, match=r"unet\.head\.weight"):
        load_model(saved)


class Trap:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")


def test_pickled_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    torch.save({"students": Trap(tmp_path / "trace")}, tmp_path / MODEL_FILE)
    with pytest.raises(CheckpointError, match="not a usable KnowSAM model"):
        load_model(tmp_path)
    assert not (tmp_path / "trace").exists()


WITH_MYOCARDIUM = (*CLASSES, LabelClass(3, "myocardium", (4, 5, 6)))


def test_a_class_that_the_model_does_not_know_is_named_with_those_it_knows(model: TrainedModel) -> None:
    with pytest.raises(InputError, match=r"hold 3 \(myocardium\), but the model knows 7 \(left atrium\)\."):
        model.require_continuable(Annotation((4, 4, 4), 1, WITH_MYOCARDIUM), model.config)


def test_classes_are_the_same_whatever_they_are_called(model: TrainedModel) -> None:
    renamed = LabelClass(7, "LA", (9, 9, 9))
    model.require_knows([renamed])
    assert model.with_names([renamed]).classes == (BACKGROUND_CLASS, renamed)


def test_a_training_from_a_model_has_its_networks_and_other_settings_of_its_own(model: TrainedModel) -> None:
    wanted = model.config.with_values(width=8, neighbours=False, shape_prior=False, learning_rate=0.1)
    config = model.config_with_networks(wanted)
    model.require_continuable(Annotation((4, 4, 4), 1, CLASSES), config)
    assert config.training.learning_rate == 0.1


def test_a_model_is_saved_under_the_name_it_is_given(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "new" / "atrium.safetensors"
    assert save_model(model, path) == path
    assert load_model(path).annotated_slices == model.annotated_slices


def test_training_can_go_on_with_the_same_classes_axis_and_networks(model: TrainedModel) -> None:
    model.require_continuable(Annotation((4, 4, 4), 1, CLASSES), model.config.with_values(learning_rate=0.1))


@pytest.mark.parametrize(
    ("axis", "settings", "named"),
    [
        (0, {}, "axis"),
        (1, {"width": 8}, "settings of the students"),
        (1, {"neighbours": False}, "neighbouring slices"),
    ],
)
def test_what_keeps_training_from_going_on_is_named_and_nothing_else(
    model: TrainedModel, axis: int, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=rf"differs from this training in: {named}\. Start from a model trained alike"):
        model.require_continuable(Annotation((4, 4, 4), axis, CLASSES), model.config.with_values(**settings))
