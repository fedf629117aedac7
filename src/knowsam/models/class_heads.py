"""Changes of the classes of trained networks: known classes keep their weights, a new one starts as improbable."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from knowsam.models.students import PRIOR_MAPS, Students

Sources = Sequence[int | None]
"""For each class after the change its index before, or None if it is new."""

_PER_CLASS = {
    "prior.weight": 1,
    "unet.head.weight": 0,
    "unet.head.bias": 0,
    "vnet.head.weight": 0,
    "vnet.head.bias": 0,
    "fusion.agreement.0.weight": 1,
    "fusion.evidence.0.weight": 1,
    "fusion.head.3.weight": 0,
    "fusion.head.3.bias": 0,
}
"""The dimension of each of the students' parameters that counts the classes."""

_BLOCKS = {"prior.weight": PRIOR_MAPS, "fusion.evidence.0.weight": 2}
"""Parameters that count the classes several times: once for each map of the prior, once for each student."""

_RARE_LOGIT = -4.0
"""Logit a new class starts with: about one pixel in fifty, so that it does not push itself into what is known; the
lower it is, the less the fusion, which looks at the students' entropy, sees of it, and the longer it takes to learn.
"""


def students_with_classes(students: Students, sources: Sources) -> Students:
    """Return students for other classes, on the same device.

    Each of the two sees the known classes exactly as before; the fusion, which looks at their entropy, nearly so.
    """
    # Building networks draws random numbers, which are all overwritten.
    with torch.random.fork_rng(devices=[]):
        changed = Students(len(sources), config=students.config, prior=students.prior is not None)
    changed.to(next(students.parameters()).device)
    changed.load_state_dict({name: remapped(name, t, sources) for name, t in students.state_dict().items()})
    return changed.train(students.training)


def remapped(name: str, tensor: Tensor, sources: Sources, *, fresh: float | None = None) -> Tensor:
    """Return one of the students' parameters, or anything of its shape, for other classes.

    Parameters
    ----------
    name : of the parameter in the students' state.
    fresh : value for a new class; by default zero weights and a low bias.
    """
    dim = _PER_CLASS.get(name)
    if dim is None:
        return tensor
    blocks = _BLOCKS.get(name, 1)
    parts = [
        _remapped_block(block, dim, sources, _fresh(name) if fresh is None else fresh)
        for block in tensor.chunk(blocks, dim)
    ]
    return torch.cat(parts, dim)


def _remapped_block(block: Tensor, dim: int, sources: Sources, fresh: float) -> Tensor:
    new = torch.full_like(block.narrow(dim, 0, 1), fresh)
    return torch.cat([new if source is None else block.narrow(dim, source, 1) for source in sources], dim)


def _fresh(name: str) -> float:
    return _RARE_LOGIT if name.endswith("bias") else 0.0
