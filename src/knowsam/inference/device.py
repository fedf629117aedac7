"""Which device and which arithmetic the networks run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from knowsam.errors import ConfigError, PredictionError


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device that is there.

    Raises
    ------
    ConfigError
        If the device is unknown or missing on this machine.
    """
    if name == "auto":
        return torch.device(_best_available())
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise ConfigError(f"There is no device {name!r}. Choose one of auto, cpu, cuda, mps.") from exc
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"The device {name!r} is not supported. Choose one of auto, cpu, cuda, mps.")
    if (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    ):
        raise ConfigError(
            f"The device {name!r} is not available on this machine; PyTorch {torch.__version__} finds "
            f"{_best_available()!r}. Choose --device auto, or install PyTorch for your device."
        )
    return device


def _best_available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor from the CPU to a device, without waiting for work that CUDA has still to do."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the device is exhausted."""
    # Except on CUDA, PyTorch reports this as a plain RuntimeError, in words that depend on the system.
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Invalid buffer size")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def memory_remedy(device: torch.device) -> str:
    """Return what helps where the memory of a device is exhausted, in place of PyTorch's advice, which may harm."""
    smaller = "take smaller planes (--max-side-px)"
    if device.type == "cuda":
        return f"The memory of the graphics card ran out. Close other programs that use it, {smaller}, or --device cpu."
    # The GPU of an Apple computer uses the memory of the system, so that the processor has no more of it.
    return f"The memory of this computer ran out. Close other programs, or {smaller}."


def fault_words(error: BaseException) -> str:
    """Return the first sentence of what PyTorch says of an error, without its full stop; others give advice."""
    return str(error).strip().split("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__


def fault_sentence(error: BaseException, device: torch.device) -> str:
    """Return what went wrong on a device, with the remedy where it has no more memory or is no CPU."""
    if is_out_of_memory(error):
        return memory_remedy(device)
    remedy = "" if device.type == "cpu" else " Choose --device cpu, or install a newer PyTorch or driver."
    return f"{fault_words(error)}.{remedy}"


@contextmanager
def faults_in_words(device: torch.device) -> Iterator[None]:
    """Turn errors of PyTorch and a lack of memory into a `PredictionError` that says what went wrong on a device."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise PredictionError(fault_sentence(error, device)) from error


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Turn ``auto``, ``float32`` or ``bfloat16`` into a dtype; auto is bfloat16 where the hardware computes in it."""
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions a CPU emulates bfloat16, several times slower than float32.
    # PyTorch tells of them by private functions only, which another version need not have.
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return device.type == "cpu" and any(is_supported() for is_supported in known if is_supported is not None)
