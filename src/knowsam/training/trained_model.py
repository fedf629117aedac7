"""What training leaves behind: the students, and all that is needed to apply or to go on training them."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from knowsam.config import Config
from knowsam.data.annotation import LabelClass, class_sources
from knowsam.data.image_statistics import ImageStatistics, difference_sentence, require_known_modality
from knowsam.data.window import Window, whole_slice_window
from knowsam.errors import CheckpointError, InputError, OutputError, TrainingError
from knowsam.io.kept_models import MODEL_FILE, MODEL_SUFFIX
from knowsam.models.class_heads import students_with_classes
from knowsam.models.students import Students
from knowsam.models.teacher_origin import TeacherOrigin
from knowsam.training.expected_dice import ExpectedDice
from knowsam.training.model_card import model_card
from knowsam.training.tensor_file import read_tensors, with_prefix, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.annotation import Annotation
    from knowsam.data.volume import Volume
    from knowsam.training.trainer import Trainer

_FORMAT = 12

_LEAST_DICE = 0.6
"""Below this Dice, networks hardly know their own volumes."""


@dataclass(frozen=True)
class TrainedModel:
    """Students with their settings; no voxel, name or path of the volumes they were trained on.

    Parameters
    ----------
    students : in evaluation mode, on the CPU.
    teacher : the teacher's trained parameters by name, to go on training; empty without a teacher.
    config : the settings as a person chose them.
    axis : working axis the slices were stacked along.
    pixel_mm : side of a network pixel.
    steps : training steps taken.
    annotated_slices : that it learnt from.
    images : statistics of each volume it learnt from, those of an earlier model included.
    dice : of the students in their own volumes without propagated labels, see `BestStudents`; None if not measured.
    teacher_origin : what that teacher was built from; None without a teacher.
    plan : what ran, as `TrainingPlan.to_dict` tells it.
    validations : step and Dice of each time that the students were measured on held-out slices.
    expected : what to expect of each class in other volumes; empty if it was not measured.
    about : what a person says of the model.
    unconfirmed_slices : annotated ones with an outline of SAM that nobody had corrected or accepted.
    """

    students: Students
    teacher: Mapping[str, Tensor]
    config: Config
    classes: tuple[LabelClass, ...]
    axis: int
    pixel_mm: float
    steps: int
    annotated_slices: int = 0
    images: tuple[ImageStatistics, ...] = ()
    dice: float | None = None
    teacher_origin: TeacherOrigin | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    validations: tuple[tuple[int, float], ...] = ()
    expected: tuple[ExpectedDice, ...] = ()
    about: str = ""
    unconfirmed_slices: int = 0

    @classmethod
    def of(cls, trainer: Trainer) -> TrainedModel:
        """Return what was learnt so far, as it can be saved and applied to other volumes.

        Raises
        ------
        TrainingError
            If training has not begun.
        """
        if not trainer.is_prepared or trainer.display.students is None:
            raise TrainingError("There is no model yet. Train first.")
        return cls(
            students=copy.deepcopy(trainer.display.students).cpu().eval(),
            teacher=trainer.learner.teacher_state(),
            teacher_origin=trainer.plan.teacher,
            config=trainer.config,
            plan=trainer.plan.to_dict(),
            classes=trainer.classes,
            axis=trainer.cases[0].annotation.axis,
            pixel_mm=trainer.pixel_mm,
            steps=trainer.steps,
            annotated_slices=len(trainer.annotated),
            unconfirmed_slices=len(trainer.unconfirmed),
            images=trainer.images,
            dice=trainer.unaided_dice(),
            validations=tuple(trainer.validations),
        )

    @property
    def weakness(self) -> str:
        """A sentence on networks that predict poorly where nothing is painted; empty if they do not."""
        if self.dice is None or self.dice >= _LEAST_DICE:
            return ""
        return (
            f"Where nothing is painted, this model predicts poorly: Dice {self.dice:.2f} even where it learnt. "
            "For other volumes, train for longer, or on more slices and volumes."
        )

    def require_knows(self, classes: Iterable[LabelClass]) -> None:
        """Check that the model knows classes, which are the same where their label values are.

        Raises
        ------
        InputError
            If one is unknown.
        """
        values = {label_class.value for label_class in self.classes}
        unknown = [label_class for label_class in classes if label_class.value not in values]
        if unknown:
            raise InputError(
                f"The labels hold {_listed(unknown)}, but the model knows {_listed(self.classes[1:])}. "
                "Use labels with its values, or train from scratch."
            )

    def difference(self, volume: Volume) -> str:
        """Describe how a volume differs from those the model learnt from; empty if it does not matter.

        Raises
        ------
        InputError
            If it is a CT and they are not, or the other way round.
        """
        image = ImageStatistics.of(volume, self.axis, self.config.plane.clip_percent)
        require_known_modality(image.is_ct, [one.is_ct for one in self.images], volume.name)
        return difference_sentence(image, self.images, volume.name)

    def with_names(self, classes: Iterable[LabelClass]) -> TrainedModel:
        """Return the model with the names and colours that its classes have among others."""
        named = {label_class.value: label_class for label_class in classes}
        return replace(self, classes=tuple(named.get(one.value, one) for one in self.classes))

    def students_for(self, classes: Sequence[LabelClass]) -> Students:
        """Return a copy of the students for the same classes in another order, or with others beside them."""
        return students_with_classes(self.students, class_sources(self.classes, classes))

    @property
    def config_elsewhere(self) -> Config:
        """The settings for a training in another volume, which sees the region round what is painted there."""
        return self.config.with_values(whole_slices=None)

    def config_with_networks(self, config: Config) -> Config:
        """Return settings of a training in which the networks, and what they are shown, are those of this model."""
        plane = replace(config.plane, neighbours=self.config.plane.neighbours)
        config = replace(config, students=self.config.students, plane=plane)
        return config.with_values(shape_prior=self.config.method.shape_prior)

    def require_continuable(self, annotation: Annotation, config: Config) -> None:
        """Check that training can go on from this model.

        Raises
        ------
        InputError
            If axis or networks differ, or a class is unknown.
        """
        self.require_knows(annotation.classes)
        same = {
            "axis": self.axis == annotation.axis,
            "settings of the students": self.config.students == config.students,
            "neighbouring slices": self.config.plane.neighbours == config.plane.neighbours,
            "shape prior": self.config.method.shape_prior == config.method.shape_prior,
        }
        different = [what for what, agrees in same.items() if not agrees]
        if different:
            raise InputError(
                f"The model to start from differs from this training in: {', '.join(different)}. "
                "Start from a model trained alike, or train from scratch."
            )

    def window_for(self, volume: Volume) -> Window:
        """Return the window that covers a whole slice of another volume at the pixel size of training."""
        rows, columns = (axis for axis in range(3) if axis != self.axis)
        return whole_slice_window(
            (volume.shape[rows], volume.shape[columns]),
            (volume.spacing_mm[rows], volume.spacing_mm[columns]),
            self.pixel_mm,
        )


def model_file(path: Path) -> Path:
    """Return the file of a model: the path itself where it is named as one, else the file in that folder.

    >>> model_file(Path("atrium.safetensors")).as_posix(), model_file(Path("atrium")).as_posix()
    ('atrium.safetensors', 'atrium/model.safetensors')
    """
    return path if path.suffix == MODEL_SUFFIX and not os.path.isdir(path) else path / MODEL_FILE


def save_model(model: TrainedModel, path: Path, *, overwrite: bool = False) -> Path:
    """Write the model as one file, and return that file; its folder is made if it is not there.

    Parameters
    ----------
    path : see `model_file`.
    overwrite : replace a model that is there.

    Raises
    ------
    OutputError
        If the file cannot be written, or is there and is to be kept; that one stays as it is.
    """
    target = model_file(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(target, *packed_model(model), overwrite=overwrite)
    except OSError as exc:
        place = f"{path}: {exc.strerror}"
        raise OutputError(f"The model cannot be written to {place}. Choose another folder.") from exc
    return target


def load_model(path: Path) -> TrainedModel:
    """Read a model that `save_model` wrote; nothing in the file is executed.

    Parameters
    ----------
    path : the file, or the folder it lies in.

    Raises
    ------
    CheckpointError
        If there is no model, it is damaged, or it is of another version.
    """
    file = saved_model_file(path)
    if not file.is_file():
        raise CheckpointError(f"There is no {MODEL_FILE} in {path}. Give a model that KnowSAM saved, or its folder.")
    return read_tensors(file, unpacked_model)


def saved_model_file(path: Path) -> Path:
    """Return the file of a model that was saved, whatever its name: the path itself, or the file in that folder."""
    return path / MODEL_FILE if path.is_dir() else path


def packed_model(model: TrainedModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a file says of a model, and its tensors by name."""
    tensors = {f"students.{name}": tensor for name, tensor in model.students.state_dict().items()}
    tensors |= {f"teacher.{name}": tensor for name, tensor in model.teacher.items()}
    description = {
        "format": _FORMAT,
        "config": model.config.to_dict(),
        "teacher_origin": None if model.teacher_origin is None else asdict(model.teacher_origin),
        "plan": dict(model.plan),
        "classes": [asdict(label_class) for label_class in model.classes],
        "axis": model.axis,
        "pixel_mm": model.pixel_mm,
        "steps": model.steps,
        "annotated_slices": model.annotated_slices,
        "unconfirmed_slices": model.unconfirmed_slices,
        "images": [asdict(image) for image in model.images],
        "dice": model.dice,
        "validations": model.validations,
        "expected": [asdict(one) for one in model.expected],
        "about": model.about,
        "card": model_card(model),
    }
    return description, tensors


