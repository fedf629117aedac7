"""What is chosen for a training, and its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from knowsam.config import Config, PredictionConfig
from knowsam.training.plan import with_parts
from napari_knowsam.panels.budget_choice import BudgetChoice
from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.column import PANEL_MARGINS_PX, fill_column
from napari_knowsam.panels.config_form import ConfigForm
from napari_knowsam.panels.model_box import ModelBox
from napari_knowsam.panels.section import Section
from napari_knowsam.panels.start_choice import Start, StartChoice
from napari_knowsam.panels.teacher_choice import TeacherChoice
from napari_knowsam.panels.training_bar import TrainingBar
from napari_knowsam.panels.training_plot import TrainingPlot
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from knowsam.training.events import Stage
    from knowsam.training.schedule import Budget

_DEVICES = {"auto": "Automatic (the fastest)", "cpu": "Processor", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}
_NOT_OFFICIAL = ("compact", "none")
_CHOSEN_ELSEWHERE = ("variant", *(one.name for one in fields(PredictionConfig)))
"""The teacher has a combo box of its own, and what is made of predictions is shown and accepted, not cleaned up."""


class TrainPanel(QWidget):
    """The time of a training, and under Advanced all else; what steers it is in a bar that stays in sight.

    Attributes
    ----------
    bar : sentence, progress, score, and the buttons to start, pause and stop, for a place that does not scroll.
    model_box : shows the opened model.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config = Config()
        self._form: ConfigForm[Config] | None = None
        self._budget = BudgetChoice()
        self._teacher = TeacherChoice()
        self._hint = WrappedLabel()
        self._hint.setAccessibleName("What of the method is left out")
        self._budget.changed.connect(self._refresh_hint)
        self._teacher.currentIndexChanged.connect(self._refresh_hint)
        self._device = ChoiceBox("Where to compute.")
        self.set_devices(())
        self._start = StartChoice()
        self.model_box = ModelBox()
        self._plot = TrainingPlot()
        self._plot.hide()
        self._basic, self._options = QWidget(), QWidget()
        self._advanced = Section("Advanced", self._options)
        self._advanced.toggleButton().setToolTip("The curves, and every setting of the method.")
        self._advanced.toggled.connect(self._on_advanced_toggled)
        self.bar = TrainingBar(self)
        self._arrange()
        self._refresh_hint()

    def budget(self) -> Budget:
        """Return how long to train."""
        return self._budget.budget()

    def teacher(self) -> str:
        """Return ``compact``, ``none``, a name of published weights, or the path of a file or folder."""
        return self._teacher.teacher()

    def device(self) -> str:
        """Return where to compute: ``auto``, ``cpu`` or one of the devices added."""
        return str(self._device.currentData())

    def config(self) -> Config:
        """Return all settings, with the chosen teacher unless that is a file or a folder.

        Raises
        ------
        ConfigError
            If the advanced settings do not fit together; the train button is off as long as they do not.
        """
        config = self._config if self._form is None else self._form.value()
        variant = self._teacher.variant()
        return config if variant is None else config.with_values(variant=variant)

    def set_config(self, config: Config) -> None:
        """Show these settings, the teacher among them."""
        self._config = config
        self._teacher.set_variant(config.teacher.variant)
        if self._form is not None:
            self._form.set_value(config)
        self._refresh_hint()

    def start(self) -> Start:
        """Return what the training begins with."""
        return self._start.start()

    def set_can_continue(self, can_continue: bool) -> None:
        """Show whether there is a training to go on from."""
        self._start.set_has_last(can_continue)

    def set_model(self, name: str, facts: str, card: str) -> None:
        """Show a model that was opened, and choose it to begin with."""
        self._start.set_model(name)
        self.model_box.set_facts(facts, card)

    def set_devices(self, names: Sequence[str]) -> None:
        """Offer these devices beside the processor, keeping the chosen one if it is still there."""
        chosen = self._device.currentData()
        self._device.clear()
        for name in dict.fromkeys(("auto", "cpu", *names)):
            self._device.add_choice(_DEVICES.get(name, name), name)
        self._device.setCurrentIndex(max(self._device.findData(chosen), 0))

    def set_stage(self, stage: Stage | None) -> None:
        """Show what training is doing, and its curves once there are some."""
        self.bar.set_stage(stage)
        if stage is not None:
            self._plot.show()

    def add_losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Append the weighted loss terms of one step to the plot."""
        self._plot.add_losses(step, losses)

    def add_dice(self, step: int, dice: float | None, adopted: bool) -> None:
        """Append one validation to the plot; `dice` is None if no slice is held out."""
        self._plot.add_dice(step, dice, adopted)

    def clear_plot(self, holdout_minimum: int) -> None:
        """Forget the curves and the progress of the training before, with which the next one goes on.

        Parameters
        ----------
        holdout_minimum : annotated slices from which on there is a score.
        """
        self._plot.clear(holdout_minimum)
        self._start.go_on()
        self.bar.clear_progress()

    def set_settings_enabled(self, enabled: bool) -> None:
        """Let the settings be changed, or not while they would change nothing."""
        self._basic.setEnabled(enabled)
        self.model_box.setEnabled(enabled)
        self._options.setEnabled(enabled)

    def _on_advanced_toggled(self, is_expanded: bool) -> None:
        # Fifty entries take longer to build than all the rest, and few ever look at them.
        if is_expanded and self._form is None:
            self._build_form()

    def _build_form(self) -> None:
        self._form = ConfigForm(self._config, hidden=_CHOSEN_ELSEWHERE)
        self._form.changed.connect(lambda: self.bar.set_valid(not self._has_problem()))
        self._form.changed.connect(self._refresh_hint)
        options = self._options.layout()
        assert options is not None
        options.addWidget(self._form)
        options.addWidget(button("Reset to defaults", "Set all advanced settings back.", self._form.reset))

    def _arrange(self) -> None:
        form = _form(self._basic)
        form.addRow("Time", self._budget)
        form.addRow("Start from", self._start)
        more = QWidget()
        advanced = _form(more)
        advanced.addRow("Teacher", self._teacher)
        advanced.addRow(self._hint)
        advanced.addRow("Device", self._device)
        options = QVBoxLayout(self._options)
        options.setContentsMargins(0, 0, 0, 0)
        options.addWidget(more)
        self._advanced.addWidget(self._plot)
        fill_column(self, self._basic, self.model_box, self._advanced, margins_px=PANEL_MARGINS_PX)

    def _has_problem(self) -> bool:
        return self._form is not None and bool(self._form.problem())

    def _refresh_hint(self) -> None:
        """Say which parts of the method are left out, instead of leaving them out in silence."""
        if self._has_problem():
            return
        _, reasons = with_parts(self.config(), is_official=self._teacher.variant() not in _NOT_OFFICIAL)
        self._hint.setText(" ".join(reasons))
        self._hint.setVisible(bool(reasons))


def _form(widget: QWidget) -> QFormLayout:
    """Return an empty form in a widget."""
    form = QFormLayout(widget)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return form
