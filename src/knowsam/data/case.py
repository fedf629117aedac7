"""One volume with its annotation: the unit training works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from knowsam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.annotation import Annotation, LabelClass, LabelSlice
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume


@dataclass(frozen=True)
class Case:
    """A volume and its annotation, which may be empty if only the unlabelled slices of the volume are used.

    Parameters
    ----------
    proposal : mask that finished volumes propose, if any; it is combined with propagated labels.

    Raises
    ------
    InputError
        If the annotation was made for a volume of another shape.
    """

    volume: Volume
    annotation: Annotation
    proposal: ProposedMask | None = None

    def __post_init__(self) -> None:
        if self.volume.shape != self.annotation.shape:
            raise InputError(
                f"The labels have shape {self.annotation.shape} but the image has {self.volume.shape}. "
                "Load the labels that belong to this image."
            )

    @property
    def plane_spacing_mm(self) -> tuple[float, float]:
        """Spacing of rows and columns of a slice."""
        return self.volume.plane_spacing_mm(self.annotation.axis)

    def with_slice(self, label_slice: LabelSlice) -> Case:
        """Return the volume with one slice annotated anew, see `Annotation.with_slice`."""
        return replace(self, annotation=self.annotation.with_slice(label_slice))

    def with_classes(self, classes: tuple[LabelClass, ...]) -> Case:
        """Return the volume annotated with other classes, see `Annotation.with_classes`."""
        return replace(self, annotation=self.annotation.with_classes(classes))


def require_same_kind(cases: Sequence[Case]) -> None:
    """Check that volumes can be trained on together.

    Raises
    ------
    InputError
        If nothing is annotated, or not with the same classes along the same axis.
    """
    if not any(case.annotation.slices for case in cases):
        raise InputError("No slice is annotated. Paint at least one slice of the structure, then train.")
    first = cases[0].annotation
    for case in cases:
        if case.annotation.classes != first.classes or case.annotation.axis != first.axis:
            raise InputError(
                "The volumes are annotated with different classes or along different axes. "
                "Give label files with the same classes, painted along the same axis."
            )
