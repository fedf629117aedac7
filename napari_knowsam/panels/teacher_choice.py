"""Which SAM teaches the students, in plain words."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_knowsam.panels.choice_box import ChoiceBox

_FROM_FILE = ""
_TEACHERS = (
    ("Compact SAM (no download)", "compact", "A small SAM that comes with the program."),
    (
        "SAM ViT-B (375 MB download)",
        "vit_b",
        "The official base model, downloaded once; slow without a graphics card.",
    ),
    ("SAM ViT-L (1.2 GB download)", "vit_l", "The official large model, downloaded once; needs a graphics card."),
    ("SAM ViT-H (2.6 GB download)", "vit_h", "The official huge model, downloaded once; needs a big graphics card."),
    ("None", "none", "The two networks learn without SAM; fastest."),
    ("From file…", _FROM_FILE, "A file of official SAM weights on this computer."),
)


class TeacherChoice(ChoiceBox):
    """A combo box of teachers; a file of weights becomes a choice of its own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("The segmentation model (SAM) that teaches the two networks.", parent)
        for text, value, tooltip in _TEACHERS:
            self.add_choice(text, value, tooltip)
        self._before = 0
        self.activated.connect(self._on_activated)

    def teacher(self) -> str:
        """Return ``compact``, ``none``, ``vit_b``, ``vit_l``, ``vit_h`` or the path of a file."""
        return str(self.currentData())

    def set_variant(self, variant: str) -> None:
        """Choose ``compact``, ``none``, ``vit_b``, ``vit_l`` or ``vit_h``."""
        self._before = self.findData(variant)
        self.setCurrentIndex(self._before)

    def ask_teacher_file(self) -> Path | None:
        """Let the user choose a file of SAM weights; None if they think better of it."""
        name, _ = QFileDialog.getOpenFileName(
            self, "SAM weights", "", "SAM weights (*.pth *.pt *.safetensors);;All files (*)"
        )
        return Path(name) if name else None

    def _on_activated(self, row: int) -> None:
        if self.itemData(row) == _FROM_FILE:
            path = self.ask_teacher_file()
            if path is None:
                self.setCurrentIndex(self._before)
                return
            self._show_file(path)
        self._before = self.currentIndex()

    def _show_file(self, path: Path) -> None:
        row = self.findData(str(path))
        if row < 0:
            row = self.count() - 1
            self.insertItem(row, f"File {path.name}", str(path))
        self.setCurrentIndex(row)
