"""No Apple GPU is needed: a device that lacks an operation is played by one that raises what PyTorch raises there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from knowsam.errors import ConfigError
from knowsam.training import device_check
from knowsam.training.device_check import take_tiny_step, working_device
from knowsam.training.events import Notice
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from knowsam.config import Config
    from knowsam.data.case import Case

CPU = torch.device("cpu")
LACKING = [
    NotImplementedError("The operator 'aten::linalg_qr.out' is not currently implemented for the MPS device.\nSet 1."),
    TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."),
    RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    AssertionError("Torch not compiled with MPS enabled"),
]


class AppleGPU(TorchDispatchMode):
    """Refuses what MPS has refused in any version of PyTorch that may be installed."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        pads_with_edge = name.startswith("aten.grid_sampler_2d") and args[-2] != 0
        if pads_with_edge or name.startswith(("aten.grid_sampler_3d", "aten._pin_memory")):
            raise NotImplementedError(f"MPS: {name}")
        result = func(*args, **(kwargs or {}))
        if any(isinstance(t, torch.Tensor) and t.dtype is torch.float64 for t in tree_leaves(result)):
            raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype: {name}")
        if name.startswith("aten._adaptive_avg_pool2d") and any(
            n % wanted for n, wanted in zip(args[0].shape[-2:], args[1], strict=True)
        ):
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes")
        return result


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """A machine with an Apple GPU that fails in the first step."""

    def fail(device: torch.device) -> None:
        raise request.param

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device_check, "take_tiny_step", fail)
    device_check._fault.cache_clear()
    yield str(request.param).split("\n")[0].rstrip(".")
    device_check._fault.cache_clear()


def test_no_operation_that_an_apple_gpu_lacks_is_used() -> None:
    with AppleGPU():
        take_tiny_step(CPU)


@pytest.mark.parametrize("operation", ["aten.convolution_backward", "aten.upsample_nearest2d", "aten._softmax"])
def test_what_training_prediction_or_propagation_alone_needs_is_tried(operation: str) -> None:
    class Lacking(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if str(func).startswith(operation):
                raise NotImplementedError(f"The operator {operation} is not implemented. Set a variable.")
            return func(*args, **(kwargs or {}))

    device_check._fault.cache_clear()
    with Lacking():
        assert device_check._fault("cpu") == f"The operator {operation} is not implemented"
    device_check._fault.cache_clear()


@pytest.mark.parametrize("faulty", LACKING, indirect=True, ids=lambda error: type(error).__name__)
def test_auto_falls_back_to_the_processor_and_says_why(faulty: str) -> None:
    device, notice = working_device("auto")
    assert device == CPU
    assert "mps" in notice
    assert faulty in notice


@pytest.mark.parametrize("faulty", LACKING, indirect=True, ids=lambda error: type(error).__name__)
def test_a_device_asked_for_by_name_is_refused_with_the_remedy(faulty: str) -> None:
    with pytest.raises(ConfigError, match=r"'mps'.*--device cpu") as raised:
        working_device("mps")
    assert faulty in str(raised.value)


@pytest.mark.parametrize("faulty", LACKING[:1], indirect=True)
def test_a_session_on_another_device_than_the_best_one_reports_it(faulty: str, case: Case, tiny_config: Config) -> None:
    config = tiny_config.with_values(variant="none", mixing=False)
    session = TrainingSession([case], budget=Budget(steps=1), config=config)
    assert session.device == CPU
    assert any(faulty in event.text for event in session.run() if isinstance(event, Notice))


def test_a_device_that_works_is_taken_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device_check, "take_tiny_step", tried.append)
    device_check._fault.cache_clear()
    assert working_device("auto") == working_device("auto") == (torch.device("cuda"), "")
    device_check._fault.cache_clear()
    assert tried == [torch.device("cuda")]
