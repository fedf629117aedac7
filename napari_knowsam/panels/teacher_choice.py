"""Which SAM teaches the students, in plain words."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from knowsam.models.official_weights import is_here
from knowsam.models.published_weights import LICENCE, OFFICIAL
from knowsam.models.weights_file import is_compact_sam
from napari_knowsam.panels.choice_box import ChoiceBox

_FROM_FILE, _FROM_FOLDER = "", "/"
_COMPACT = ("Compact SAM (no download)", "compact", "A small SAM that comes with the program.")
_OTHERS = (
    ("None", "none", "The two networks learn without SAM; fastest."),
    ("From file…", _FROM_FILE, "A file of weights on this computer: of SAM, of MobileSAM, or of `knowsam distil`."),
    (
        "From folder…",
        _FROM_FOLDER,
        "A folder with a SAM-2 or EdgeTAM of Hugging Face: config.json and model.safetensors.",
    ),
)

_IN_FOLDERS = {weights.variant for weights in OFFICIAL.values() if weights.is_folder}
"""Kinds of networks, of each of which there are several, or somebody may have another one."""


class TeacherChoice(ChoiceBox):
    """A combo box of teachers; a file of weights, or a folder, becomes a choice of its own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("The segmentation model (SAM) that teaches the two networks, and that Outline asks.", parent)
        for text, value, tooltip in (_COMPACT, *map(_official, OFFICIAL), *_OTHERS):
            self.add_choice(text, value, tooltip)
        self._compact_files: set[str] = set()
        self._before = 0
        self.activated.connect(self._on_activated)

    def teacher(self) -> str:
        """Return ``compact``, ``none``, a name of published weights, or the path of a file or folder."""
        return str(self.currentData())

    def variant(self) -> str | None:
        """Return the kind of teacher, as in settings; None where only reading a file or a folder tells it."""
        teacher = self.teacher()
        if teacher in OFFICIAL:
            return OFFICIAL[teacher].variant
        if teacher in self._compact_files:
            return "compact"
        return teacher if teacher in ("compact", "none") else None

    def set_variant(self, variant: str) -> None:
        """Choose the kind of teacher in settings, unless it is chosen; a network in a folder may be any, and is not."""
        row = self.findData(variant)
        if row >= 0 and variant not in (*_IN_FOLDERS, self.variant()):
            self._before = row
            self.setCurrentIndex(row)

    def ask_teacher_file(self) -> Path | None:
        """Let the user choose a file of SAM weights; None if they think better of it."""
        name, _ = QFileDialog.getOpenFileName(
            self, "SAM weights", "", "SAM weights (*.pth *.pt *.safetensors);;All files (*)"
        )
        return Path(name) if name else None

    def ask_teacher_folder(self) -> Path | None:
        """Let the user choose a folder of Hugging Face; None if they think better of it."""
        name = QFileDialog.getExistingDirectory(self, "Folder with a SAM-2 or EdgeTAM")
        return Path(name) if name else None

    def _on_activated(self, row: int) -> None:
        kind = self.itemData(row)
        if kind in (_FROM_FILE, _FROM_FOLDER):
            path = self.ask_teacher_file() if kind == _FROM_FILE else self.ask_teacher_folder()
            if path is None:
                self.setCurrentIndex(self._before)
                return
            self._show_path(path, "File" if kind == _FROM_FILE else "Folder")
        self._before = self.currentIndex()

    def _show_path(self, path: Path, kind: str) -> None:
        if is_compact_sam(path):
            self._compact_files.add(str(path))
        row = self.findData(str(path))
        if row < 0:
            row = self.findData(_FROM_FILE)
            self.insertItem(row, f"{kind} {path.name}", str(path))
        self.setCurrentIndex(row)


def _official(name: str) -> tuple[str, str, str]:
    """Return the words, the name and the tooltip of published weights."""
    official = OFFICIAL[name]
    size = f"{official.megabytes} MB" if official.megabytes < 1000 else f"{official.megabytes / 1000:.1f} GB"
    where = "on this computer" if is_here(name) else f"{size} download"
    needs = f' Needs pip install "napari-knowsam[{official.extra}]".' if official.extra else ""
    return (
        f"{official.name} ({where})",
        name,
        f"Official weights, {official.parameters_m} million parameters: {official.memory_gib} GiB of memory, and "
        f"{official.seconds_a_slice} s on one core for each slice of 96 x 96 px, once. "
        f"Downloaded once, from {official.source}, licence {LICENCE}.{needs}",
    )
