"""What training leaves behind: the students, and all that is needed to apply or to go on training them."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from knowsam.config import Config
from knowsam.damage import damage_error
from knowsam.data.annotation import LabelClass
from knowsam.data.window import Window, whole_slice_window
from knowsam.errors import CheckpointError, ConfigError, InputError, OutputError, TrainingError
from knowsam.io.atomic import written_whole
from knowsam.models.sam_teacher import TeacherOrigin
from knowsam.models.students import Students

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.annotation import Annotation
    from knowsam.data.volume import Volume
    from knowsam.training.trainer import Trainer

MODEL_FILE = "model.safetensors"
_FORMAT = 6


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
    teacher_origin : what that teacher was built from; None without a teacher.
    plan : what ran, as `TrainingPlan.to_dict` tells it.
    """

    students: Students
    teacher: Mapping[str, Tensor]
    config: Config
    classes: tuple[LabelClass, ...]
    axis: int
    pixel_mm: float
    steps: int
    teacher_origin: TeacherOrigin | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)

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
        )

    def require_continuable(self, annotation: Annotation, config: Config) -> None:
        """Check that training can go on from this model.

        Raises
        ------
        InputError
            If classes, axis or networks differ.
        """
        same = {
            "classes": self.classes == annotation.classes,
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


def save_model(model: TrainedModel, folder: Path, *, overwrite: bool = False) -> Path:
    """Write the model as one file into `folder`, which is made if it is not there; return the file.

    Parameters
    ----------
    overwrite : replace a model that is there.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds a model that is to be kept; that one stays as it is.
    """
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
    }
    text = json.dumps(description)
    metadata = {"knowsam": text, "sha256": checksum(text, tensors)}
    content = save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata)
    target = folder / MODEL_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(target, overwrite=overwrite) as complete:
            complete.write_bytes(content)
    except OSError as exc:
        raise OutputError(f"The model cannot be written to {folder}: {exc.strerror}. Choose another folder.") from exc
    return target


def load_model(folder: Path) -> TrainedModel:
    """Read a model that `save_model` wrote; nothing in the file is executed.

    Parameters
    ----------
    folder : the folder, or the file in it.

    Raises
    ------
    CheckpointError
        If there is no model, it is damaged, or it is of another version.
    """
    path = folder / MODEL_FILE if folder.is_dir() else folder
    if not path.is_file():
        raise CheckpointError(f"There is no {MODEL_FILE} in {folder}. Give the folder that --save-model wrote.")
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        if metadata.get("sha256") != checksum(metadata["knowsam"], tensors):
            raise ValueError("its checksum does not fit")
        return _rebuild(json.loads(metadata["knowsam"]), tensors)
    except (
        SafetensorError,
        ConfigError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        OSError,
    ) as exc:
        sentence = (
            f"{path.name} is not a usable KnowSAM model ({exc}). A file written by --save-model was expected; "
            "train and save the model again."
        )
        raise damage_error(sentence, exc, CheckpointError) from exc


def checksum(description: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of what a model file holds, by which a changed byte shows."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _rebuild(description: dict[str, Any], tensors: dict[str, Tensor]) -> TrainedModel:
    if description["format"] != _FORMAT:
        raise ValueError(f"format {description['format']}, expected {_FORMAT}")
    axis, pixel_mm = int(description["axis"]), float(description["pixel_mm"])
    classes = tuple(LabelClass(int(c["value"]), str(c["name"]), tuple(c["color"])) for c in description["classes"])
    if axis not in (0, 1, 2) or not 0 < pixel_mm < math.inf or len(classes) < 2:
        raise ValueError(f"axis {axis}, pixel size {pixel_mm} mm, {len(classes)} classes")
    config = Config.from_dict(description["config"])
    students = Students(len(classes), config=config.students, prior=config.method.shape_prior)
    students.load_state_dict(_with_prefix(tensors, "students."))
    origin = description["teacher_origin"]
    return TrainedModel(
        students=students.eval(),
        teacher=MappingProxyType(_with_prefix(tensors, "teacher.")),
        teacher_origin=None if origin is None else TeacherOrigin(**origin),
        config=config,
        plan=MappingProxyType(description["plan"]),
        classes=classes,
        axis=axis,
        pixel_mm=pixel_mm,
        steps=int(description["steps"]),
    )


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
