"""SAM itself, for a plane of any size (Kirillov et al., "Segment Anything", ICCV 2023, arXiv 2304.02643).

The networks are those of the package segment-anything, which is imported here and nowhere else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.errors import CheckpointError
from knowsam.models.compact_parts import ConvStem, MaskMixer
from knowsam.models.tiny_vit import TinyVit

if TYPE_CHECKING:
    from collections.abc import Mapping


def _import_sam_networks() -> ModuleType:
    """Import `segment_anything.modeling` by itself: the package's own `__init__` needs torchvision, which we do not."""
    spec = find_spec("segment_anything")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'segment_anything'. Install segment-anything.")
    package = ModuleType("_knowsam_segment_anything")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[package.__name__] = package
    return import_module(f"{package.__name__}.modeling")


_sam_networks = _import_sam_networks()


def relative_positions(queries: int, keys: int, table: Tensor) -> Tensor:
    """Look up the relative positions (queries, keys, head width) in a table of them.

    The package does this with indices on the CPU, for which CUDA would be waited for in every block.
    """
    if queries != keys or len(table) != 2 * keys - 1:
        looked_up: Tensor = _package_relative_positions(queries, keys, table)
        return looked_up
    place = torch.arange(keys, device=table.device)
    return table[place[:, None] - place[None, :] + keys - 1]


_package_relative_positions = _sam_networks.image_encoder.get_rel_pos
_sam_networks.image_encoder.get_rel_pos = relative_positions


@dataclass(frozen=True)
class SamVariant:
    """The dimensions in which SAM's variants differ.

    Parameters
    ----------
    embed_dim, depth, heads : width, blocks and attention heads of the image encoder.
    global_attention : indices of the blocks that attend to the whole plane; the others attend within windows.
    patch_px : side of the square that becomes one token of the image encoder.
    stem : channels of the convolutions that make tokens, at full, half, ... resolution; empty for one linear map.
    window : side of an attention window, in tokens; 0 makes every block global.
    prompt_dim : width of image embedding, prompt tokens and mask decoder.
    decoder_mlp_dim : hidden width of the mask decoder's transformer.
    multimask_outputs : further masks the decoder can propose for an ambiguous prompt; the teacher does not use them.
    corrects_masks : whether it says by how much a mask prompt is to be changed, instead of drawing the mask anew.
    is_mobile : whether the image encoder is the TinyViT of MobileSAM, whose dimensions are its own.
    """

    embed_dim: int
    depth: int
    heads: int
    global_attention: tuple[int, ...] = ()
    patch_px: int = 16
    stem: tuple[int, ...] = ()
    window: int = 14
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    multimask_outputs: int = 3
    corrects_masks: bool = False
    is_mobile: bool = False


VARIANTS = {
    "compact": SamVariant(
        *(96, 2, 2),
        patch_px=4,
        stem=(16, 48),
        window=8,
        prompt_dim=96,
        decoder_mlp_dim=192,
        multimask_outputs=0,
        corrects_masks=True,
    ),
    "vit_b": SamVariant(768, 12, 12, global_attention=(2, 5, 8, 11)),
    "vit_l": SamVariant(1024, 24, 16, global_attention=(5, 11, 17, 23)),
    "vit_h": SamVariant(1280, 32, 16, global_attention=(7, 15, 23, 31)),
    "mobile_sam": SamVariant(320, 12, 10, is_mobile=True),
}


