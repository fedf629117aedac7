"""How training goes and the buttons that steer it, in sight whatever the panels show."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QWidget

from knowsam.training.events import Stage
from napari_knowsam.panels.buttons import button
from napari_knowsam.panels.column import fill_column
from napari_knowsam.panels.wrapped_label import WrappedLabel

_BAR_STYLE = """
QProgressBar { border: none; border-radius: 2px; }
QProgressBar::chunk { background-color: rgba(80, 140, 230, 130); border-radius: 2px; }
"""
_STAGES = {
    None: "Not training",
    Stage.PREPARING: "Getting ready",
    Stage.TRAINING: "Training",
    Stage.PAUSED: "Paused",
    Stage.APPLYING: "Applying the model",
    Stage.PROPOSING: "Comparing with finished volumes",
}
_RUNNING = (Stage.PREPARING, Stage.TRAINING, Stage.PAUSED)
_SCORE_HELP = (
    "How well the prediction probably agrees with what you would paint, between your painted slices: 1 is a perfect "
    "match, 0 is none (Dice). Each painted slice is predicted from the others to find out."
)
_NO_SCORE_HELP = (
    "It cannot be told how good the prediction is. It takes three painted slices or more, and not too different ones."
)

_ENDS_HELP = (
    " Beyond the outermost painted slices nobody can tell: if a structure ends there, say so under the strip of slices."
)


class TrainingBar(QWidget):
    """One sentence, how far training is, its score, and the buttons to start, pause and stop it."""

    train_requested = Signal()
    pause_requested = Signal()
    resume_requested = Signal()
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stage: Stage | None = None
        self._is_valid = True
        self._message = WrappedLabel(most_lines=6)
        # A long sentence shall not make the dock wider.
        self._message.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._score = QLabel()
        self._bar = QProgressBar()
        self._bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._bar.setStyleSheet(_BAR_STYLE)
        self._train = button(
            "Train on my labels", "Learn from what is painted.", self.train_requested.emit, primary=True
        )
        self._pause = button("Pause", "", self._on_pause_clicked)
        self._stop = button("Stop", "End training and keep what was learnt.", self.stop_requested.emit)
        self._arrange()
        self.set_stage(None)
        self.set_score(None)

    def set_stage(self, stage: Stage | None) -> None:
        """Show what training is doing, and offer what can be done about it."""
        self._stage = stage
        if stage is None:
            # Without a value, it would show no words.
            self._bar.setValue(0)
        is_paused = stage is Stage.PAUSED
        self._bar.setFormat(_STAGES[stage])
        self._bar.setToolTip("How much of the training time is used.")
        self._pause.setText("Resume" if is_paused else "Pause")
        self._pause.setToolTip("Go on with training." if is_paused else "Stand still; nothing is lost.")
        self._pause.setEnabled(stage in _RUNNING)
        self._stop.setEnabled(stage is not None)
        self._refresh_train_button()

    def set_valid(self, is_valid: bool) -> None:
        """Let training begin, or not while the settings do not fit together."""
        self._is_valid = is_valid
        self._refresh_train_button()

    def set_progress(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Show how far training is.

        Parameters
        ----------
        progress : share of the budget that is used, in [0, 1].
        seconds_left : None if unknown.
        """
        self._bar.setValue(round(100 * progress))
        left = "" if seconds_left is None or self._stage is not Stage.TRAINING else f", {_duration(seconds_left)} left"
        self._bar.setFormat(f"{_STAGES[self._stage]}{left}")
        self._bar.setToolTip(f"Step {step}: so many times the networks have learnt from a few slices.")

    def set_applied(self, share: float) -> None:
        """Show how much of a volume a model is applied to, in [0, 1]."""
        self._bar.setValue(round(100 * share))
        self._bar.setToolTip("How many slices are predicted.")

    def set_score(self, dice: float | None, *, is_open: bool = False) -> None:
        """Show how good the prediction probably is; None without an estimate.

        Parameters
        ----------
        is_open : whether classes go on beyond the outermost slices they are painted in.
        """
        self._score.setText("Score -" if dice is None else f"Score about {dice:.2f}{', ends?' * is_open}")
        self._score.setToolTip((_NO_SCORE_HELP if dice is None else _SCORE_HELP) + _ENDS_HELP * is_open)

    def clear_progress(self) -> None:
        """Forget the training before."""
        self._bar.setValue(0)

    def set_message(self, text: str) -> None:
        """Say in a sentence what is going on."""
        self._message.setText(text)

    def _arrange(self) -> None:
        headline = QHBoxLayout()
        headline.addWidget(self._bar, 1)
        headline.addWidget(self._score)
        buttons = QHBoxLayout()
        buttons.addWidget(self._train, 1)
        buttons.addWidget(self._pause)
        buttons.addWidget(self._stop)
        fill_column(self, self._message, headline, buttons)

    def _refresh_train_button(self) -> None:
        self._train.setEnabled(self._stage is None and self._is_valid)

    def _on_pause_clicked(self) -> None:
        wish = self.resume_requested if self._stage is Stage.PAUSED else self.pause_requested
        wish.emit()


def _duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> _duration(42.3), _duration(200)
    ('42 s', '3 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
