"""Start training and watch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from knowsam.config import Config, PredictionConfig
from knowsam.training.events import Stage
from knowsam.training.plan import with_parts
from napari_knowsam.panels.budget_choice import BudgetChoice
from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.choice_box import ChoiceBox
from napari_knowsam.panels.config_form import ConfigForm
from napari_knowsam.panels.section import Section
from napari_knowsam.panels.teacher_choice import TeacherChoice
from napari_knowsam.panels.training_plot import TrainingPlot
from napari_knowsam.panels.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from knowsam.training.schedule import Budget

_DEVICES = {"auto": "Automatic (the fastest)", "cpu": "Processor", "cuda": "Graphics card (CUDA)", "mps": "Apple GPU"}
_NOT_OFFICIAL = ("compact", "none")
_CHOSEN_ELSEWHERE = ("variant", *(one.name for one in fields(PredictionConfig)))
"""The teacher has a combo box of its own, and what is made of predictions is shown and accepted, not cleaned up."""
_RUNNING = (Stage.PREPARING, Stage.TRAINING, Stage.PAUSED)


class TrainPanel(QWidget):
    """The settings of a training, the buttons that steer it, and how it goes."""

    train_requested = Signal()
    pause_requested = Signal()
    resume_requested = Signal()
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stage: Stage | None = None
        self._form: ConfigForm[Config] | None = None
        self._budget = BudgetChoice()
        self._teacher = TeacherChoice()
        self._hint = WrappedLabel()
        self._hint.setAccessibleName("What the time is too short for")
        self._budget.changed.connect(self._refresh_hint)
        self._teacher.currentIndexChanged.connect(self._refresh_hint)
        self._device = ChoiceBox("Where to compute.")
        self.set_devices(())
        self._continued = QCheckBox("Go on from the last training")
        self._continued.setToolTip("Go on where the last training of this volume ended; otherwise, begin from scratch.")
        self._continued.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._continued.setChecked(True)
        self._continued.setEnabled(False)
        self._advanced = Section("Advanced")
        self._advanced.toggleButton().setToolTip("Every setting of the method.")
        self._advanced.toggled.connect(self._on_advanced_toggled)
        self._settings = QWidget()
        self._train = button(
            "Train on my labels", "Learn from what is painted.", self.train_requested.emit, primary=True
        )
        self._pause = button("Pause", "", self._on_pause_clicked)
        self._stop = button("Stop", "End training and keep what was learnt.", self.stop_requested.emit)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setToolTip("How much of the training time is used.")
        self._progress = QLabel()
        self._message = WrappedLabel()
        self._plot = TrainingPlot()
        self._arrange()
        self._show_course(False)
        self.set_stage(None)
        self._refresh_hint()

    def budget(self) -> Budget:
        """Return how long to train."""
        return self._budget.budget()

    def teacher(self) -> str:
        """Return ``compact``, ``none``, ``vit_b``, ``vit_l``, ``vit_h`` or the path of a file of weights."""
        return self._teacher.teacher()

    def device(self) -> str:
        """Return where to compute: ``auto``, ``cpu`` or one of the devices added."""
        return str(self._device.currentData())

    def config(self) -> Config:
        """Return all settings, with the chosen teacher unless that is a file.

        Raises
        ------
        ConfigError
            If the advanced settings do not fit together; the train button is off as long as they do not.
        """
        config = Config() if self._form is None else self._form.value()
        known = ("none", "compact", "vit_b", "vit_l", "vit_h")
        return config.with_values(variant=self.teacher()) if self.teacher() in known else config

    def continues(self) -> bool:
        """Return whether to go on from the last training, where there is one."""
        return self._continued.isChecked()

    def set_can_continue(self, can_continue: bool) -> None:
        """Show whether there is a training to go on from."""
        self._continued.setEnabled(can_continue)

    def set_devices(self, names: Sequence[str]) -> None:
        """Offer these devices beside the processor, keeping the chosen one if it is still there."""
        chosen = self._device.currentData()
        self._device.clear()
        for name in dict.fromkeys(("auto", "cpu", *names)):
            self._device.add_choice(_DEVICES.get(name, name), name)
        self._device.setCurrentIndex(max(self._device.findData(chosen), 0))

    def set_stage(self, stage: Stage | None) -> None:
        """Show what training is doing, and offer what can be done about it."""
        self._stage = stage
        is_paused = stage is Stage.PAUSED
        self._pause.setText("Resume" if is_paused else "Pause")
        self._pause.setToolTip("Go on with training." if is_paused else "Stand still; nothing is lost.")
        self._pause.setEnabled(stage in _RUNNING)
        self._stop.setEnabled(stage is not None)
        if stage is not None:
            self._show_course(True)
        self._refresh_train_button()

    def set_progress(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Show how far training is.

        Parameters
        ----------
        progress : share of the budget that is used, in [0, 1].
        seconds_left : None if unknown.
        """
        self._bar.setValue(round(100 * progress))
        left = "" if seconds_left is None else f", {_duration(seconds_left)} left"
        self._progress.setText(f"Step {step}{left}")

    def add_losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Append the weighted loss terms of one step to the plot."""
        self._plot.add_losses(step, losses)

    def add_dice(self, step: int, dice: float | None, adopted: bool) -> None:
        """Append one validation to the plot; `dice` is None if no slice is held out."""
        self._plot.add_dice(step, dice, adopted)

    def clear_plot(self, holdout_minimum: int) -> None:
        """Forget the curves and the progress of the training before.

        Parameters
        ----------
        holdout_minimum : annotated slices from which on there is a score.
        """
        self._plot.clear(holdout_minimum)
        self._bar.setValue(0)
        self._progress.clear()

    def set_message(self, text: str) -> None:
        """Say in a sentence what is going on."""
        self._message.setText(text)

    def set_settings_enabled(self, enabled: bool) -> None:
        """Let the settings be changed, or not while they would change nothing."""
        self._settings.setEnabled(enabled)

    def _on_advanced_toggled(self, is_expanded: bool) -> None:
        # Fifty entries take longer to build than all the rest, and few ever look at them.
        if is_expanded and self._form is None:
            self._build_advanced()

    def _build_advanced(self) -> None:
        self._form = ConfigForm(Config(), hidden=_CHOSEN_ELSEWHERE)
        self._form.changed.connect(self._refresh_train_button)
        self._form.changed.connect(self._refresh_hint)
        self._advanced.addWidget(self._form)
        self._advanced.addWidget(button("Reset to defaults", "Set all advanced settings back.", self._form.reset))

    def _arrange(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Time", self._budget)
        form.addRow("Teacher", self._teacher)
        form.addRow(self._hint)
        form.addRow("Device", self._device)
        form.addRow(self._continued)
        settings = QVBoxLayout(self._settings)
        settings.setContentsMargins(0, 0, 0, 0)
        settings.addLayout(form)
        settings.addWidget(self._advanced)
        buttons = QHBoxLayout()
        buttons.addWidget(self._train, 1)
        buttons.addWidget(self._pause)
        buttons.addWidget(self._stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self._settings)
        column.addLayout(buttons)
        for widget in (self._message, self._bar, self._progress, self._plot):
            column.addWidget(widget)

    def _refresh_train_button(self) -> None:
        is_valid = self._form is None or not self._form.problem()
        self._train.setEnabled(self._stage is None and is_valid)

    def _refresh_hint(self) -> None:
        """Say what the chosen time is too short for, instead of leaving it out in silence."""
        if self._form is not None and self._form.problem():
            return
        _, reasons = with_parts(self.config(), self.budget(), is_official=self.teacher() not in _NOT_OFFICIAL)
        self._hint.setText(" ".join(reasons))
        self._hint.setVisible(bool(reasons))

    def _show_course(self, shown: bool) -> None:
        """Show how training goes, or leave the room to the rest as long as nothing was trained."""
        for widget in (self._bar, self._progress, self._plot):
            widget.setVisible(shown)

    def _on_pause_clicked(self) -> None:
        wish = self.resume_requested if self._stage is Stage.PAUSED else self.pause_requested
        wish.emit()


def _duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> _duration(42.3), _duration(200)
    ('42 s', '3 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
