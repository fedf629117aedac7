"""Finished volumes, open ones and others of the project, propose a mask of the one on the screen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from knowsam.data.annotation import joined_classes
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.errors import InputError, KnowSAMError
from napari_knowsam.finished_volumes import FinishedVolumes
from napari_knowsam.sessions import proposal_session
from napari_knowsam.status_messages import BUSY

if TYPE_CHECKING:
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
        result.bar.propose_requested.connect(self._on_requested)
        controller.proposed.connect(self._on_proposed)
        controller.noticed.connect(self._show_dice)

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
        """Let the proposal count in later trainings, too."""
        if self._controller.work is not None:
            self._controller.work.proposal = mask

    def _show_dice(self) -> None:
        """Show in the list of images how well each finished one is proposed; a notice tells that it was learnt."""
        if self._correction is not None:
            self._cases.set_dice(self._correction.dice_by_image)

    def _begin(self) -> None:
        sync = self._layers.require_sync()
        document = sync.document
        finished = FinishedVolumes(self._layers, self._cases, but=document.volume)
        if not finished:
            raise InputError(
                "No other open volume is finished, and none of a project is done. A volume is finished when all slices "
                "from the first to the last of its structures are painted, corrected or accepted (Accept, All)."
            )
        sync.change(AnnotationDocument.take_classes, joined_classes(finished.classes, document.classes[:1]))
        document.open_index = None
        session = partial(
            proposal_session,
            finished.reader(document.classes, MOST_ATLASES),
            document.case(),
            self._train.config(),
            self._correction,
            self._keep_correction,
            self._train.device(),
        )
        self._controller.propose(session, document)

    def _keep_correction(self, correction: Correction) -> None:
        """Let the next proposal start from the networks of this one; called in a thread."""
        self._correction = correction
