"""The identity of patient and study: labels of one patient must not become those of another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


@dataclass(frozen=True)
class Identity:
    """What a DICOM file says of patient and place, to be compared and never to be shown; empty where it says nothing.

    Parameters
    ----------
    series : the one an image is, or those that labels were made in.
    """

    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    series: frozenset[str] = field(default=frozenset(), repr=False)

    def difference(self, other: Identity) -> str | None:
        """Say why labels of one cannot lie on an image of the other; None if they may."""
        if self._is_other_patient(other):
            return "are of different patients"
        if _differ(self.frame_of_reference, other.frame_of_reference):
            return "have different frames of reference, so that a position in one means nothing in the other"
        if self.is_other_study(other) and not (self.frame_of_reference and other.frame_of_reference):
            return "are of different studies, and have no frame of reference in common"
        return None

    def is_other_study(self, other: Identity) -> bool:
        """Tell whether both name a study, and not the same one, although neither was made in the other."""
        return _differ(self.study, other.study) and not self._shares_series(other)

    def _is_other_patient(self, other: Identity) -> bool:
        if self.patient_id and other.patient_id:
            return self.patient_id != other.patient_id
        # Names are written in many ways, and one of both may have been taken out of its file.
        return _differ(self.patient_name, other.patient_name) and not self._shares_series(other)

    def _shares_series(self, other: Identity) -> bool:
        return not self.series.isdisjoint(other.series)


_OTHER_STUDY = "The labels are of another study than the image, with the same frame of reference."

NOBODY = Identity()
"""Of files that do not say whom they show, as NIfTI."""


def require_same_identity(image: Volume, labels: Volume) -> None:
    """Check that labels do not say that they belong to another patient or place than an image.

    Raises
    ------
    InputError
        If they are of another patient or frame of reference, or of another study without a common frame of reference.
    """
    difference = image.identity.difference(labels.identity)
    if difference is not None:
        raise InputError(
            f"{labels.name or 'The labels'} and {image.name or 'the image'} {difference}. Give the labels that belong "
            "to the image. If you know that both lie on each other, add --ignore-identity on the command line."
        )


def belonging(labels: Volume, image: Volume) -> Volume:
    """Return labels that may lie on an image, with a notice if they were made in another study.

    Raises
    ------
    InputError
        As `require_same_identity`.
    """
    require_same_identity(image, labels)
    if not image.identity.is_other_study(labels.identity):
        return labels
    return replace(labels, notices=(*labels.notices, _OTHER_STUDY))


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other
