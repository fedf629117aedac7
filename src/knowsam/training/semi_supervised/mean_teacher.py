"""Mean teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780).

The teacher of each student is the running average of its own weights (`TrainingConfig.averaging`, a):

    theta'_t    = a theta'_(t-1) + (1 - a) theta_t
    consistency = mean over both students of  || softmax f(x; theta, eta) - softmax f(x'; theta', eta') ||^2

with the mean over classes and pixels of the unlabelled slices. `x` is the strongly augmented slice of the batch, `x'`
the same with noise on its grey values, `eta` and `eta'` dropout. The publication asks the annotated samples too; here
labels say more of these. Without averaging (a = 0) it is the Pi-model (Laine and Aila, ICLR 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from knowsam.training.semi_supervised.averaged_students import noisy
from knowsam.training.semi_supervised.method import SemiSupervisedMethod, Terms, rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.training.semi_supervised.method import PassLogits, Seen


class MeanTeacher(SemiSupervisedMethod):
    """Lets each student agree with its own average under noise."""

    title = "mean teacher (Tarvainen and Valpola 2017)"

    def forward(self, seen: Seen) -> Terms:
        """Return the consistency on unlabelled slices."""
        teacher = self.averaged(noisy(seen.images[seen.unlabelled], seen.random), dropout=True)
        return Terms(squared_difference(rows_of(seen.logits, seen.unlabelled), teacher))


def squared_difference(students: PassLogits, teacher: PassLogits) -> Tensor:
    """Return the mean squared difference of the probabilities, mean over both students."""
    unet = F.mse_loss(students.unet.float().softmax(1), teacher.unet.float().softmax(1))
    return (unet + F.mse_loss(students.vnet.float().softmax(1), teacher.vnet.float().softmax(1))) / 2