def build_sam(variant: SamVariant, plane: tuple[int, int]) -> Any:
    """Build SAM for one plane, with the parameter names of the official checkpoints.

    Parameters
    ----------
    variant : dimensions of the networks.
    plane : (H, W) in px, multiples of the patch; need not be square.

    Returns
    -------
    A `segment_anything.modeling.Sam`, untrained.
    """
    grid = plane[0] // variant.patch_px, plane[1] // variant.patch_px
    sam = _sam_networks.Sam(
        image_encoder=_image_encoder(variant, plane, grid),
        prompt_encoder=_sam_networks.PromptEncoder(
            embed_dim=variant.prompt_dim, image_embedding_size=grid, input_image_size=plane, mask_in_chans=16
        ),
        mask_decoder=_sam_networks.MaskDecoder(
            num_multimask_outputs=variant.multimask_outputs,
            transformer=_sam_networks.TwoWayTransformer(
                depth=2, embedding_dim=variant.prompt_dim, mlp_dim=variant.decoder_mlp_dim, num_heads=8
            ),
            transformer_dim=variant.prompt_dim,
        ),
    )
    if variant.corrects_masks:
        sam.mask_mixer = MaskMixer(variant.prompt_dim)
    # The package draws these frequencies at random. They are not trained, so they must not change from run to run.
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.normal_(generator=torch.Generator().manual_seed(0))
    return sam


def _image_encoder(variant: SamVariant, plane: tuple[int, int], grid: tuple[int, int]) -> Any:
    """Build the image encoder; the package only builds square ones, so positions are laid out for `grid` afterwards."""
    if variant.is_mobile:
        return TinyVit(variant.prompt_dim, _sam_networks.common.LayerNorm2d)
    encoder = _sam_networks.ImageEncoderViT(
        img_size=max(plane),
        patch_size=variant.patch_px,
        embed_dim=variant.embed_dim,
        depth=variant.depth,
        num_heads=variant.heads,
        out_chans=variant.prompt_dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=variant.window,
        global_attn_indexes=variant.global_attention,
    )
    h, w = grid
    head_dim = variant.embed_dim // variant.heads
    if variant.stem:
        encoder.patch_embed = ConvStem(variant.stem, variant.embed_dim)
    encoder.pos_embed = nn.Parameter(torch.zeros(1, h, w, variant.embed_dim))
    for block in encoder.blocks:
        if block.window_size == 0:
            block.attn.rel_pos_h = nn.Parameter(torch.zeros(2 * h - 1, head_dim))
            block.attn.rel_pos_w = nn.Parameter(torch.zeros(2 * w - 1, head_dim))
    return encoder


def load_resized(sam: nn.Module, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load weights of the same variant, interpolating its position tables where the plane is another one.

    Returns
    -------
    The names of the interpolated tensors.

    Raises
    ------
    CheckpointError
        If the weights miss a tensor, have one too many, or have one of a shape that no interpolation explains.
    """
    expected = sam.state_dict()
    _check_names(expected, weights)
    fitted = {name: _resized(name, weights[name], expected[name].shape) for name in expected}
    for name, tensor in fitted.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"In the SAM weights {name} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}. "
                "Choose the SAM variant that these weights belong to."
            )
    sam.load_state_dict(fitted)
    return tuple(name for name in expected if fitted[name] is not weights[name])


def _check_names(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, unexpected = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"The SAM weights have {len(found)} tensors, expected {len(expected)}: {len(missing)} are missing "
            f"({some(missing)}) and {len(unexpected)} are unknown ({some(unexpected)}). "
            "Choose the SAM variant that these weights belong to, or download its official weights."
        )


def some(names: list[str]) -> str:
    """Return the first of some names of tensors, as a sentence lists them."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "none"


def _resized(name: str, table: Tensor, shape: torch.Size) -> Tensor:
    """Interpolate a position table to another grid; return any other tensor as it is."""
    if table.shape == shape or table.ndim != len(shape) or table.shape[-1] != shape[-1]:
        return table
    if name.endswith(".pos_embed"):
        return resized_positions(table.float(), (shape[1], shape[2]))
    if name.endswith((".rel_pos_h", ".rel_pos_w")):
        distances = table.float().permute(1, 0).unsqueeze(0)
        return F.interpolate(distances, size=shape[0], mode="linear", align_corners=False).squeeze(0).permute(1, 0)
    return table


def resized_positions(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Interpolate absolute positions (1, h, w, E) to another grid; return those of the same grid as they are."""
    if table.shape[1:3] == grid:
        return table
    positions = table.permute(0, 3, 1, 2)
    resized = F.interpolate(positions, size=grid, mode="bicubic", align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1)
