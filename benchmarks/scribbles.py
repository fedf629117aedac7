"""How good are scribbled slices, completed by themselves?

Every slice that somebody has scribbled and that holds a structure is completed on the network plane, as if each volume
had been scribbled in nine slices. Dice of each class, mean over the slices that hold it. Nothing is propagated.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from painters import scribbled
from provenance import provenance
from tables import table
from tasks import find_data_set

from knowsam.config import Config
from knowsam.data.annotation import IGNORE
from knowsam.inference.metrics import dice_score
from knowsam.inference.planes import network_labels, network_planes, network_scribbles
from knowsam.propagation.completion import completed
from knowsam.training.network_volumes import common_windows

if TYPE_CHECKING:
    from tasks import Truth

_SLICES = 9


def main() -> None:
    """Complete all slices and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of volumes with NAME_scribble.nii.gz")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = find_data_set(options.data)
    rows, every, seconds = [], [], []
    for volume in data.volumes:
        found = _scores(data.truth(volume), seconds)
        every += found
        rows.append([volume, *_means(found)])
        print(*rows[-1], file=sys.stderr, flush=True)
    classes = [f"class {number}" for number in range(1, len(every[0]) + 1)]
    print(*provenance(f"{1000 * np.mean(seconds):.0f} ms a slice"), sep="\n")
    print(table(["volume", "slices", *classes, "mean"], [*rows, ["all", *_means(every)]]))


def _scores(truth: Truth, seconds: list[float]) -> list[list[float]]:
    """Return the Dice of each class in each slice, NaN where it is not, and note the seconds that each slice took."""
    window = common_windows([truth.task(_SLICES, scribbled).case], Config())[0][0]
    planes = network_planes(truth.volume, truth.annotation.axis, window, Config().plane.clip_percent).numpy()
    scores = []
    for index in map(int, truth.held):
        started = time.process_time()
        found = completed(network_scribbles(scribbled(truth, index), window), planes[index])
        seconds.append(time.process_time() - started)
        target = network_labels(truth.indices[index], window).numpy()
        labelled = target != IGNORE
        values = range(1, int(truth.indices.max()) + 1)
        scores.append(
            [dice_score(found[labelled], target[labelled], v) if (target == v).any() else np.nan for v in values]
        )
    return scores


def _means(scores: list[list[float]]) -> list[str]:
    by_class = np.nanmean(scores, axis=0)
    return [str(len(scores)), *(f"{mean:.3f}" for mean in by_class), f"{np.nanmean(np.nanmean(scores, axis=1)):.3f}"]


if __name__ == "__main__":
    main()
