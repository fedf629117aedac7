from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog, QTextBrowser

from napari_knowsam.panels.guide_text import guide_text, shortcuts_text
from napari_knowsam.panels.help_button import HelpButton, about_text

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def test_the_guide_is_there_without_pictures_and_links() -> None:
    text = guide_text()
    assert text.startswith("# Guide")
    assert "](" not in text
    assert "limits lists what is known" in text


def test_the_shortcuts_are_those_of_the_guide() -> None:
    lines = shortcuts_text().splitlines()
    assert lines[0] == "| key | does |"
    assert any("`U`" in line for line in lines)


def test_about_names_version_paper_and_limits() -> None:
    text = about_text()
    assert "KnowSAM" in text
    assert "no medical device" in text


def test_each_entry_of_the_menu_opens_its_text_beside_the_work(qtbot: QtBot) -> None:
    button = HelpButton()
    qtbot.addWidget(button)
    for title, words in (("Guide", "From an opened volume"), ("Shortcuts", "choose a class"), ("About", "KnowSAM")):
        next(one for one in button.menu().actions() if one.text() == f"{title}…").trigger()
        dialog = next(one for one in button.findChildren(QDialog) if one.windowTitle() == f"KnowSAM: {title}")
        assert words.lower() in dialog.findChild(QTextBrowser).toPlainText().lower()
        assert not dialog.isModal()
