"""The embeddings of the teacher, computed once for each slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from knowsam.config import TeacherConfig
from knowsam.training.trunk_cache import TrunkCache, signature

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.distillation.image_slices import ImageSlices
    from knowsam.models.promptable_sam import PromptableSam

_AT_ONCE = 4


class EmbeddingCache:
    """Embeddings of the teacher: in memory up to a limit, then in a file, see `TrunkCache`."""

    def __init__(self, teacher: PromptableSam, slices: ImageSlices) -> None:
        self._teacher, self._slices = teacher, slices
        self._cache = TrunkCache(sum(map(len, slices.planes)), TeacherConfig(), self._sign)

    def fill(self) -> Iterator[int]:
        """Compute all embeddings; yield the size of each batch."""
        rows = [*self._slices.learnt, *self._slices.held_out]
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            self.embeddings(part)
            yield len(part)

    def embeddings(self, rows: Sequence[int]) -> Tensor:
        """Return the embeddings (B, ...) of some slices, float32."""
        return self._cache.tokens(rows, self._slices.images(rows).unbind(), self._teacher.embed)

    def _sign(self) -> str:
        return signature(self._slices.planes, self._teacher.sam.state_dict(), "distillation")
