"""Tensors and a description in one safetensors file with a checksum; nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from knowsam.damage import damage_error
from knowsam.errors import CheckpointError, ConfigError
from knowsam.io.atomic import written_whole

T = TypeVar("T")


def write_tensors(
    path: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor], *, overwrite: bool = True
) -> None:
    """Write tensors by name with a description in JSON, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written, or is there and is to be kept.
    """
    text = json.dumps(description)
    metadata = {"knowsam": text, "sha256": checksum(text, tensors)}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=metadata)
    with written_whole(path, overwrite=overwrite) as complete:
        complete.write_bytes(content)


def read_tensors(path: Path, unpacked: Callable[[dict[str, Any], dict[str, Tensor]], T]) -> T:
    """Read what `write_tensors` wrote.

    Parameters
    ----------
    unpacked : makes of description and tensors what they stand for; what it raises shows that they are damaged.

    Raises
    ------
    CheckpointError
        If the file is not there, damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        if "knowsam" not in metadata:
            raise ValueError("another program saved it")
        if metadata.get("sha256") != checksum(metadata["knowsam"], tensors):
            raise ValueError("its checksum does not fit")
        return unpacked(json.loads(metadata["knowsam"]), tensors)
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
            f"{path.name} is not a usable KnowSAM model ({exc}). A model that KnowSAM saved was expected; choose "
            "another file, or train and save the model again."
        )
        raise damage_error(sentence, exc, CheckpointError) from exc


def checksum(description: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the contents of a file."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
