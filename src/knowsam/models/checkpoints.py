"""Files of SAM's weights: how they are read, and which variant they are."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from knowsam.damage import damage_error
from knowsam.errors import CheckpointError
from knowsam.models.sam import VARIANTS
from knowsam.models.tiny_vit import CLASSIFIER, FIRST_PARAMETER

DAMAGE = (
    *(OSError, EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError, pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile, zlib.error),
    struct.error,
)
"""What damaged files of weights make their readers raise."""

_UNUSED = tuple(f"image_encoder.{part}" for part in CLASSIFIER)


def load_sam_weights(path: Path) -> dict[str, Tensor]:
    """Read SAM weights from a ``.pth`` or ``.safetensors`` file, without executing anything stored in it.

    Returns
    -------
    Tensors by their official names, on the CPU, without those that no network of ours has.

    Raises
    ------
    CheckpointError
        If the file cannot be read or holds anything but tensors.
    """
    try:
        content = _read(path)
    except DAMAGE as exc:
        sentence = (
            f"{path} cannot be read as weights ({_why_unreadable(exc)}). "
            "Give an undamaged file of official SAM weights, .pth or .safetensors."
        )
        raise damage_error(sentence, exc, CheckpointError) from exc
    weights = _unwrapped(content)
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise CheckpointError(
            f"{path} holds {_described(weights)}, expected named tensors only. Give a file of official SAM weights."
        )
    return {name: tensor for name, tensor in weights.items() if not name.startswith(_UNUSED)}


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if zipfile.is_zipfile(path):
        # PyTorch does not compare the checksums that its files hold.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} does not fit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _unwrapped(content: Any) -> Any:
    """Take the weights out of the dict in which training scripts like to store them."""
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and wrapper in content:
            return content[wrapper]
    return content


def _why_unreadable(exc: BaseException) -> str:
    # PyTorch's sentence advises to execute what the file holds.
    if isinstance(exc, pickle.UnpicklingError):
        return "it holds more than tensors, or is no file of PyTorch"
    return str(exc).partition("\n")[0] or type(exc).__name__


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    other = sorted({type(value).__name__ for value in content.values() if not isinstance(value, Tensor)})
    return f"entries of type {', '.join(other)}"


def variant_of(weights: Mapping[str, Tensor]) -> str:
    """Return the name of the variant that weights belong to: "vit_b", "vit_l", "vit_h", "mobile_sam" or "compact".

    Raises
    ------
    CheckpointError
        If they belong to none.
    """
    if f"image_encoder.{FIRST_PARAMETER}" in weights:
        return "mobile_sam"
    found = _embed_dim(weights), _depth(weights)
    vits = {name: variant for name, variant in VARIANTS.items() if not variant.is_mobile}
    dimensions = {name: (variant.embed_dim, variant.depth) for name, variant in vits.items()}
    for name, own in dimensions.items():
        if own == found:
            return name
    known = ", ".join(f"{width} and {depth} ({name})" for name, (width, depth) in dimensions.items())
    raise CheckpointError(
        f"The weights have an image encoder of width {found[0]} with {found[1]} blocks, expected {known}, or a TinyViT "
        "(mobile_sam). Give official weights of SAM or MobileSAM, or a file of `knowsam distil`."
    )


def _embed_dim(weights: Mapping[str, Tensor]) -> int:
    pos_embed = weights.get("image_encoder.pos_embed")
    return 0 if pos_embed is None or pos_embed.ndim == 0 else pos_embed.shape[-1]


def _depth(weights: Mapping[str, Tensor]) -> int:
    prefix = "image_encoder.blocks."
    return len({name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)})
