"""How do time and memory grow with the number of classes?

Made-up volumes hold as many ellipsoids as classes, each with a grey value of its own, in noise; `--data` adds real
ones. Each row runs in a process of its own, so that its peak memory is its own. Propagated labels are timed from the
call to the first slice that could be shown; a step is the median of the second half of the run; the prediction is that
of the whole volume by the students. The exponent is the slope of a straight line through the logarithms of the made-up
rows: 1 is linear, and what does not depend on the classes keeps it below.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from provenance import peak_mib, provenance
from tables import table
from tasks import find_data_set

from knowsam.config import Config
from knowsam.data.annotation import Annotation, LabelArray, default_classes
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.training.events import PredictionReady, StepDone, Watch
from knowsam.training.optimizers import load_ahead
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

FOREGROUND = (2, 13, 40, 105)
SHAPE = (60, 200, 200)
ANNOTATED = 5


@dataclass(frozen=True)
class Result:
    """What one row took.

    Parameters
    ----------
    foreground : classes, background not counted.
    before_mib : memory of the process with all libraries and the volume, before the session.
    """

    volume: str
    foreground: int
    propagated_s: float
    step_s: float
    prediction_s: float
    before_mib: float
    peak_mib: float


def main() -> None:
    """Measure every row in a process of its own and print the table."""
    options = _parse()
    if options.row:
        print(json.dumps(asdict(_measure(_case(options.row, options.data), options.row, options))))
        return
    rows = [str(count) for count in options.foreground]
    rows += [] if options.data is None else list(options.volumes or find_data_set(options.data).volumes)
    results = [_in_own_process(row) for row in rows]
    print("\n".join([*provenance("seed 0"), _table(results)]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--foreground", type=int, nargs="+", default=FOREGROUND, help="classes of made-up volumes")
    parser.add_argument("--data", type=Path, help="folder with NAME.nii.gz and NAME_label.nii.gz")
    parser.add_argument("--volumes", nargs="+", metavar="NAME", help="of the folder (default: all)")
    parser.add_argument("--steps", type=int, default=8, help="training steps of each row (default: 8)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def _in_own_process(row: str) -> Result:
    command = [sys.executable, *sys.argv, "--row", row]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = Result(**json.loads(run.stdout.splitlines()[-1]))
    print(result, file=sys.stderr, flush=True)
    return result


def _measure(case: Case, name: str, options: argparse.Namespace) -> Result:
    # What PyTorch imports with the first optimiser has nothing to do with the classes.
    load_ahead()
    before_mib = peak_mib("cpu")
    # One validation, at the end, so that no step waits for another.
    config = Config().with_values(variant="none", mixing=False, validations=1)
    started = time.monotonic()
    session = TrainingSession([case], budget=Budget(steps=options.steps), config=config, device="cpu")
    session.submit(Watch(case.annotation.annotated[0] + 1))
    propagated_s, ends_s = 0.0, []
    for event in session.run():
        if isinstance(event, PredictionReady) and not propagated_s:
            propagated_s = time.monotonic() - started
        if isinstance(event, StepDone):
            ends_s.append(event.seconds)
            session.submit(Watch(None))
    predictor = replace(session.predictor(), weight=STUDENTS_ALONE)
    started = time.monotonic()
    predictor.volume()
    prediction_s = time.monotonic() - started
    step_s = float(np.median(np.diff(ends_s)[len(ends_s) // 2 :]))
    foreground = len(case.annotation.classes) - 1
    times = (round(seconds, 3) for seconds in (propagated_s, step_s, prediction_s))
    return Result("made up" if name.isdigit() else name, foreground, *times, before_mib, peak_mib("cpu"))


def _case(row: str, data: Path | None) -> Case:
    if not row.isdigit():
        assert data is not None
        return find_data_set(data).truth(row).task(ANNOTATED).case
    labels = _ellipsoids(int(row))
    grey = np.random.default_rng(1).permutation(np.linspace(100, 400, int(row) + 1))
    noise = np.random.default_rng(2).normal(0, 15, SHAPE)
    grid = Grid(SHAPE[::-1], np.diag([-1.5, -1.5, -3.0, 1.0]))
    volume = Volume((grey[labels] + noise).astype(np.int16), grid, "made up")
    indices = [int(index) for index in np.linspace(0.1, 0.9, ANNOTATED) * SHAPE[0]]
    annotation = Annotation.from_labels(labels, 0, indices, default_classes(range(1, int(row) + 1)))
    return Case(volume, annotation)


def _ellipsoids(count: int) -> LabelArray:
    """Return labels with one upright ellipsoid for each class, on a jittered grid of columns, two above each other."""
    random = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count / 2)))
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n, dtype=np.float32) for n in SHAPE), indexing="ij", sparse=True)
    labels = np.zeros(SHAPE, np.uint8)
    for number in range(count):
        half, place = divmod(number, columns * columns)
        row, column = divmod(place, columns)
        center_y, center_x = (np.array([row, column]) + 0.5 + random.uniform(-0.1, 0.1, 2)) * 0.8 / columns + 0.1
        center_z, radius = 0.3 + 0.4 * half, 0.4 / columns
        inside = ((z - center_z) / 0.22) ** 2 + ((y - center_y) / radius) ** 2 + ((x - center_x) / radius) ** 2 < 1
        labels[inside] = number + 1
    return labels


def _table(results: list[Result]) -> str:
    header = ["volume", "foreground classes", "propagated labels s", "step s", "prediction s"]
    header += ["peak MiB", "MiB of the session"]
    made_up = [r for r in results if r.volume == "made up"]
    rows = [[r.volume, str(r.foreground), *_numbers(r)] for r in results]
    if len(made_up) > 1:
        x = np.log([r.foreground for r in made_up])
        columns = zip(*(_values(r) for r in made_up), strict=True)
        rows.append(["exponent", "", *(f"{np.polyfit(x, np.log(column), 1)[0]:.2f}" for column in columns)])
    return table(header, rows)


def _values(r: Result) -> tuple[float, ...]:
    return r.propagated_s, r.step_s, r.prediction_s, r.peak_mib, max(r.peak_mib - r.before_mib, 1.0)


def _numbers(r: Result) -> list[str]:
    *times, peak, own = _values(r)
    return [*(f"{seconds:.2f}" for seconds in times), f"{peak:.0f}", f"{own:.0f}"]


if __name__ == "__main__":
    main()
