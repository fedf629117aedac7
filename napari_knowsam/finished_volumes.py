"""Volumes that are finished, open ones and others of the project, with their masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from knowsam.atlas.proposal import Atlas
from knowsam.data.annotation import joined_classes, require_same_names
from knowsam.data.volume import Volume
from knowsam.document.kept_files import fingerprint
from knowsam.errors import InputError
from knowsam.io.on_disk import kept_on_disk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowsam.data.annotation import LabelClass
    from knowsam.document.annotation_document import AnnotationDocument
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.project_cases import ProjectCases

Read = tuple[list[Atlas], list[str]]
"""Finished volumes, and the faults of others."""

Reader = Callable[[Callable[[], None]], Read]


class FinishedVolumes:
    """Finds finished volumes; those that are not open are read when they are needed.

    Parameters
    ----------
    but : the volume they are for, which is left out.
    """

    def __init__(self, layers: LayerChoice, cases: ProjectCases, but: Volume | None = None) -> None:
        # Of several finished labels of one image, those that were chosen last count.
        newest: dict[Volume, AnnotationDocument] = {}
        for document in layers.documents:
            if document.is_finished and document.volume is not but:
                newest.setdefault(document.volume, document)
        self._open = list(newest.values())
        self._elsewhere = cases.finished_elsewhere
        self._project_classes, self._project_axis = cases.classes, cases.axis

    def __len__(self) -> int:
        return len(self._open) + len(self._elsewhere)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Their classes, background first; none where there are no volumes."""
        return joined_classes(self._project_classes, *(work.classes for work in reversed(self._open)))

    @property
    def axis(self) -> int | None:
        """Working axis along which the one that was chosen last was annotated; None where there are no volumes."""
        return self._open[0].axis if self._open else self._project_axis

    def reader(self, classes: Sequence[LabelClass], most: int | None = None) -> Reader:
        """Return a function that reads them, open ones first; open ones are taken as they are now.

        Parameters
        ----------
        classes : they must not have other names for these.
        most : largest number to read; None reads all.

        The function calls its argument before it reads a volume, which may break it off. It raises an InputError if no
        volume is left, or one has another name for a class.
        """
        return partial(_read, [_atlas(one) for one in self._open], self._elsewhere, classes, most)


def _atlas(work: AnnotationDocument) -> Atlas:
    volume = work.volume
    return Atlas(volume, Volume(work.mask(), volume.grid, volume.name, classes=work.classes[1:]))


def _read(
    is_open: Sequence[Atlas],
    elsewhere: Sequence[Callable[[], tuple[Volume, Volume]]],
    classes: Sequence[LabelClass],
    most: int | None,
    check: Callable[[], None],
) -> Read:
    atlases, problems = list(is_open), list[str]()
    for read in elsewhere:
        if most is not None and len(atlases) >= most:
            break
        check()
        try:
            volume, mask = read()
        except InputError as error:
            problems.append(str(error))
            continue
        # An image that shows no structure has nothing to say of where one lies.
        if mask.array.any():
            # Many of them may not fit into memory.
            atlases.append(Atlas(kept_on_disk(volume), kept_on_disk(mask)))
    atlases = list({fingerprint(atlas.image): atlas for atlas in reversed(atlases)}.values())[::-1]
    if not atlases:
        raise InputError(" ".join(problems) or "None of the finished images shows a structure. Paint.")
    for atlas in atlases:
        require_same_names(classes, atlas.labels.classes, atlas.image.name)
    return atlases, problems
