"""The trained networks as ONNX files, for programs that run networks without PyTorch."""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from knowsam.data.window import PLANE_MULTIPLE, SMALLEST_SIDE_PX
from knowsam.errors import ConfigError, OutputError
from knowsam.io.atomic import output_written
from knowsam.models.propagator import shipped_propagator
from knowsam.models.students import IMAGE_CHANNELS
from knowsam.propagation.evidence import MAPS, POSITION_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from knowsam.training.trained_model import TrainedModel

ONNX_SUFFIX = ".onnx"

LARGEST_DIFFERENCE = 1e-4
"""Between what PyTorch and ONNX Runtime find."""

_SIZES = ((2, 64, 96), (1, 32, 48))
"""Slices, rows and columns with which both are compared; the first ones are those with which the file is made."""

_MOST_SIDE_PX = 4096


class _Probabilities(nn.Module):
    """The students' fused prediction, as probabilities."""

    def __init__(self, students: nn.Module) -> None:
        super().__init__()
        self.students = students

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.students(images).fused.softmax(dim=1)
        return probabilities


def write_students(model: TrainedModel, path: Path, *, overwrite: bool = False) -> float:
    """Write the students of a model: images (B, 3 + K, H, W) in, probabilities (B, C, H, W) out.

    H and W are multiples of 16. The file says which classes, plane and pixels the model has.

    Returns
    -------
    The largest difference between what ONNX Runtime and PyTorch find.

    Raises
    ------
    ConfigError
        If a package is missing.
    OutputError
        If the file cannot be written, or ONNX Runtime finds something else than PyTorch.
    """
    students = model.students
    description = {
        "classes": [{"value": one.value, "name": one.name} for one in model.classes],
        "axis": model.axis,
        "pixel_mm": model.pixel_mm,
        "neighbours": model.config.plane.neighbours,
        "prior_channels": students.prior_channels,
    }
    planes = {"images": IMAGE_CHANNELS + students.prior_channels}
    return _write(_Probabilities(students).eval(), planes, {}, "probabilities", description, path, overwrite)


def write_propagator(path: Path, *, overwrite: bool = False) -> float:
    """Write the propagator: maps (B, 10, H, W) and position (B, 5) in, change of the logit (B, 1, H, W) out.

    What the maps are says `knowsam.propagation.evidence.Evidence`. Otherwise as `write_students`.
    """
    planes, values = {"maps": MAPS}, {"position": POSITION_VALUES}
    return _write(shipped_propagator(torch.device("cpu")), planes, values, "change", {}, path, overwrite)


def _write(
    network: nn.Module,
    planes: dict[str, int],
    values: dict[str, int],
    output: str,
    description: dict[str, Any],
    path: Path,
    overwrite: bool,
) -> float:
    """Write a network whose inputs are planes of so many channels, and after these so many values of each slice."""
    runtime = _packages()
    examples = [_inputs(planes, values, *size) for size in _SIZES]
    with output_written(path, overwrite=overwrite) as complete, _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            network,
            tuple(examples[0].values()),
            input_names=[*planes, *values],
            output_names=[output],
            dynamic_shapes=_dynamic(examples[0]),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props["knowsam"] = json.dumps(description)
        program.save(str(complete))
        session = runtime.InferenceSession(str(complete), providers=["CPUExecutionProvider"])
        difference = max(_difference(session, network, inputs) for inputs in examples)
        if not difference <= LARGEST_DIFFERENCE:
            raise OutputError(
                f"What ONNX Runtime finds differs from PyTorch by {difference:.1e}, but at most "
                f"{LARGEST_DIFFERENCE:.0e} was expected, so nothing was written. Try other versions of onnxruntime."
            )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own old spellings, and of packages that are not needed."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _inputs(planes: dict[str, int], values: dict[str, int], slices: int, rows: int, columns: int) -> dict[str, Tensor]:
    shapes = {name: (slices, count, rows, columns) for name, count in planes.items()}
    generator = torch.Generator().manual_seed(0)
    all_shapes = {**shapes, **{name: (slices, count) for name, count in values.items()}}
    return {name: torch.rand(shape, generator=generator) for name, shape in all_shapes.items()}


def _dynamic(inputs: dict[str, Tensor]) -> tuple[dict[int, Any], ...]:
    """Let the number of slices, and the sides of planes, be any that the networks take."""
    batch = torch.export.Dim("slices")
    sides = [
        PLANE_MULTIPLE
        * torch.export.Dim(name, min=SMALLEST_SIDE_PX // PLANE_MULTIPLE, max=_MOST_SIDE_PX // PLANE_MULTIPLE)
        for name in ("rows", "columns")
    ]
    return tuple({0: batch, **({2: sides[0], 3: sides[1]} if one.ndim == 4 else {})} for one in inputs.values())


def _difference(session: Any, network: nn.Module, inputs: dict[str, Tensor]) -> float:
    (found,) = session.run(None, {name: one.numpy() for name, one in inputs.items()})
    return float(np.abs(found - network(*inputs.values()).numpy()).max())


def _packages() -> Any:
    """Return ONNX Runtime, after making sure that what the exporter needs is there, too."""
    # Version 1.32 keeps an identifier of the computer and reports its use, from its import on.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        for name in ("onnx", "onnxscript"):
            import_module(name)
        return import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(
            f"ONNX files need a package that is not installed ({error.name}). Install it with "
            'pip install "napari-knowsam[onnx]".'
        ) from error
