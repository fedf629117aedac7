"""What is painted and what is predicted can be told apart."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opened import Opened


def test_what_is_painted_is_outlined_while_a_prediction_fills_it(opened: Opened) -> None:
    assert opened.labels.contour == 0
    opened.predict(3, 1)
    assert (opened.labels.contour, opened.prediction.contour) == (1, 0)
    opened.choice.set_live_visible(False)
    assert opened.labels.contour == 0
    opened.choice.set_live_visible(True)
    assert opened.labels.contour == 1
    opened.viewer.layers.remove(opened.prediction)
    assert opened.labels.contour == 0


def test_a_prediction_hidden_in_the_list_of_layers_outlines_nothing(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.prediction.visible = False
    assert opened.labels.contour == 0
    opened.prediction.visible = True
    assert opened.labels.contour > 0


def test_rendered_in_3d_it_is_filled_without_a_warning(opened: Opened) -> None:
    opened.predict(3, 1)
    with warnings.catch_warnings(record=True) as caught:
        opened.viewer.dims.ndisplay = 3
    assert caught == []


def test_a_person_may_fill_it_again(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.labels.contour = 0
    opened.sync.view.go_to(4)
    opened.predict(4, 1)
    assert opened.labels.contour == 0


def test_an_outline_is_no_stroke(opened: Opened) -> None:
    opened.predict(3, 1)
    opened.choice.flush()
    assert opened.document.annotated == ()