def unpacked_model(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TrainedModel:
    """Return the model that `packed_model` took apart; what it raises shows that there is none."""
    if description["format"] != _FORMAT:
        raise ValueError(f"format {description['format']}, expected {_FORMAT}")
    axis, pixel_mm = int(description["axis"]), float(description["pixel_mm"])
    classes = tuple(LabelClass(int(c["value"]), str(c["name"]), tuple(c["color"])) for c in description["classes"])
    if axis not in (0, 1, 2) or not 0 < pixel_mm < math.inf or len(classes) < 2:
        raise ValueError(f"axis {axis}, pixel size {pixel_mm} mm, {len(classes)} classes")
    config = Config.from_dict(description["config"])
    students = Students(len(classes), config=config.students, prior=config.method.shape_prior)
    students.load_state_dict(with_prefix(tensors, "students."))
    origin = description["teacher_origin"]
    return TrainedModel(
        students=students.eval(),
        teacher=MappingProxyType(with_prefix(tensors, "teacher.")),
        teacher_origin=None if origin is None else TeacherOrigin(**origin),
        config=config,
        plan=MappingProxyType(description["plan"]),
        classes=classes,
        axis=axis,
        pixel_mm=pixel_mm,
        steps=int(description["steps"]),
        annotated_slices=int(description["annotated_slices"]),
        images=tuple(_image_statistics(one) for one in description["images"]),
        dice=None if description["dice"] is None else float(description["dice"]),
        validations=tuple((int(step), float(dice)) for step, dice in description["validations"]),
        expected=tuple(ExpectedDice(**one) for one in description["expected"]),
        about=str(description["about"]),
        unconfirmed_slices=int(description["unconfirmed_slices"]),
    )


def _image_statistics(description: Mapping[str, Any]) -> ImageStatistics:
    quantiles = tuple(float(one) for one in description["quantiles"])
    return ImageStatistics(bool(description["is_ct"]), quantiles, float(description["slice_mm"]))


def _listed(classes: Iterable[LabelClass]) -> str:
    """Return classes as `1 (liver), 2 (spleen)`."""
    return ", ".join(f"{label_class.value} ({label_class.name})" for label_class in classes)
