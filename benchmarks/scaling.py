"""How do time and memory grow with the slices of a volume, the network plane and the classes?

Volumes are synthetic: nested ellipsoids and noise. Each point runs in a process of its own, so that its peak memory is
its own. A step is the median of the second half of the run, in which everything that training does takes part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pieces import add_file_options, checked
from provenance import peak_mib, provenance
from result_store import ResultStore
from tables import table

from knowsam.config import Config
from knowsam.data.annotation import Annotation, LabelSlice, default_classes
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.inference.device import resolve_device
from knowsam.inference.ensemble import STUDENTS_ALONE
from knowsam.training.events import Stage, StageChanged, StepDone
from knowsam.training.schedule import Budget
from knowsam.training.session import TrainingSession

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelArray

ANNOTATED = 5
LIMIT_MIB = 8 * 1024
LIMIT_PREDICTION_S = 3.0


@dataclass(frozen=True)
class Point:
    """A volume to train on.

    Parameters
    ----------
    series : the table it belongs to.
    height, width : of a slice, in voxels.
    plane_px : longest side of the network plane.
    foreground : classes, background not counted.
    """

    series: str
    slices: int
    height: int
    width: int
    plane_px: int
    foreground: int
    steps: int


DEFAULT_PX = Config().plane.max_side_px

SERIES: dict[str, list[Point]] = {
    "slices": [Point("slices", n, 128, 128, DEFAULT_PX, 1, 8) for n in (50, 100, 200, 500, 1000)],
    "plane": [Point("plane", 100, side, side, side, 1, 8) for side in (128, 192, 256, 384, 512)],
    "classes": [Point("classes", 100, 128, 128, DEFAULT_PX, n, 8) for n in (1, 2, 3, 5, 10)],
    "large": [Point("large", 600, 512, 512, DEFAULT_PX, 1, 8)],
    "prediction": [Point("prediction", 88, 200, 140, DEFAULT_PX, 1, 8)],
}
"""The first three grow in what they are called after: `VARIED` tells which field that is."""

VARIED: dict[str, Callable[[Result], int]] = {
    "slices": lambda result: result.slices,
    "plane": lambda result: result.plane_px,
    "classes": lambda result: result.foreground,
}


@dataclass(frozen=True)
class Result:
    """What a point took.

    Parameters
    ----------
    plane : (H, W) of the network.
    peak_mib : of the process; before_mib : before it made the volume, all libraries loaded.
    """

    series: str
    slices: int
    height: int
    width: int
    plane_px: int
    foreground: int
    steps: int
    threads: int
    plane: tuple[int, int]
    preparation_s: float
    step_s: float
    prediction_s: float
    before_mib: float
    peak_mib: float

    @property
    def key(self) -> tuple[str, int, int, int, int, int, int]:
        """The conditions of the run."""
        size = self.slices, self.height, self.width
        return self.series, *size, self.plane_px, self.foreground, self.threads


def main() -> None:
    """Measure the chosen series, each point in a process of its own, and print the tables."""
    options = _parse()
    if options.point is not None:
        print(
            json.dumps(
                asdict(
                    _measure(Point(**json.loads(options.point)), options.threads, str(resolve_device(options.device)))
                )
            )
        )
        return
    store = ResultStore(options.json, Result)
    if not options.table:
        for point in _chosen(options):
            key = (point.series, point.slices, point.height, point.width, point.plane_px, point.foreground)
            if not (options.missing and (*key, options.threads) in store):
                store.add(_in_own_process(point, options))
    print("\n".join([*provenance("seed 0"), *_tables(store.results)]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", nargs="+", choices=list(SERIES), default=list(SERIES), metavar="SERIES")
    parser.add_argument("--points", type=int, nargs="+", metavar="N", help="positions in the series (default: all)")
    parser.add_argument("--steps", type=int, help="training steps of each point (default: 8)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    add_file_options(parser)
    return checked(parser)


def _chosen(options: argparse.Namespace) -> Iterator[Point]:
    for series in options.series:
        for number, point in enumerate(SERIES[series]):
            if options.points is None or number in options.points:
                yield Point(**asdict(point) | ({"steps": options.steps} if options.steps else {}))


def _in_own_process(point: Point, options: argparse.Namespace) -> Result:
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), "--point", json.dumps(asdict(point))]
    command += ["--threads", str(options.threads), "--device", options.device]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    result = Result(**found | {"plane": tuple(found["plane"])})
    print(result, file=sys.stderr, flush=True)
    return result


def _measure(point: Point, threads: int, device: str) -> Result:
    before_mib = peak_mib(device)
    # One validation, at the end, so that no step waits for another.
    config = Config().with_values(max_side_px=point.plane_px, validations=1, distillation=True, mixing=True)
    started = time.monotonic()
    session = TrainingSession([_case(point)], budget=Budget(steps=point.steps), config=config, device=device)
    made = time.monotonic() - started
    training_from, ends_s = 0.0, []
    started = time.monotonic()
    for event in session.run():
        if isinstance(event, StageChanged) and event.stage is Stage.TRAINING:
            training_from = time.monotonic() - started
        elif isinstance(event, StepDone):
            ends_s.append(event.seconds)
    # As students that have been validated more than once are, which these few steps leave no time for.
    predictor = replace(session.predictor(), weight=STUDENTS_ALONE)
    started = time.monotonic()
    predictor.volume()
    prediction_s = time.monotonic() - started
    return Result(
        **asdict(point),
        threads=threads,
        plane=session.trainer.windows[0].plane,
        preparation_s=round(made + training_from, 3),
        step_s=round(float(np.median(np.diff(ends_s)[len(ends_s) // 2 :])), 3),
        prediction_s=round(prediction_s, 3),
        before_mib=before_mib,
        peak_mib=peak_mib(device),
    )


def _case(point: Point) -> Case:
    """Make the volume slice by slice, since its making must not take more memory than training does."""
    random = np.random.default_rng(0)
    array = np.empty((point.slices, point.height, point.width), np.int16)
    for index in range(point.slices):
        noise = random.normal(0, 30, array.shape[1:])
        array[index] = 100 + 300.0 * _labels(point, index) / point.foreground + noise
    grid = Grid((point.width, point.height, point.slices), np.diag([-1.0, -1.0, -1.0, 1.0]))
    annotation = Annotation(array.shape, 0, default_classes(range(1, point.foreground + 1)))
    for index in np.linspace(0.15, 0.85, ANNOTATED) * point.slices:
        annotation = annotation.with_slice(LabelSlice(0, int(index), _labels(point, int(index))))
    return Case(Volume(array, grid, "synthetic"), annotation)


def _labels(point: Point, index: int) -> LabelArray:
    """(H, W), nested ellipsoids that reach over four fifths of the volume; the innermost is the last class."""
    z = (index + 0.5) / point.slices - 0.5
    y = ((np.arange(point.height) + 0.5) / point.height - 0.5)[:, None]
    x = (np.arange(point.width) + 0.5) / point.width - 0.5
    radius = np.sqrt(z * z + y * y + x * x) / 0.4
    labels: LabelArray = np.ceil(np.clip(1 - radius, 0, 1) * point.foreground).astype(np.uint8)
    return labels


def _tables(results: Sequence[Result]) -> Iterator[str]:
    for series in SERIES:
        own = [result for result in results if result.series == series]
        for threads in sorted({result.threads for result in own}):
            same = [result for result in own if result.threads == threads]
            yield f"**{series}**, threads: {threads}\n"
            yield _table(series, same) + "\n"


def _table(series: str, results: Sequence[Result]) -> str:
    header = ["slices", "slice", "network plane", "foreground classes", "preparation s", "step s", "prediction s"]
    ordered = sorted(results, key=lambda r: (r.slices, r.plane_px, r.foreground))
    rows = [_cells(result) for result in ordered]
    if series in VARIED and len(ordered) > 1:
        rows.append(["exponent", "", "", "", *_exponents(VARIED[series], ordered)])
    found = table([*header, "peak MiB", "MiB without libraries"], rows)
    return "\n".join([found, *_verdicts(series, ordered)])


def _cells(result: Result) -> list[str]:
    height, width = result.plane
    return [
        *(str(result.slices), f"{result.height} x {result.width}", f"{height} x {width}", str(result.foreground)),
        *(f"{result.preparation_s:.2f}", f"{result.step_s:.3f}", f"{result.prediction_s:.2f}"),
        *(f"{result.peak_mib:.0f}", f"{result.peak_mib - result.before_mib:.0f}"),
    ]


def _exponents(varied: Callable[[Result], int], results: Sequence[Result]) -> list[str]:
    """Return the slopes of straight lines through the logarithms: 1 where something grows as what is varied."""
    x = np.log([varied(result) for result in results])
    measured = [
        *([r.preparation_s for r in results], [r.step_s for r in results], [r.prediction_s for r in results]),
        *([r.peak_mib for r in results], [r.peak_mib - r.before_mib for r in results]),
    ]
    return [f"{np.polyfit(x, np.log(np.maximum(values, 1e-3)), 1)[0]:.2f}" for values in measured]


def _verdicts(series: str, results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        if series == "large":
            reached = "yes" if result.peak_mib < LIMIT_MIB else "no"
            yield f"\nPeak memory below {LIMIT_MIB} MiB: {result.peak_mib:.0f} MiB, {reached}."
        if series == "prediction":
            reached = "yes" if result.prediction_s < LIMIT_PREDICTION_S else "no"
            yield f"\nWhole volume within {LIMIT_PREDICTION_S:g} s: {result.prediction_s:.2f} s, {reached}."


if __name__ == "__main__":
    main()
