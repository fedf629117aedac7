"""Finished volumes, open ones and others of the project, propose a mask of the one on the screen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.atlas.proposal import Atlas
from knowsam.data.annotation import joined_classes, require_same_names
from knowsam.data.volume import Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError, KnowSAMError
from napari_knowsam.sessions import proposal_session
from napari_knowsam.status_messages import BUSY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from knowsam.data.annotation import LabelClass
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.training.correction import Correction
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.project_cases import ProjectCases
    from napari_knowsam.training_controller import TrainingController


MOST_ATLASES = 8
"""More were not measured, and each takes 2 to 22 s."""


class Proposing(QObject):
    """Takes the masks of other volumes that are finished, and starts the comparison."""

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        cases: ProjectCases,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers, self._controller = layers, controller
        self._train, self._result, self._cases = train, result, cases
        self._correction: Correction | None = None
        result.propose_requested.connect(self._on_requested)
        controller.proposed.connect(self._on_proposed)

    def _on_requested(self) -> None:
        if self._controller.is_busy:
            self._result.set_message(BUSY)
            return
        self._result.set_message("")
        try:
            self._begin()
        except KnowSAMError as error:
            self._result.set_message(str(error))

    def _on_proposed(self, mask: ProposedMask) -> None:
        """Let the proposal count in trainings, too, that come later."""
        if self._controller.work is not None:
            self._controller.work.proposal = mask

    def _begin(self) -> None:
        sync = self._layers.require_sync()
        document = sync.document
        finished = [one for one in self._layers.documents if one.is_finished and one.volume is not document.volume]
        elsewhere = self._cases.finished_elsewhere
        if not finished and not elsewhere:
            raise InputError(
                "No other open volume is finished, and none of a project is done. A volume is finished when all slices "
                "from the first to the last of its structures are painted, corrected or accepted (Accept, All)."
            )
        known = (self._cases.classes, *(work.classes for work in reversed(finished)))
        sync.change(AnnotationDocument.take_classes, joined_classes(*known, document.classes[:1]))
        document.open_index = None
        is_open = [_atlas(one) for one in finished]
        atlases = partial(_atlases, is_open, elsewhere, document.classes)
        session = partial(
            proposal_session,
            atlases,
            document.case(),
            self._train.config(),
            self._correction,
            self._keep_correction,
            self._train.device(),
        )
        self._controller.propose(session, document)

    def _keep_correction(self, correction: Correction) -> None:
        """Let the next proposal go on from what was learnt with this one; called in a thread."""
        self._correction = correction


def _atlas(work: AnnotationDocument) -> Atlas:
    volume = work.volume
    return Atlas(volume, Volume(work.mask(), volume.grid, volume.name, classes=work.classes[1:]))


def _atlases(
    is_open: Sequence[Atlas],
    elsewhere: Sequence[Callable[[], tuple[Volume, Volume]]],
    classes: Sequence[LabelClass],
) -> tuple[list[Atlas], list[str]]:
    """Return finished volumes, open ones first, and what is wrong with others; these are read now.

    Raises
    ------
    InputError
        If none is left, or one gives a label value another name than it has in `classes`.
    """
    atlases, problems = list(is_open), list[str]()
    for read in elsewhere:
        if len(atlases) >= MOST_ATLASES:
            break
        try:
            volume, mask = read()
        except InputError as error:
            problems.append(str(error))
            continue
        # An image that shows no structure has nothing to say of where one lies.
        if mask.array.any():
            atlases.append(Atlas(volume, mask))
    if not atlases:
        raise InputError(" ".join(problems) or "None of the finished images shows a structure. Paint.")
    for atlas in atlases:
        require_same_names(classes, atlas.labels.classes, atlas.image.name)
    return atlases, problems
