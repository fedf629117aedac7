"""The case and the settings of a training, or why it cannot begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.errors import InputError
from napari_knowsam.panels.start_choice import Start
from napari_knowsam.sessions import TrainingSettings
from napari_knowsam.status_messages import missing_sentence

if TYPE_CHECKING:
    from knowsam.data.case import Case
    from knowsam.training.trained_model import TrainedModel
    from napari_knowsam.layer_choice import LayerChoice
    from napari_knowsam.panels.train_panel import TrainPanel


def training_case(layers: LayerChoice) -> Case:
    """Return the volume on the screen with its annotation; the slice being painted counts as left.

    Raises
    ------
    InputError
        If there is nothing to learn from.
    """
    document = layers.require_sync(" to train on").document
    document.open_index = None
    case = document.case()
    missing = missing_sentence(case.annotation)
    if missing is not None:
        raise InputError(missing)
    return case


def training_settings(train: TrainPanel, start_from: TrainedModel | None) -> TrainingSettings:
    """Return the settings chosen for the next training.

    Parameters
    ----------
    start_from : the opened model, if it begins with that.
    """
    continued = train.start() is Start.LAST
    return TrainingSettings(train.budget(), train.config(), train.teacher(), train.device(), continued, start_from)
