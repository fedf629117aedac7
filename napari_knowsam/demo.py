"""`python -m napari_knowsam.demo`: napari with the sample volume, three painted slices and the panel, ready to train.

With ``--unattended FOLDER`` it presses the button itself and leaves pictures and the exported mask in the folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from knowsam.errors import KnowSAMError
from knowsam.inference.metrics import dice_score
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_knowsam.dock_widget import KnowSAMWidget

_PLUGIN = "napari-knowsam"
_LONGEST_S = 900.0
_WINDOW_PX = 1600, 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the demonstration; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m napari_knowsam.demo", description=__doc__)
    parser.add_argument("--unattended", type=Path, metavar="FOLDER", help="train, export, take pictures and close")
    options = parser.parse_args(arguments)
    viewer, widget = open_demo()
    if options.unattended is None:
        napari.run()
        return 0
    try:
        options.unattended.mkdir(parents=True, exist_ok=True)
        _run_unattended(viewer, widget, options.unattended)
    except KnowSAMError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        viewer.close()
    return 0


def open_demo() -> tuple[Viewer, KnowSAMWidget]:
    """Open a window with the sample volume, three painted slices of it and the panel."""
    viewer = napari.Viewer(title="napari-knowsam")
    viewer.window.resize(*_WINDOW_PX)
    viewer.open_sample(_PLUGIN, "painted_phantom")
    viewer.layers.selection.active = viewer.layers[0]
    _, widget = viewer.window.add_plugin_dock_widget(_PLUGIN)
    assert widget.presenter is not None
    assert widget.presenter.layers.sync is not None
    widget.presenter.layers.sync.go_to_annotated(1)
    return viewer, widget


def wait_until(condition: Callable[[], bool], longest_s: float = _LONGEST_S) -> None:
    """Let the window live until something has happened.

    Raises
    ------
    KnowSAMError
        If it has not happened in time.
    """
    end = time.monotonic() + longest_s
    while not condition():
        if time.monotonic() > end:
            raise KnowSAMError(f"The window was watched for {longest_s:g} s, but what was awaited did not happen.")
        QApplication.processEvents()
        time.sleep(0.01)


def _run_unattended(viewer: Viewer, widget: KnowSAMWidget, folder: Path) -> None:
    presenter = widget.presenter
    assert presenter is not None
    document = presenter.layers.document
    assert document is not None
    painted = document.annotated
    started = time.monotonic()
    widget.train.bar.train_requested.emit()
    wait_until(lambda: bool(document.predictions.indices))
    sys.stdout.write(f"First prediction {time.monotonic() - started:.1f} s after the click\n")
    viewer.window.screenshot(str(folder / "training.png"), flash=False)
    wait_until(lambda: not presenter.controller.is_running and not presenter.controller.outdated(document))
    viewer.window.screenshot(str(folder / "trained.png"), flash=False)
    mask = folder / "mask.nii.gz"
    widget.result.export_requested.emit(mask)
    wait_until(mask.exists)
    sys.stdout.write(f"Mask and pictures: {folder}\n{_scores(mask, painted, document.axis)}\n")


def _scores(mask: Path, painted: Sequence[int], axis: int) -> str:
    found, truth = read_labels(mask), read_labels(sample_folder() / "phantom_labels.nii.gz")
    hidden = [index for index in range(truth.shape[axis]) if index not in painted]
    predicted, reference = (np.take(volume.array, hidden, axis) for volume in (found, truth))
    names = {1: "liver", 2: "kidneys", 3: "lesion"}
    scores = ", ".join(f"{name} {dice_score(predicted, reference, value):.2f}" for value, name in names.items())
    return f"Dice on the {len(hidden)} slices that were not painted: {scores}"


if __name__ == "__main__":
    sys.exit(main())
