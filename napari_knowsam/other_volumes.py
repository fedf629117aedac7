"""Work on several volumes: proposals, models of several volumes and their application to several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_knowsam.applying import Applying
from napari_knowsam.background import Background
from napari_knowsam.folder_applying import FolderApplying
from napari_knowsam.model_training import ModelTraining
from napari_knowsam.proposing import Proposing

if TYPE_CHECKING:
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.model_keeping import ModelKeeping
    from napari_knowsam.panels.result_panel import ResultPanel
    from napari_knowsam.panels.train_panel import TrainPanel
    from napari_knowsam.project_cases import ProjectCases
    from napari_knowsam.training_controller import TrainingController


class OtherVolumes(QObject):
    """Makes its parts, each of which listens to the panels by itself, and ends them.

    Attributes
    ----------
    background : does what takes minutes, one work at a time.
    proposing, training, applying, folder : the parts.
    """

    def __init__(
        self,
        layers: LayerChoice,
        controller: TrainingController,
        train: TrainPanel,
        result: ResultPanel,
        cases: ProjectCases,
        models: ModelKeeping,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.background = Background(controller, result, self)
        self.proposing = Proposing(layers, controller, train, result, cases, self)
        self.training = ModelTraining(layers, train, result, cases, self.background, self)
        self.applying = Applying(layers, controller, train, result, cases, models, self)
        self.folder = FolderApplying(train, result, models, self.background, self)

    def close(self) -> None:
        """End the work beside the window."""
        self.background.close()
