from __future__ import annotations

import pytest
import torch
from torch import nn

from knowsam.models.unet import DROPOUT_RATES, UNet, norm_layer


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_a_rectangular_plane_keeps_its_size(classes: int, norm: str) -> None:
    unet = UNet(3, classes, width=4, norm=norm)
    assert unet(torch.rand(2, 3, 48, 32)).shape == (2, classes, 48, 32)


def test_the_unet_has_about_1_9_million_parameters() -> None:
    assert sum(p.numel() for p in UNet(3, 2).parameters()) == pytest.approx(1.9e6, rel=0.05)


def test_the_dropout_factor_scales_the_rate_of_each_level() -> None:
    rates = [layer.p for layer in UNet(3, 2, width=4, dropout=0.5).down.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [rate / 2 for rate in DROPOUT_RATES]


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm must be batch, group or instance, not 'layer'"):
        norm_layer("layer", 16)
