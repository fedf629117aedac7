"""Guide, shortcuts and what the program is, at hand without a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_knowsam.panels.guide_text import guide_text, shortcuts_text
from napari_knowsam.panels.menu_button import MenuButton

_DIALOG_PX = {"Guide": (820, 700), "Shortcuts": (640, 420), "About": (520, 320)}


class HelpButton(MenuButton):
    """A menu of texts, each of which opens in a window of its own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        texts = {"Guide": guide_text, "Shortcuts": shortcuts_text, "About": about_text}
        shown = {f"{title}…": partial(self._show, title, text) for title, text in texts.items()}
        super().__init__("Help", "Guide, shortcuts, and what this program is.", shown, parent)

    def _show(self, title: str, text: Callable[[], str]) -> None:
        """Show a text in Markdown, beside which one can go on to work."""
        dialog = QDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(f"KnowSAM: {title}")
        browser = QTextBrowser()
        browser.setMarkdown(text())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.close)
        column = QVBoxLayout(dialog)
        column.addWidget(browser)
        column.addWidget(buttons)
        dialog.resize(*_DIALOG_PX[title])
        dialog.show()


def about_text() -> str:
    """Return what the program is, in Markdown."""
    return (
        f"## napari-knowsam {version('napari-knowsam')}\n\n"
        "Segments a medical volume from a few painted slices.\n\n"
        "The method is KnowSAM: Huang et al., *Learnable Prompting SAM-induced Knowledge Distillation for "
        "Semi-supervised Medical Image Segmentation*, IEEE Transactions on Medical Imaging, 2025, "
        "doi 10.1109/TMI.2025.3530097.\n\n"
        "For research. It is no medical device; a person has to check what it makes.\n\n"
        "BSD 3-Clause License."
    )
