"""The table of semi-supervised methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.training.semi_supervised.cross_pseudo_supervision import CrossPseudoSupervision
from knowsam.training.semi_supervised.interpolation_consistency import InterpolationConsistency
from knowsam.training.semi_supervised.labels_only import LabelsOnly
from knowsam.training.semi_supervised.mean_teacher import MeanTeacher
from knowsam.training.semi_supervised.mutual_consistency import MutualConsistency
from knowsam.training.semi_supervised.pyramid_consistency import PyramidConsistency
from knowsam.training.semi_supervised.uncertainty_aware import UncertaintyAwareMeanTeacher

if TYPE_CHECKING:
    from knowsam.training.semi_supervised.method import SemiSupervisedMethod

METHODS: dict[str, type[SemiSupervisedMethod]] = {
    "none": LabelsOnly,
    "mc": MutualConsistency,
    "mean_teacher": MeanTeacher,
    "ua_mt": UncertaintyAwareMeanTeacher,
    "cps": CrossPseudoSupervision,
    "ict": InterpolationConsistency,
    "urpc": PyramidConsistency,
}
"""By the name in `MethodConfig.semi_supervised`, whose choices are these."""
