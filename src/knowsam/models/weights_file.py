"""What a file of weights tells by the names of its tensors alone, without PyTorch."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

_OF_COMPACT = "mask_mixer."
"""What only the compact SAM has, see `compact_parts.MaskMixer`."""


def is_compact_sam(path: Path) -> bool:
    """Return whether a file holds a compact SAM, as `knowsam distil` writes it; only .safetensors files do."""
    try:
        with safe_open(path, framework="numpy") as file:
            return any(name.startswith(_OF_COMPACT) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False
