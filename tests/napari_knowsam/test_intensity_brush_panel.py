"""The brush that stops at edges paints through napari's own brush, and leaves everything else to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from opened import LIVER, SHAPE, click

from napari_knowsam.brush import Brush

if TYPE_CHECKING:
    from opened import Opened

    from knowsam.data.volume import Volume


@pytest.fixture
def tiny(tiny: Volume) -> Volume:
    """Dark up to its fifth column, and bright beyond it."""
    values = np.zeros(SHAPE, np.int16)
    values[..., 5:] = 100
    object.__setattr__(tiny, "array", values)
    return tiny


def painted(opened: Opened) -> np.ndarray:
    return opened.labels.data[3] == LIVER


def brush(opened: Opened, tool: str = "paint", value: int = LIVER, column: int = 3, size: int = 5) -> None:
    opened.labels.mode = tool
    if tool == "paint":
        opened.labels.selected_label = value
    opened.labels.brush_size = size
    opened.labels.paint((3, 4, column), opened.labels.selected_label if tool == "paint" else 0)


def test_the_brush_stops_at_an_edge_while_that_is_chosen(opened: Opened) -> None:
    brushes = Brush(opened.viewer, opened.choice)
    opened.viewer.layers.selection.active = opened.labels
    brush(opened)
    assert painted(opened)[:, 5:].any()
    opened.labels.data[:] = 0
    brushes.set_stops_at_edges(True)
    brush(opened)
    assert painted(opened)[4, 2:5].all()
    assert not painted(opened)[:, 5:].any()
    opened.choice.flush()
    assert opened.document.annotated == (3,)
    opened.undo()
    assert not painted(opened).any()
    brushes.close()
    brush(opened)
    assert painted(opened)[:, 5:].any()


def test_the_eraser_and_the_3d_brush_are_those_of_napari(opened: Opened) -> None:
    brushes = Brush(opened.viewer, opened.choice)
    opened.viewer.layers.selection.active = opened.labels
    brushes.set_stops_at_edges(True)
    opened.labels.data[3] = LIVER
    brush(opened, "erase")
    assert not painted(opened)[4, 2:5].any()
    opened.labels.n_edit_dimensions = 3
    brush(opened)
    assert painted(opened)[4, 5]
    brushes.close()


def test_preserved_labels_are_not_painted_over_and_beside_the_image_nothing_is_painted(opened: Opened) -> None:
    brushes = Brush(opened.viewer, opened.choice)
    opened.viewer.layers.selection.active = opened.labels
    brushes.set_stops_at_edges(True)
    opened.labels.data[3, :, 2] = 5
    opened.labels.preserve_labels = True
    brush(opened)
    assert (opened.labels.data[3, :, 2] == 5).all()
    assert painted(opened)[4, 3]
    opened.labels.data[:] = 0
    click(opened.labels, "paint", LIVER, (3, -4, 5))
    assert not opened.labels.data.any()
    brushes.close()
