from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from knowsam.errors import CheckpointError
from knowsam.models.sam import (
    VARIANTS,
    SamVariant,
    _package_relative_positions,
    build_sam,
    load_resized,
    relative_positions,
)

SMALL = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def random_weights(variant: SamVariant, plane: tuple[int, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = build_sam(variant, plane).state_dict()
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in state.items()}


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_a_variant_has_the_layout_of_the_official_one(name: str) -> None:
    official = import_module("_knowsam_segment_anything.build_sam")
    with torch.device("meta"):
        built = build_sam(VARIANTS[name], (1024, 1024))
        expected = official.sam_model_registry[name]()
    assert shapes(built) == shapes(expected)


def test_weights_of_the_same_plane_are_loaded_as_they_are() -> None:
    weights = random_weights(SMALL, (64, 64))
    sam = build_sam(SMALL, (64, 64))
    assert load_resized(sam, weights) == ()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in sam.state_dict().items())


def test_only_the_position_tables_of_global_blocks_are_resized_to_another_plane() -> None:
    weights = random_weights(SMALL, (64, 64))
    sam = build_sam(SMALL, (96, 64))
    resized = load_resized(sam, weights)
    assert set(resized) == {"image_encoder.pos_embed", "image_encoder.blocks.1.attn.rel_pos_h"}
    assert sam.image_encoder.pos_embed.shape == (1, 6, 4, 32)
    assert sam.image_encoder.blocks[1].attn.rel_pos_h.shape == (11, 16)
    kept = weights.keys() - set(resized)
    assert all(torch.equal(sam.state_dict()[name], weights[name]) for name in kept)


def test_resized_positions_keep_their_axes() -> None:
    weights = random_weights(SMALL, (64, 64))
    rows = torch.arange(4.0).view(1, 4, 1, 1)
    weights["image_encoder.pos_embed"] = rows.expand(1, 4, 4, 32)
    sam = build_sam(SMALL, (128, 64))
    load_resized(sam, weights)
    positions = sam.image_encoder.pos_embed[0]
    assert (positions.diff(dim=0) > 0).all()
    torch.testing.assert_close(positions, positions[:, :1, :1].expand(8, 4, 32))


def test_resized_relative_positions_keep_zero_distance_in_the_middle() -> None:
    weights = random_weights(SMALL, (64, 64))
    distances = torch.arange(-3.0, 4.0).view(7, 1)
    weights["image_encoder.blocks.1.attn.rel_pos_h"] = distances.expand(7, 16)
    sam = build_sam(SMALL, (96, 64))
    load_resized(sam, weights)
    table = sam.image_encoder.blocks[1].attn.rel_pos_h[:, 0]
    torch.testing.assert_close(table[5], torch.tensor(0.0))
    torch.testing.assert_close(table, -table.flip(0))


def without(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: without(w, "mask_decoder.iou_token.weight"), "1 are missing .mask_decoder.iou_token.weight"),
        (lambda w: w | {"head.weight": torch.zeros(1)}, "1 are unknown .head.weight"),
        (
            lambda w: w | {"mask_decoder.iou_token.weight": torch.zeros(1, 128)},
            r"mask_decoder.iou_token.weight has shape \(1, 128\), expected \(1, 256\)",
        ),
        (
            lambda w: w | {"image_encoder.pos_embed": torch.zeros(1, 4, 4, 48)},
            r"image_encoder.pos_embed has shape \(1, 4, 4, 48\), expected \(1, 6, 4, 32\)",
        ),
    ],
)
def test_weights_of_another_layout_are_refused_and_nothing_is_loaded(damage: Any, message: str) -> None:
    sam = build_sam(SMALL, (96, 64))
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_resized(sam, damage(random_weights(SMALL, (64, 64))))
    assert all(torch.equal(tensor, before[name]) for name, tensor in sam.state_dict().items())


def test_position_frequencies_do_not_depend_on_the_random_state() -> None:
    first, second = build_sam(SMALL, (64, 64)), build_sam(SMALL, (64, 64))
    assert torch.equal(first.prompt_encoder.get_dense_pe(), second.prompt_encoder.get_dense_pe())


@pytest.mark.parametrize(("queries", "keys", "length"), [(4, 4, 7), (14, 14, 27), (1, 1, 1), (4, 4, 27), (4, 8, 15)])
def test_relative_positions_are_those_of_the_package(queries: int, keys: int, length: int) -> None:
    table = torch.randn(length, 8)
    assert torch.equal(relative_positions(queries, keys, table), _package_relative_positions(queries, keys, table))
