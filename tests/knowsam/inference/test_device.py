from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from knowsam.errors import ConfigError
from knowsam.inference.device import fault_sentence, is_out_of_memory, memory_remedy, resolve_device, resolve_dtype

CPU = torch.device("cpu")


@dataclass
class Machine:
    """What PyTorch finds besides the processor."""

    cards: int = 0
    has_mps: bool = False


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: machine.cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: machine.cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: machine.has_mps)
    return machine


@pytest.mark.usefixtures("machine")
def test_auto_is_the_cpu_where_nothing_else_is_there() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == CPU


def test_auto_prefers_cuda_and_then_mps(machine: Machine) -> None:
    machine.has_mps = True
    assert resolve_device("auto").type == "mps"
    machine.cards = 1
    assert resolve_device("auto").type == "cuda"


@pytest.mark.parametrize("name", ["toaster", "", "cuda:x", "xpu", "meta"])
def test_an_unknown_device_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="Choose one of auto, cpu, cuda, mps"):
        resolve_device(name)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_missing_device_is_refused_and_the_best_one_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is not available on this machine; .* finds 'cpu'"):
        resolve_device(name)


def test_a_second_graphics_card_has_to_be_there(machine: Machine) -> None:
    machine.cards = 1
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="'cuda:1' is not available"):
        resolve_device("cuda:1")


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_precision_that_was_asked_for_is_taken(precision: str, dtype: torch.dtype) -> None:
    assert resolve_dtype(precision, CPU) is dtype


@pytest.mark.parametrize(("instructions", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bfloat16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, instructions: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert resolve_dtype("auto", CPU) is dtype


def test_without_a_word_of_the_processor_auto_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert resolve_dtype("auto", CPU) is torch.float32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB). Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0"),
        RuntimeError("Invalid buffer size: 24.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
        MemoryError(),
    ],
)
def test_every_device_has_its_own_words_for_exhausted_memory(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_only_a_graphics_card_with_memory_of_its_own_is_left_for_the_processor() -> None:
    assert "--device cpu" in memory_remedy(torch.device("cuda", 0))
    assert "--device" not in memory_remedy(torch.device("mps")) + memory_remedy(CPU)


def test_a_fault_of_a_device_is_reported_without_the_advice_of_pytorch_and_with_the_remedy() -> None:
    error = NotImplementedError("The operator 'x' is not implemented. As a temporary fix, set Y.")
    assert fault_sentence(error, CPU) == "The operator 'x' is not implemented."
    assert fault_sentence(error, torch.device("mps")) == (
        "The operator 'x' is not implemented. Choose --device cpu, or install a newer PyTorch or driver."
    )
