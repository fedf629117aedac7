"""With the same weights and prompts, our SAM finds what `SamPredictor` of the package segment-anything finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowsam.models.sam import VARIANTS, SamVariant, build_sam
from knowsam.models.sam_prompting import (
    BOTTOM_RIGHT,
    INSIDE,
    MOST_LOGIT,
    NO_POINT,
    OUTSIDE,
    TOP_LEFT,
    decode,
    embed,
    point_tokens,
)

TOLERANCE = 1e-4
TINY = SamVariant(32, 2, 2, global_attention=(1,), decoder_mlp_dim=32, window=3)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return an import of modules of segment-anything as they are, with torchvision, if it is missing, left empty.

    torchvision resizes images, which have the size of the network here.
    """
    spec = find_spec("segment_anything")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = ModuleType("segment_anything")
    package.__path__ = list(spec.submodule_search_locations)
    for name in [name for name in sys.modules if name.partition(".")[0] == "segment_anything"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "segment_anything", package)
    if find_spec("torchvision") is None:
        resizing: Any = ModuleType("torchvision.transforms.functional")
        resizing.resize = resizing.to_pil_image = None
        for name in ("torchvision", "torchvision.transforms"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, resizing.__name__, resizing)
    for name in ("modeling", "utils", "utils.transforms", "predictor", "build_sam"):
        # So that pytest takes away what is imported now.
        monkeypatch.setitem(sys.modules, f"segment_anything.{name}", ModuleType(name))
        del sys.modules[f"segment_anything.{name}"]
    return lambda name: import_module(f"segment_anything.{name}")


def random_weights(variant: SamVariant, side: int) -> dict[str, Tensor]:
    """Return weights in which positions matter, too."""
    torch.manual_seed(0)
    sam: nn.Module = build_sam(variant, (side, side))
    for name, parameter in sam.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=0.1)
    return sam.state_dict()


def tiny_sam_of(package: Callable[[str], Any], side: int) -> Any:
    modeling = package("modeling")
    encoder = modeling.ImageEncoderViT(
        **{"img_size": side, "embed_dim": 32, "depth": 2, "num_heads": 2, "window_size": 3, "use_rel_pos": True},
        global_attn_indexes=(1,),
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    prompts = modeling.PromptEncoder(256, (side // 16, side // 16), (side, side), mask_in_chans=16)
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=32, num_heads=8)
    decoder = modeling.MaskDecoder(transformer_dim=256, transformer=transformer)
    return modeling.Sam(encoder, prompts, decoder)


@torch.no_grad()
def assert_same_masks(theirs: Any, predictor: Any, weights: dict[str, Tensor], variant: SamVariant, side: int) -> None:
    """Compare masks and their quality, for clicks, a box, a mask, and a click with a mask."""
    theirs.load_state_dict(weights)
    ours = build_sam(variant, (side, side))
    ours.load_state_dict(weights)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8))
    points = torch.tensor([[[0.2, 0.6], [0.7, 0.3]]]) * side
    noise = 3 * torch.randn(1, 1, side // 4, side // 4, generator=torch.Generator().manual_seed(1))
    # The teacher makes no difference between logits beyond that.
    mask = noise.clamp(-MOST_LOGIT, MOST_LOGIT)

    predictor.set_torch_image(image, (side, side))
    embedding = embed(ours, image / 255)
    assert_close(embedding, predictor.get_image_embedding())
    clicks = torch.tensor([[1, 0]])
    for labels, corners, given in (
        (clicks, False, None),
        (None, True, None),
        (None, False, mask),
        (clicks, False, mask),
    ):
        found, quality, small = predictor.predict_torch(
            None if labels is None else points,
            labels,
            boxes=points.flatten(1) if corners else None,
            mask_input=given,
            multimask_output=False,
            return_logits=True,
        )
        kinds = [TOP_LEFT, BOTTOM_RIGHT] if corners else [INSIDE, OUTSIDE, NO_POINT]
        places = points if corners else torch.cat([points, torch.zeros(1, 1, 2)], dim=1)
        is_pointed = corners or labels is not None
        tokens = point_tokens(ours, places, torch.tensor([kinds]), (side, side)) if is_pointed else None
        logits, own_quality = decode(ours, embedding, tokens, given, corrects=False)
        assert_close(logits, small)
        assert_close(own_quality, quality[:, 0])
        assert_close(ours.postprocess_masks(logits, (side, side), (side, side)), found)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 10 * TOLERANCE
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0.0)


def test_a_tiny_sam_finds_what_the_predictor_of_the_package_finds(package: Callable[[str], Any]) -> None:
    sam = tiny_sam_of(package, 128)
    predictor = package("predictor").SamPredictor(sam)
    assert_same_masks(sam, predictor, random_weights(TINY, 128), TINY, 128)


@pytest.mark.slow
def test_vit_b_at_1024_px_finds_what_the_predictor_of_the_package_finds(package: Callable[[str], Any]) -> None:
    sam = package("build_sam").sam_model_registry["vit_b"]()
    predictor = package("predictor").SamPredictor(sam)
    assert_same_masks(sam, predictor, random_weights(VARIANTS["vit_b"], 1024), VARIANTS["vit_b"], 1024)
