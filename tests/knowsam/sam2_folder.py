"""Tiny SAM-2 and EdgeTAM networks with random weights, in folders as Hugging Face lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

SIDE = 256


def tiny_sam2(seed: int = 0, **hiera: Any) -> Any:
    """Return a SAM-2 for images of 256 px in which every weight matters."""
    from transformers import Sam2Config, Sam2MaskDecoderConfig, Sam2Model, Sam2PromptEncoderConfig

    config = Sam2Config(
        vision_config=_vision(hiera),
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=32, image_size=SIDE),
        mask_decoder_config=Sam2MaskDecoderConfig(**_DECODER),
    )
    return _random(Sam2Model, config, seed)


def tiny_sam2_video(seed: int = 0) -> Any:
    """Return a SAM-2 for videos, with the same image part and a memory beside it."""
    from transformers import (
        Sam2VideoConfig,
        Sam2VideoMaskDecoderConfig,
        Sam2VideoModel,
        Sam2VideoPromptEncoderConfig,
    )

    config = Sam2VideoConfig(
        vision_config=_vision({}),
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=32, image_size=SIDE),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(**_DECODER),
        image_size=SIDE,
        **{"memory_attention_hidden_size": 32, "memory_attention_feed_forward_hidden_size": 32},
        **{"memory_attention_num_layers": 1, "memory_encoder_hidden_size": 32, "memory_encoder_output_channels": 16},
        **{"mask_downsampler_embed_dim": 32, "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 32},
    )
    return _random(Sam2VideoModel, config, seed)


_DECODER = {
    **{"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 4, "iou_head_hidden_dim": 32},
    "dynamic_multimask_via_stability": False,
}


def _vision(hiera: Mapping[str, Any]) -> Any:
    from transformers import Sam2HieraDetConfig, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        **{"hidden_size": 8, "blocks_per_stage": [1, 2, 3, 1], "embed_dim_per_stage": [8, 16, 32, 64]},
        **{"global_attention_blocks": [4], "image_size": [SIDE, SIDE]} | hiera,
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        fpn_hidden_size=32,
    )


def _random(network_class: Any, config: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    network = network_class(config)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 or "no_memory" in name:
            nn.init.normal_(parameter, std=0.3)
    return network.eval()


def save_silently(network: Any, folder: Path) -> Path:
    """Save a network without a progress bar; return the folder."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    network.save_pretrained(folder)
    return folder


def tiny_edgetam(seed: int = 0, architecture: str = "repvit_m1", channels: tuple[int, ...] = (8, 16, 24, 32)) -> Any:
    """Return an EdgeTAM for images of 256 px in which every weight matters."""
    from transformers import (
        EdgeTamConfig,
        EdgeTamMaskDecoderConfig,
        EdgeTamModel,
        EdgeTamPromptEncoderConfig,
        EdgeTamVisionConfig,
    )

    sizes = {"embed_dim": list(channels), "depth": [1, 1, 2, 1]} if architecture.startswith("repvit") else {}
    levels = [0, 1, 2, 3] if sizes else [1, 2, 3, 4]
    backbone = {
        **{"model_type": "timm_wrapper", "architecture": architecture, "num_classes": 2, "label_names": ["a", "b"]},
        "model_args": {"in_chans": 3, "features_only": True, "out_indices": levels} | sizes,
    }
    vision = EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(channels)),
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        fpn_hidden_size=32,
    )
    config = EdgeTamConfig(
        vision_config=vision,
        prompt_encoder_config=EdgeTamPromptEncoderConfig(hidden_size=32, image_size=SIDE),
        mask_decoder_config=EdgeTamMaskDecoderConfig(**_DECODER),
    )
    return _random(EdgeTamModel, config, seed)
