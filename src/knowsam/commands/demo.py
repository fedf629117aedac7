"""`knowsam demo`: the sample volume, segmented from eight of its slices."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from knowsam.commands import segment
from knowsam.commands.evaluate import score_table
from knowsam.commands.options import parse
from knowsam.data.annotation import default_classes
from knowsam.data.orientation import working_index
from knowsam.errors import OutputError
from knowsam.inference.metrics import dice_score, evaluate_masks
from knowsam.inference.picture import montage, write_png
from knowsam.io.image import read_volume
from knowsam.io.labels import read_labels
from knowsam.io.sample import sample_folder

if TYPE_CHECKING:
    from argparse import Namespace

_AXIS = 2
_ANNOTATED = (1, 5, 9, 13, 16, 18, 21, 27)
_SHOWN = (3, 7, 11, 14, 17, 20, 23, 25)


def run(options: Namespace) -> None:
    """Segment the sample; write mask, picture and report into the folder and print the scores."""
    image, labels = sample_folder() / "phantom.nii.gz", sample_folder() / "phantom_labels.nii.gz"
    mask, report, picture = (options.output / name for name in ("mask.nii.gz", "report.json", "picture.png"))
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"The folder {options.output} cannot be made: {exc.strerror}. Choose another one.") from exc
    words = ["segment", str(image), "--labels", str(labels), "-o", str(mask), "--report", str(report), "--overwrite"]
    words += ["--axis", str(_AXIS), "--annotated-slices", ",".join(map(str, _ANNOTATED))]
    words += ["--device", options.device, "--seed", str(options.seed)]
    words += ["--budget", options.budget] if options.steps is None else ["--steps", str(options.steps)]
    segment.run(parse(words))

    volume, predicted, reference = read_volume(image), read_labels(mask), read_labels(labels)
    hidden = [working_index(volume.grid, _AXIS, i) for i in range(volume.grid.shape[_AXIS]) if i not in _ANNOTATED]
    classes = default_classes(int(value) for value in np.unique(reference.array))[1:]
    scores = [
        replace(score, dice=dice_score(predicted.array[hidden], reference.array[hidden], score.value))
        for score in evaluate_masks(
            predicted.array, reference.array, volume.affine, [label_class.value for label_class in classes]
        )
    ]
    drawn = montage(
        volume.array,
        predicted.array,
        axis=0,
        indices=[working_index(volume.grid, _AXIS, index) for index in _SHOWN],
        spacing_mm=volume.spacing_mm,
        colors={c.value: c.color for c in classes},
        reference=reference.array,
    )
    write_png(picture, drawn)
    sys.stdout.write(
        f"Dice on the {len(hidden)} slices that were not annotated, distances and volumes of the whole mask:\n"
        f"{score_table(scores)}\n"
        f"Picture: {picture} (white lines: the truth)\n"
    )
