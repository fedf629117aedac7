"""ICT, interpolation consistency training (Verma et al., IJCAI 2019, arXiv 1903.03825).

Between two unlabelled slices, the students say what lies between the mean teacher's predictions of both:

    x_lambda    = lambda x_j + (1 - lambda) x_k,   lambda from Beta(alpha, alpha), one for each step
    consistency = || softmax f(x_lambda; theta) - ( lambda p'_j + (1 - lambda) p'_k ) ||^2,   p' = softmax f(x; theta')

with the mean over classes, pixels and both students. `x_k` is the next slice of the batch, whose order is random. It
takes a second pass of the students; channels of propagated labels are mixed as grey values are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.training.semi_supervised.method import Seen

ALPHA = 0.2
"""One of the values that the publication searches, 0.1 to 1: most slices are mixed a little."""


class InterpolationConsistency(SemiSupervisedMethod):
    """Lets the students interpolate between slices as the average of the students does."""

    title = "interpolation consistency training (Verma et al. 2019)"

    def forward(self, seen: Seen) -> Terms:
        """Return the consistency on mixtures of unlabelled slices."""
        images, share = seen.images[seen.unlabelled], float(seen.random.beta(ALPHA, ALPHA))
        teacher, students = self.averaged(images), seen.students(between(images, share))
        by_unet = _difference(students.unet, teacher.unet, share)
        return Terms((by_unet + _difference(students.vnet, teacher.vnet, share)) / 2)


def between(batch: Tensor, share: float) -> Tensor:
    """Mix each entry of a batch with the next one, the last with the first; `share` is that of its own."""
    return batch.lerp(batch.roll(-1, dims=0), 1 - share)


def _difference(student: Tensor, teacher: Tensor, share: float) -> Tensor:
    return F.mse_loss(student.float().softmax(1), between(teacher.float().softmax(1), share))
