"""The ends of the structure that is painted: shown for the slice on screen, and marked there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opened import Opened, stroke
from painted import LIVER

from knowsam.data.annotation import BACKGROUND_CLASS
from knowsam.data.ends import End, Side
from napari_knowsam.end_marks import EndMarks
from napari_knowsam.panels.annotate_panel import AnnotatePanel

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


@pytest.fixture
def panel(qtbot: QtBot, opened: Opened) -> AnnotatePanel:
    """Liver painted in slices 2 and 4, the latter on screen."""
    panel = AnnotatePanel()
    qtbot.addWidget(panel)
    EndMarks(opened.choice, panel, panel)
    opened.sync.select_class(LIVER)
    for index in (2, 4):
        opened.sync.view.go_to(index)
        stroke(opened.labels, LIVER, index)
    opened.choice.flush()
    return panel


def offered(panel: AnnotatePanel) -> dict[Side, tuple[bool, bool]]:
    """Return for each side whether an end can be marked, and is."""
    buttons = panel.marks._ends._buttons
    return {side: (one.isEnabled(), one.isChecked()) for side, one in buttons.items()}


def test_the_sides_on_which_it_is_painted_no_further_are_offered(opened: Opened, panel: AnnotatePanel) -> None:
    assert offered(panel) == {Side.BELOW: (False, False), Side.ABOVE: (True, False)}
    opened.sync.view.go_to(3)
    assert offered(panel) == {Side.BELOW: (False, False), Side.ABOVE: (False, False)}
    opened.sync.view.go_to(2)
    assert offered(panel) == {Side.BELOW: (True, False), Side.ABOVE: (False, False)}


def test_a_mark_is_shown_handed_on_and_undone(opened: Opened, panel: AnnotatePanel) -> None:
    panel.marks.end_requested.emit(Side.ABOVE)
    assert offered(panel)[Side.ABOVE] == (True, True)
    assert opened.emitted.slices[-1].ends == {End(1, Side.ABOVE)}
    opened.undo()
    assert offered(panel)[Side.ABOVE] == (True, False)
    assert opened.emitted.slices[-1].ends == frozenset()


def test_while_background_is_painted_there_are_no_ends(opened: Opened, panel: AnnotatePanel) -> None:
    assert panel.marks._ends.isVisibleTo(panel)
    opened.sync.select_class(BACKGROUND_CLASS.value)
    assert not panel.marks._ends.isVisibleTo(panel)


def test_a_mark_elsewhere_is_refused_in_words(opened: Opened, panel: AnnotatePanel) -> None:
    panel.marks.end_requested.emit(Side.BELOW)
    assert "is not the first one" in opened.emitted.problems[-1]
