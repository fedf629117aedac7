"""One key leads to the slice that is worth a check, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from opened import LIVER, plane, stroke

from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.edit import Edit
from napari_knowsam.next_check import NextCheck
from napari_knowsam.panels.annotate_panel import AnnotatePanel

if TYPE_CHECKING:
    from opened import Opened
    from pytestqt.qtbot import QtBot


@pytest.fixture
def panel(opened: Opened, qtbot: QtBot) -> AnnotatePanel:
    made = AnnotatePanel()
    qtbot.addWidget(made)
    made.sentences = []  # type: ignore[attr-defined]
    made.set_message = made.sentences.append  # type: ignore[attr-defined, method-assign]
    NextCheck(opened.choice, made, made)
    return made


def test_the_slice_comes_on_the_screen_with_the_reason(opened: Opened, panel: AnnotatePanel) -> None:
    for index in (0, 5):
        stroke(opened.labels, LIVER, index)
    opened.choice.flush()
    opened.apply(
        [(index, plane(1), plane(percent)) for index, percent in enumerate((10, 30, 20, 10), start=1)], opened.document
    )
    opened.sync.view.go_to(1)
    panel.marks.next_slice_requested.emit()
    assert opened.sync.view.index == 2
    assert panel.sentences[-1].startswith("Slice 3: about 30% of what is shown is probably wrong. It lies between")


def test_beyond_the_outermost_slice_the_end_is_asked_for(opened: Opened, panel: AnnotatePanel) -> None:
    stroke(opened.labels, LIVER, 4)
    opened.choice.flush()
    opened.predict(5, 1)
    panel.marks.next_slice_requested.emit()
    assert opened.sync.view.index == 5
    assert "beyond slice 5" in panel.sentences[-1]


def test_what_sam_outlined_is_to_be_confirmed_first(opened: Opened, panel: AnnotatePanel) -> None:
    mask = np.ones(opened.document.plane_shape, bool)
    opened.sync.change(AnnotationDocument.edit, Edit(LIVER, {1: mask, 2: mask}, is_by_sam=True), "outlining in")
    opened.predict(5, 1)
    panel.marks.next_slice_requested.emit()
    assert opened.sync.view.index == 1
    assert panel.sentences[-1].endswith("Correct it or accept it (U); there is 1 more.")


def test_where_there_is_nothing_to_check_the_slice_stays(opened: Opened, panel: AnnotatePanel) -> None:
    panel.marks.next_slice_requested.emit()
    assert opened.sync.view.index == 3
    assert panel.sentences[-1].startswith("No slice needs a check")
