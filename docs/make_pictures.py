"""Make the pictures of the README and the guide from the running program: `make pictures`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QScrollArea

from napari_knowsam.demo import open_demo, wait_until

if TYPE_CHECKING:
    from knowsam.training.events import StepDone

FOLDER = Path(__file__).parent / "pictures"
CORRECTED_SLICE = 18


def main() -> None:
    """Drive the demonstration from the painted slices to a corrected result and take a picture of each step."""
    viewer, widget = open_demo()
    presenter = widget.presenter
    assert presenter is not None
    document = presenter.layers.document
    assert document is not None

    progress = 0.0

    def note(step: StepDone, _seconds_left: float | None) -> None:
        nonlocal progress
        progress = step.progress

    presenter.controller.stepped.connect(note)

    def picture(name: str) -> None:
        presenter.layers.flush()
        drawn = time.monotonic() + 1.0
        wait_until(lambda: time.monotonic() > drawn)
        viewer.window.screenshot(str(FOLDER / f"{name}.png"), flash=False)
        sys.stdout.write(f"{FOLDER / name}.png\n")

    picture("painted")

    widget.train.bar.train_requested.emit()
    presenter.layers.sync.view.go_to(CORRECTED_SLICE)
    wait_until(lambda: CORRECTED_SLICE in document.predictions.indices)
    wait_until(lambda: progress > 0.6)
    picture("training")

    prediction = viewer.layers["phantom prediction"]
    viewer.layers.selection.active = prediction
    prediction.selected_label, prediction.brush_size, prediction.mode = 1, 9, "paint"
    for column in range(20, 27):
        prediction.paint((CORRECTED_SLICE, 36, column), 1)
    presenter.layers.flush()
    picture("corrected")

    wait_until(lambda: not presenter.controller.is_running)
    uncertainty = next(box for box in widget.result.findChildren(QCheckBox) if box.text() == "Uncertainty")
    uncertainty.click()
    widget.findChild(QScrollArea).ensureWidgetVisible(widget.result)
    picture("result")
    uncertainty.click()
    viewer.theme = "light"
    picture("light")
    viewer.close()


if __name__ == "__main__":
    # Away from what was saved of an earlier run, which the panel would offer again.
    with TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        main()
