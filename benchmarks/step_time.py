"""How long is a training step with a large teacher, in the published formulation and in ours, switch by switch?

A ViT-B SAM of random weights in the official layout, taken for pretrained and so frozen: it teaches nothing, but costs
what the official one costs. The mixed phase is on. Rows are cumulative, each runs in a process of its own. The floor is
the arithmetic of a step, counted, divided by the rate of a large matrix product measured in the same process. Ratios
are of seconds on the processor, which other programs do not lengthen by taking turns with this one; on CUDA, of seconds
on the clock from the first step timed to the end of the last one, between which nothing waits for the device.

With `--dice`, both ends of the table are trained for the same number of steps on real volumes instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from provenance import peak_mib, provenance
from tasks import find_data_set
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from knowsam import jobs
from knowsam.config import Config
from knowsam.data.annotation import Annotation
from knowsam.data.case import Case
from knowsam.data.volume import Grid, Volume
from knowsam.inference.device import resolve_dtype
from knowsam.models.sam import VARIANTS, build_sam
from knowsam.models.teachers import Teacher
from knowsam.training.learner import Learner
from knowsam.training.network_volumes import common_windows
from knowsam.training.schedule import Budget
from knowsam.training.slices import TrainingSlices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.models.prompted_teacher import Embedding, PromptedTeacher
    from knowsam.training.batch import Batch

PUBLISHED: dict[str, Any] = {
    "adapted_blocks": 0,
    "cache_trunk": False,
    "teacher_in_turn": "never",
    "channels_last": False,
    "precision": "float32",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: what it changes of the row before, and what of the package it undoes."""

    change: dict[str, Any]
    class_loop: bool = False
    anomaly: bool = False


ROWS = {
    "published": Row({}, class_loop=True, anomaly=True),
    "without anomaly detection": Row({}, class_loop=True),
    "classes in one batch": Row({}),
    "bfloat16": Row({"precision": "bfloat16"}),
    "channels last": Row({"channels_last": True}),
    "adapters in the last blocks": Row({"adapted_blocks": Config().teacher.adapted_blocks}),
    "teacher in turn": Row({"teacher_in_turn": "always"}),
    "frozen blocks once a slice": Row({"cache_trunk": True}),
    "mixing every second step": Row({"mix_every": 2}),
}
OURS = "mixing every second step"
"""The row with all defaults of the package."""

SLICES, ANNOTATED = 16, (3, 5, 8, 10, 12)


@dataclass(frozen=True)
class Result:
    """What one row took.

    Parameters
    ----------
    seconds : of each timed step.
    processor_s : the same without what other programs took of the processor.
    gflop : arithmetic of a step.
    gflop_per_s : rate of a matrix product in the arithmetic of the row.
    """

    row: str
    seconds: list[float]
    processor_s: list[float]
    peak_mib: float
    gflop: float
    gflop_per_s: float

    @property
    def median_s(self) -> float:
        """Median time of a step on the clock."""
        return statistics.median(self.seconds)

    @property
    def median_processor_s(self) -> float:
        """Median time of a step on the processor."""
        return statistics.median(self.processor_s)

    @property
    def floor_s(self) -> float:
        """Time that the arithmetic takes at the rate of a large matrix product."""
        return self.gflop / self.gflop_per_s


