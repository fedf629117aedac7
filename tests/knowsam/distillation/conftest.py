"""The smallest SAMs there are: a teacher of the official layout, and a student of the compact one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from knowsam.data.volume import Grid, Volume
from knowsam.distillation.image_slices import ImageSlices
from knowsam.models.sam import VARIANTS, SamVariant, build_sam

TEACHER = SamVariant(16, 1, 2, global_attention=(0,), prompt_dim=32, decoder_mlp_dim=16)
STUDENT = SamVariant(
    *(16, 1, 2),
    patch_px=4,
    stem=(4, 8),
    window=8,
    prompt_dim=16,
    decoder_mlp_dim=16,
    multimask_outputs=0,
    corrects_masks=True,
)
_DECIDED = 60.0
"""Factor on the last layer that masks come from: at random, probabilities would all be close to one half."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the compact SAM and ViT-B be that small."""
    monkeypatch.setitem(VARIANTS, "vit_b", TEACHER)
    monkeypatch.setitem(VARIANTS, "compact", STUDENT)


@pytest.fixture
def teacher(small: None) -> Mapping[str, Tensor]:
    """Random weights of the small ViT-B, whose masks are as decided as those of a trained SAM."""
    sam = build_sam(VARIANTS["vit_b"], (128, 128))
    with torch.no_grad():
        for part in sam.mask_decoder.output_hypernetworks_mlps:
            part.layers[-1].weight.mul_(_DECIDED)
    return sam.state_dict()


@pytest.fixture
def slices() -> ImageSlices:
    """Sixteen slices of smooth noise; those from 6 to 8 are held out."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(16, 32, 32)), (1, 3, 3))
    volume = Volume((1000 * noise).astype(np.float32), Grid((32, 32, 16), np.eye(4)), "noise")
    return ImageSlices([volume], [0], torch.device("cpu"))
