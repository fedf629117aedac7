"""Does every volume of many tasks run through the command line and the window, and what is the person told?

Each volume is painted in evenly spaced slices across its largest spacing, between the first and the last slice that
holds any structure. The painted slices and the image go into `knowsam segment` as files, and with `--window` into the
real napari window as well, whose buttons train and export. Both are told nothing else: what they make of the files by
themselves is what is tried here. Dice is the mean over the painted classes, on all slices that were not painted; the
sentences under the table are all that was said, but for the progress.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import napari
import numpy as np
from interpolation import interpolate
from napari.utils.notifications import notification_manager
from provenance import provenance
from rival import Effort
from tables import table
from tasks import Task, Truth

from knowsam.data.annotation import Annotation, class_indices, default_classes, label_values
from knowsam.inference.metrics import dice_score
from knowsam.io.image import read_image
from knowsam.io.labels import read_labels, write_labels
from knowsam.training.schedule import Budget
from napari_knowsam.demo import wait_until

_WHOLE = ("brain_tumour_mr_brats",)
"""Tasks of which all structures are taken for one."""


@dataclass(frozen=True)
class Outcome:
    """Dice of the mask that came out, and what was said on the way; no Dice if there is no mask."""

    way: str
    volume: str
    dice: float | None
    said: tuple[str, ...]


def main() -> None:
    """Run all volumes, print the table and what was said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder for each task")
    parser.add_argument("--volumes", nargs="+", default=[""], help="parts of the names of those to run (default: all)")
    parser.add_argument("-k", type=int, default=5, help="painted slices (default: 5)")
    parser.add_argument("--seconds", type=float, default=20.0, help="training time of each run (default: 20)")
    parser.add_argument("--window", action="store_true", help="run each volume through the window, too")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each trained window")
    parser.add_argument("--in-window", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_window is not None:
        print(json.dumps(through_window(*options.in_window, options.seconds, options.pictures)))
        return
    outcomes: list[Outcome] = []
    rows = []
    for image in images(options.data, options.volumes):
        task = painted(image, options.k)
        own = [run(task, image, way, options) for way in ("command line", "window")[: 1 + options.window]]
        interpolated = dice(task, interpolate(task, Effort(Budget(steps=1), 0, 1)).labels)
        cells = [f"{found.dice:.3f}" if found.dice is not None else "no mask" for found in own]
        rows.append([f"{image.parent.name} {task.name}", str(task.classes - 1), f"{interpolated:.3f}", *cells])
        print(rows[-1], *(asdict(outcome) for outcome in own), file=sys.stderr)
        outcomes += own
    print(*provenance("seed 0"), sep="\n")
    print(table(["volume", "structures", "interpolation", "command line", "window"][: 4 + options.window], rows))
    for outcome in outcomes:
        print(f"\n{outcome.volume}, {outcome.way}:", *(f"- {sentence}" for sentence in outcome.said), sep="\n")


def images(data: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the image files that have a label file beside them."""
    for labels in sorted(data.glob("*/*_label.nii.gz")):
        image = labels.with_name(labels.name.replace("_label", ""))
        if any(part in image.name for part in parts):
            yield image


def painted(image: Path, count: int) -> Task:
    """Read a volume and paint some of its slices."""
    volume = read_image(image)
    labels = read_labels(image.with_name(image.name.replace(".nii", "_label.nii"))).array
    if image.parent.name in _WHOLE:
        labels = (labels > 0).astype(np.uint8)
    # Of equal spacings the first working axis, which is the third axis of these files.
    axis = int(np.argmax(np.round(volume.spacing_mm, 2)))
    classes = default_classes(int(value) for value in np.unique(labels))
    whole = Annotation.from_labels(labels, axis, range(labels.shape[axis]), classes)
    truth = Truth(image.parent.name, image.name, volume, whole, class_indices(np.moveaxis(labels, axis, 0), classes))
    return truth.task(count)


def run(task: Task, image: Path, way: str, options: argparse.Namespace) -> Outcome:
    """Write the painted slices beside a copy of nothing else, and let a program make the mask."""
    with tempfile.TemporaryDirectory() as folder:
        painting, mask = Path(folder) / "painted_labels.nii.gz", Path(folder) / "mask.nii.gz"
        write_labels(painting, painting_of(task), task.case.volume.grid)
        if way == "window":
            command = [sys.executable, __file__, "--data", str(options.data), "--in-window", image, painting, mask]
            command += ["--seconds", str(options.seconds)]
            command += ["--pictures", options.pictures] if options.pictures else []
        else:
            command = ["knowsam", "segment", image, "--labels", painting, "-o", mask, "--budget", f"{options.seconds}s"]
        ended = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if way == "window" and ended.returncode == 0:
            said = json.loads(ended.stdout.splitlines()[-1])
        else:
            said = [line for line in ended.stderr.splitlines() if not line.startswith("Training ")]
        if not mask.exists():
            return Outcome(way, task.name, None, tuple(said))
        found = class_indices(np.moveaxis(read_labels(mask).array, task.case.annotation.axis, 0), classes_of(task))
        return Outcome(way, task.name, dice(task, found), tuple(said))


def painting_of(task: Task) -> np.ndarray:
    """Return label values (Z, Y, X) that hold the painted slices only."""
    planes = np.zeros_like(task.truth)
    for index in task.annotated:
        planes[index] = task.labels_of(index)
    return label_values(np.moveaxis(planes, 0, task.case.annotation.axis), classes_of(task))


def classes_of(task: Task) -> tuple:
    """Return the classes, background first."""
    return task.case.annotation.classes


def dice(task: Task, labels: np.ndarray) -> float:
    """Return the mean Dice of the classes that were painted, on all slices that were not."""
    hidden = [index for index in range(len(labels)) if index not in task.annotated]
    shown = np.unique(np.stack([task.labels_of(index) for index in task.annotated]))
    return float(np.mean([dice_score(labels[hidden], task.truth[hidden], int(value)) for value in shown if value]))


def through_window(image: Path, painting: Path, mask: Path, seconds: float, pictures: Path | None) -> list[str]:
    """Open both files in a window, press Train, export the mask; return all that was said."""
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    viewer.open([image, painting], plugin="napari-knowsam")
    viewer.layers.selection.active = viewer.layers[0]
    _, widget = viewer.window.add_plugin_dock_widget("napari-knowsam")
    widget.train.budget = lambda: Budget(seconds=seconds)
    widget.train.bar.train_requested.emit()
    wait_until(lambda: widget.presenter.controller.is_running)
    wait_until(lambda: not widget.presenter.controller.is_running)
    document = widget.presenter.layers.document
    wait_until(lambda: not widget.presenter.controller.outdated(document))
    widget.result.export_requested.emit(mask)
    wait_until(mask.exists)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        viewer.window.screenshot(str(pictures / f"{image.name.split('.')[0]}.png"), flash=False)
    said = [str(record.message) for record in notification_manager.records]
    viewer.close()
    return said


if __name__ == "__main__":
    main()
