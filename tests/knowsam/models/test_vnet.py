from __future__ import annotations

import pytest
import torch
from torch import nn

from knowsam.models.unet import DROPOUT_RATES
from knowsam.models.vnet import ResidualStage, VNet


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_a_rectangular_plane_keeps_its_size(classes: int, norm: str) -> None:
    vnet = VNet(3, classes, width=4, norm=norm)
    assert vnet(torch.rand(2, 3, 48, 32)).shape == (2, classes, 48, 32)


def test_the_vnet_has_about_3_3_million_parameters() -> None:
    assert sum(p.numel() for p in VNet(3, 2).parameters()) == pytest.approx(3.3e6, rel=0.05)


def test_the_dropout_factor_scales_the_rate_of_each_level() -> None:
    vnet = VNet(3, 2, width=4, dropout=0.5)
    rates = [layer.p for layer in [vnet.stem.dropout, *(stage.dropout for stage in vnet.down)]]
    assert rates == [rate / 2 for rate in DROPOUT_RATES]


def test_a_stage_that_has_learnt_nothing_passes_a_positive_input_through() -> None:
    stage = ResidualStage(4, 4, convs=3, norm="batch")
    for layer in stage.convs:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    x = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(stage(x), x)