def main() -> None:
    """Run all rows and print the table."""
    options = _parse()
    if options.child:
        print(json.dumps(asdict(_measure(options.rows[0], options))))
    elif options.dice:
        _dice(options)
    else:
        _step_time(options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=2, help="slices of each of both kinds in a step (default: 2)")
    parser.add_argument("--plane", type=int, default=256, help="side of the network plane in px (default: 256)")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that is not (default: 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--json", type=Path, help="write every single result")
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}"
    )
    parser.add_argument("--dice", type=int, metavar="STEPS", help="train for so many steps and measure Dice instead")
    parser.add_argument("--teacher", choices=["vit_b", "compact"], default="vit_b", help="of --dice (default: vit_b)")
    parser.add_argument("--data", type=Path, help="folder with la_NN.nii.gz and la_NN_label.nii.gz, for --dice")
    parser.add_argument("--volumes", nargs="+", default=["la_01", "la_02"], metavar="NAME", help="for --dice")
    parser.add_argument("-k", "--annotated", type=int, default=5, help="annotated slices, for --dice (default: 5)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dice and options.data is None:
        parser.error("--dice needs --data")
    return options


def config_of(row: str, plane: int) -> Config:
    """Return the settings of a row: the published formulation with all changes up to it."""
    config = Config().with_values(**PUBLISHED, max_side_px=plane, variant="vit_b", distillation=True, mixing=True)
    for name, changed in ROWS.items():
        config = config.with_values(**changed.change)
        if name == row:
            return config
    raise KeyError(row)


def random_sam() -> dict[str, Tensor]:
    """Return random weights of a ViT-B SAM under their official names, for the official plane of 1024 px."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sam: nn.Module = build_sam(VARIANTS["vit_b"], (1024, 1024))
        for name, parameter in sam.named_parameters():
            if "pos" in name:
                nn.init.normal_(parameter, std=0.02)
    return sam.state_dict()


def _step_time(options: argparse.Namespace) -> None:
    results: list[Result] = []
    for row in options.rows:
        command = [sys.executable, __file__, "--child", "--rows", row, "--steps", str(options.steps)]
        command += ["--batch", str(options.batch), "--plane", str(options.plane), "--seed", str(options.seed)]
        command += ["--device", str(options.device)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(Result(**json.loads(answer.stdout)))
        print(results[-1], file=sys.stderr, flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print(_table(results, options))


def _table(results: list[Result], options: argparse.Namespace) -> str:
    lines = [
        *provenance(f"seed {options.seed}"),
        f"ViT-B of random weights, {options.plane} px, {options.batch} + {options.batch} slices, 2 classes, mixed "
        f"phase; {'median' if options.device.type == 'cpu' else 'mean'} of {options.steps} steps",
        "",
        "| row | s a step | of the processor | times as fast as the first row | peak MiB | GFLOP a step | floor s "
        "| times the floor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        own_s = result.median_processor_s
        lines.append(
            f"| {result.row} | {result.median_s:.2f} | {own_s:.2f} | {results[0].median_processor_s / own_s:.1f} "
            f"| {result.peak_mib:.0f} | {result.gflop:.0f} | {result.floor_s:.2f} | {own_s / result.floor_s:.1f} |"
        )
    return "\n".join(lines)


def _measure(name: str, options: argparse.Namespace) -> Result:
    """Time the steps of one row in this process."""
    row, config, device = ROWS[name], config_of(name, options.plane), options.device
    case = _ball(options.plane)
    windows, _ = common_windows([case], config)
    slices = TrainingSlices([case], windows, config, device=device, seed=options.seed)
    slices.restart_streams(())
    learner = Learner(2, windows[0].plane, config, device=device, seed=options.seed, sam_weights=random_sam())
    assert learner.teacher is not None
    if row.class_loop:
        _decode_in_a_loop(learner.teacher)
    _fill_trunk(learner, slices)
    dtype = resolve_dtype(config.training.precision, device)
    rates = [_matrix_rate(dtype, device)]
    with FlopCounterMode(display=False) as counter:
        learner.step(slices.batch(options.batch, options.batch), 0, 0.9)
    # An even number, where every second step is another one.
    timed = options.steps + options.steps % config.mixing.mix_every
    with torch.autograd.detect_anomaly() if row.anomaly else nullcontext():
        seconds, processor_s = _timed(learner, slices, options.batch, timed)
    rates.append(_matrix_rate(dtype, device))
    if config.mixing.mix_every > 1:
        seconds, processor_s = [statistics.mean(seconds)], [statistics.mean(processor_s)]
    gflop = counter.get_total_flops() / 1e9
    return Result(name, seconds, processor_s, peak_mib(str(device)), gflop, max(rates))


def _timed(learner: Learner, slices: TrainingSlices, batch: int, steps: int) -> tuple[list[float], list[float]]:
    """Return the seconds of steps, on the clock and on the processor; on CUDA, twice the mean on the clock."""
    seconds, processor_s = [], []
    _wait(learner.device)
    began = time.perf_counter()
    for number in range(1, 1 + steps):
        started, started_here = time.perf_counter(), time.process_time()
        learner.step(slices.batch(batch, batch), number, 0.9)
        seconds.append(time.perf_counter() - started)
        processor_s.append(time.process_time() - started_here)
    if learner.device.type == "cpu":
        return seconds, processor_s
    _wait(learner.device)
    mean = (time.perf_counter() - began) / steps
    return [mean], [mean]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _ball(side: int) -> Case:
    """Return a volume of noise with a bright ball, five slices of which are painted; its window is the whole slice."""
    z, y, x = ((np.arange(n) - (n - 1) / 2) / n for n in (SLICES, side, side))
    labels = (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 0.45**2).astype(np.uint8)
    noise = np.random.default_rng(0).normal(scale=10.0, size=labels.shape)
    grid = Grid(labels.shape, np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])
    volume = Volume((100 + 100 * labels + noise).astype(np.float32), grid, "ball")
    return Case(volume, Annotation.from_labels(labels, axis=0, indices=ANNOTATED))


def _decode_in_a_loop(teacher: PromptedTeacher) -> None:
    """Let a teacher decode one class after the other, as published."""
    decode: Callable[[Embedding, Tensor | None, Tensor | None], Tensor] = teacher.decode

    def in_a_loop(embedding: Embedding, sparse: Tensor | None, masks: Tensor | None) -> Tensor:
        assert sparse is not None
        assert masks is not None
        classes, teacher.classes = teacher.classes, 2
        # Background was asked for too; it has no prompt of its own here, and borrows that of the first structure.
        asked = [max(number, 1) for number in range(classes)]
        parts = [decode(embedding, sparse[:, [c - 1]], masks[:, [0, c]])[:, 1:] for c in asked]
        teacher.classes = classes
        return torch.cat(parts, dim=1)

    teacher.decode = in_a_loop  # type: ignore[method-assign]


def _fill_trunk(learner: Learner, slices: TrainingSlices) -> None:
    """Let every slice pass the frozen blocks, which it does once in a training."""
    teaching: Any = learner._teaching
    started = time.perf_counter()
    done: set[int] = set()
    for batch in _until_all_drawn(slices):
        assert batch.origin is not None
        if learner.config.teacher.teacher_in_turn == "always":
            teaching._turn_to(batch.origin)
        if getattr(teaching, "_trunk", None) is None:
            return
        with torch.autocast(learner.device.type, dtype=torch.bfloat16):
            teaching._seen(batch.origin, range(len(batch.origin.rows)))
        done.update(batch.origin.rows)
    print(f"{(time.perf_counter() - started) / len(done):.3f} s for each slice, once", file=sys.stderr, flush=True)


def _until_all_drawn(slices: TrainingSlices) -> Iterator[Batch]:
    return (slices.batch(1, 1) for _ in range(SLICES))


def _matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Return the rate of a large matrix product, the best of five, in GFLOP/s."""
    side, clock = (2048, time.process_time) if device.type == "cpu" else (8192, time.perf_counter)
    a, b = torch.rand(2, side, side, device=device).to(dtype)
    best = 0.0
    for _ in range(5):
        _wait(device)
        started = clock()
        a @ b
        _wait(device)
        best = max(best, 2 * side**3 / 1e9 / (clock() - started))
    return best


def _dice(options: argparse.Namespace) -> None:
    """Train the published formulation and ours for the same number of steps and print the Dice of both."""
    teacher = Teacher("vit_b", random_sam()) if options.teacher == "vit_b" else Teacher("compact")
    lines = [
        *provenance(f"seed {options.seed}"),
        f"teacher {options.teacher}{', of random weights' * (options.teacher == 'vit_b')}, {options.plane} px, "
        f"{options.batch} + {options.batch} slices, {options.dice} steps",
        "",
        f"| row | {' | '.join(options.volumes)} | mean Dice | s a step, all included |",
        "|---" * (len(options.volumes) + 3) + "|",
    ]
    for name in ("published", OURS):
        config = config_of(name, options.plane)
        config = replace(config, teacher=replace(config.teacher, variant=teacher.variant))
        config = config.with_values(labelled_batch=options.batch, unlabelled_batch=options.batch)
        dice: list[float] = []
        started = time.perf_counter()
        for volume in options.volumes:
            task = find_data_set(options.data).truth(volume).task(options.annotated)
            result = jobs.segment(
                task.case.volume,
                task.case.annotation,
                budget=Budget(steps=options.dice),
                config=config,
                teacher=teacher,
                seed=options.seed,
            )
            dice.append(task.dice(task.slices_first(result.prediction.labels)))
        step_s = (time.perf_counter() - started) / options.dice / len(dice)
        scores = " | ".join(f"{score:.3f}" for score in dice)
        lines.append(f"| {name} | {scores} | {statistics.mean(dice):.3f} | {step_s:.2f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
