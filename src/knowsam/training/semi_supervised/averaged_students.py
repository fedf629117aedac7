"""The running average of the students' weights, as a teacher of the students."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from knowsam.models.students import IMAGE_CHANNELS, StudentLogits

if TYPE_CHECKING:
    import numpy as np

NOISE = 0.1
"""Standard deviation of the noise on grey values, of 0 to 1; cut off at twice as much, as in UA-MT."""


class AveragedStudents:
    """Asks the averaged students; no gradient flows into them.

    Parameters
    ----------
    students : the average, in evaluation mode.
    run : what runs them, on a batch that several processes may share; by default they do.
    dtype : their arithmetic.
    """

    def __init__(
        self,
        students: nn.Module,
        run: Callable[[Tensor], StudentLogits] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._students, self._dtype = students, dtype
        self._run: Callable[[Tensor], StudentLogits] = run or students

    @torch.no_grad()
    def __call__(self, images: Tensor, *, dropout: bool = False) -> StudentLogits:
        """Return their logits of images (B, 3 + K, H, W); with `dropout`, some features are left out at random."""
        is_reduced = self._dtype is not torch.float32
        with (
            _dropping(self._students, dropout),
            torch.autocast(images.device.type, dtype=self._dtype, enabled=is_reduced),
        ):
            return self._run(images)


def noisy(images: Tensor, random: np.random.Generator) -> Tensor:
    """Add noise to the grey values of images (B, 3 + K, H, W); propagated labels stay as they are."""
    generator = torch.Generator(images.device).manual_seed(int(random.integers(1 << 31)))
    grey, others = images[:, :IMAGE_CHANNELS], images[:, IMAGE_CHANNELS:]
    noise = NOISE * torch.randn(grey.shape, generator=generator, device=images.device)
    return torch.cat([grey + noise.clamp(-2 * NOISE, 2 * NOISE), others], dim=1)


@contextmanager
def _dropping(network: nn.Module, dropout: bool) -> Iterator[None]:
    """Switch the dropout of a network on for a while; what its normalisation has seen stays what it is."""
    layers = [module for module in network.modules() if isinstance(module, nn.Dropout)] if dropout else []
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()
