"""Networks as ONNX files find in ONNX Runtime what they find in PyTorch."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from knowsam.cli import main
from knowsam.config import Config, StudentConfig
from knowsam.data.annotation import LabelClass
from knowsam.errors import ConfigError, OutputError
from knowsam.models.propagator import shipped_propagator
from knowsam.models.students import Students
from knowsam.training import onnx_file
from knowsam.training.onnx_file import write_students
from knowsam.training.trained_model import TrainedModel, save_model

onnxruntime = pytest.importorskip("onnxruntime")

CLASSES = tuple(
    LabelClass(value, name, (0, 0, value)) for value, name in ((0, "background"), (4, "liver"), (9, "cyst"))
)


@pytest.mark.slow
def test_onnx_runtime_reports_nothing_to_anybody(tmp_path: Path) -> None:
    """Where it does, it keeps an identifier of the computer in the folder of the user."""
    program = "from knowsam.training import onnx_file; onnx_file._packages()"
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.rglob("*onnxruntime*"))


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    students = Students(len(CLASSES), config=StudentConfig(width=4), prior=True).eval()
    return TrainedModel(students, {}, Config().with_values(width=4), CLASSES, axis=1, pixel_mm=1.5, steps=1)


@pytest.fixture(scope="module")
def lean(model: TrainedModel) -> TrainedModel:
    """The same with one convolution for UNet and one for VNet, whose many layers take long to be translated."""
    students = copy.deepcopy(model.students)
    students.unet, students.vnet = (nn.Conv2d(11, len(CLASSES), kernel_size=3, padding=1) for _ in range(2))
    return replace(model, students=students)


def assert_same(model: TrainedModel, file: Path) -> None:
    """Compare what a file finds with what the students do, and what it says of them with what they are."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = torch.rand(3, 3 + 4 * len(CLASSES), 80, 48)
    with torch.inference_mode():
        expected = model.students(images).fused.softmax(dim=1)
    (found,) = session.run(["probabilities"], {"images": images.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    description = json.loads(session.get_modelmeta().custom_metadata_map["knowsam"])
    assert [one["value"] for one in description["classes"]] == [0, 4, 9]
    assert (description["axis"], description["pixel_mm"], description["prior_channels"]) == (1, 1.5, 12)


def test_students_find_the_same_and_say_what_they_know(lean: TrainedModel, tmp_path: Path) -> None:
    assert write_students(lean, tmp_path / "students.onnx") < 1e-4
    assert_same(lean, tmp_path / "students.onnx")


@pytest.mark.slow
def test_so_do_whole_networks_that_a_command_writes(model: TrainedModel, tmp_path: Path) -> None:
    folder, file = tmp_path / "model", tmp_path / "students.onnx"
    save_model(model, folder)
    assert main(["onnx", str(folder), "-o", str(file)]) == 0
    assert_same(model, file)


def test_the_propagator_that_a_command_writes_finds_the_same(tmp_path: Path) -> None:
    file = tmp_path / "propagator.onnx"
    assert main(["onnx", "propagator", "-o", str(file)]) == 0
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    maps, position = torch.rand(2, 10, 48, 64), torch.rand(2, 5)
    with torch.inference_mode():
        expected = shipped_propagator(torch.device("cpu"))(maps, position)
    (found,) = session.run(["change"], {"maps": maps.numpy(), "position": position.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_unwritable_file_is_reported(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["onnx", "propagator", "-o", str(tmp_path / "propagator.pt")]) == 2
    assert "must end with .onnx" in capsys.readouterr().err
    taken = tmp_path / "taken.onnx"
    taken.write_bytes(b"kept")
    with pytest.raises(OutputError, match="exists already and is kept"):
        write_students(model, taken)
    assert taken.read_bytes() == b"kept"
    monkeypatch.setattr(onnx_file, "import_module", _missing)
    with pytest.raises(ConfigError, match=r"\(onnx\).*napari-knowsam\[onnx\]"):
        write_students(model, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()


def test_a_file_that_finds_something_else_is_not_written(
    lean: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(OutputError, match="differs from PyTorch"):
        write_students(lean, tmp_path / "new.onnx")
    assert list(tmp_path.iterdir()) == []


def _missing(name: str) -> None:
    raise ImportError(name=name)
