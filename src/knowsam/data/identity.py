"""The identity of patient and study: labels of one patient must not become those of another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from knowsam.errors import InputError

if TYPE_CHECKING:
    from knowsam.data.volume import Volume


@dataclass(frozen=True)
class Identity:
    """Patient, study and frame of reference of a DICOM file, to be compared and never shown; empty where missing.

    Parameters
    ----------
    series : that of an image, or those in which labels were made.
    """

    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    series: frozenset[str] = field(default=frozenset(), repr=False)

    def difference(self, other: Identity) -> str | None:
        """Return why labels of one cannot lie on an image of the other; None if they may."""
        if self._is_other_patient(other):
            return "are of different patients"
        if _differ(self.frame_of_reference, other.frame_of_reference):
            return "have different frames of reference, so that a position in one means nothing in the other"
        if self.is_other_study(other) and not (self.frame_of_reference and other.frame_of_reference):
            return "are of different studies, and have no frame of reference in common"
        return None

    def is_other_study(self, other: Identity) -> bool:
        """Return whether both name different studies and share no series."""
        return _differ(self.study, other.study) and not self._shares_series(other)

    def _is_other_patient(self, other: Identity) -> bool:
        if self.patient_id and other.patient_id:
            return self.patient_id != other.patient_id
        # Names are written in many ways, and anonymising may have removed one of both.
        return _differ(self.patient_name, other.patient_name) and not self._shares_series(other)

    def _shares_series(self, other: Identity) -> bool:
        return not self.series.isdisjoint(other.series)


_OTHER_STUDY = "The labels are of another study than the image, with the same frame of reference."

NOBODY = Identity()
"""Identity of files that name no patient, such as NIfTI."""


def require_same_identity(image: Volume, labels: Volume) -> None:
    """Check that labels do not name another patient, study or frame of reference than an image.

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
