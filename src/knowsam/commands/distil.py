"""`knowsam distil`: a SAM distilled into the compact one, on images without labels."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam import jobs
from knowsam.commands.early_end import ENDING_SENTENCE, EarlyEnd
from knowsam.commands.inputs import budget, read_images, read_teacher
from knowsam.commands.outputs import check_model, check_report, saved
from knowsam.data.orientation import working_axis
from knowsam.data.painted_axis import acquired_axis
from knowsam.distillation.distillation import Distillation
from knowsam.distillation.image_slices import ImageSlices
from knowsam.errors import ConfigError, TrainingError
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.inference.device import fault_sentence, is_out_of_memory
from knowsam.io.atomic import output_written
from knowsam.models.half_precision import save_half
from knowsam.models.published_weights import OFFICIAL
from knowsam.report import peak_memory_mib, versions, write_record
from knowsam.training.trained_model import model_file

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from knowsam.distillation.agreement import Agreement
    from knowsam.training.schedule import Budget

logger = logging.getLogger(__name__)

_ROWS = {
    "embedding_error": "embedding error",
    "one_click": "Dice, 1 click",
    "three_clicks": "Dice, 3 clicks",
    "box": "Dice, box",
    "mask": "Dice, mask",
}


@dataclass(frozen=True)
class _Outcome:
    """The result of a distillation; the names are those of the report.

    Parameters
    ----------
    teacher : its variant.
    plane_px : (H, W) of the slices.
    learnt_slices, held_out_slices : their numbers.
    stopped_by_user : whether it was ended early.
    before, after : agreement of student and teacher.
    teacher_ms, student_ms : time for a slice and a click.
    losses : of each step.
    """

    teacher: str
    plane_px: tuple[int, int]
    learnt_slices: int
    held_out_slices: int
    stopped_by_user: bool
    before: Agreement
    after: Agreement
    teacher_ms: float
    student_ms: float
    losses: list[float]


def run(options: Namespace) -> None:
    """Run the command; everything that can be refused is refused before the teacher sees a slice."""
    allowed = _allowed(options)
    check_model(options.output, overwrite=options.overwrite)
    if options.report is not None:
        check_report(options.report, overwrite=options.overwrite)
    device, timer = jobs.checked_device(options.device), jobs.PhaseTimer()
    teacher, weights = _teacher(options.teacher)
    with timer.phase("reading"):
        slices = _slices(options, device)
    with CpuThreads() as threads, _faults_in_words(device):
        distillation = Distillation(teacher, weights, slices, device=device, seed=options.seed)
        with timer.phase("teacher"):
            _embed(distillation, slices, threads)
            before = distillation.agreement()
        with timer.phase("learning"):
            losses, was_stopped = _learn(distillation, allowed, threads)
        _save(distillation.sam, options)
        with timer.phase("comparison"):
            after, latencies_ms = distillation.agreement(), distillation.latencies_ms()
    counts = len(slices.learnt), len(slices.held_out)
    outcome = _Outcome(teacher, slices.plane, *counts, was_stopped, before, after, *latencies_ms, losses)
    logger.info("%s", _table(outcome))
    if options.report is not None:
        _report(outcome, options, timer, str(device))


def _allowed(options: Namespace) -> Budget:
    allowed = budget(options)
    if allowed.is_zero:
        raise ConfigError("The budget is 0, in which nothing is learnt. Give a duration such as 10m.")
    return allowed


def _teacher(choice: str) -> tuple[str, Mapping[str, Tensor]]:
    """Return variant and weights of the chosen teacher."""
    teacher = read_teacher(choice)
    if teacher.weights is None:
        raise ConfigError(
            f"The teacher {choice!r} has learnt nothing, so it has nothing to teach. Choose compact or one of "
            f"{', '.join(OFFICIAL)}, or give a file of weights or a folder."
        )
    return teacher.variant, teacher.weights


def _slices(options: Namespace, device: torch.device) -> ImageSlices:
    volumes = read_images(options.images, options)
    axes = [
        acquired_axis(volume.spacing_mm) if options.axis is None else working_axis(volume.grid, options.axis)
        for volume in volumes
    ]
    slices = ImageSlices(volumes, axes, device)
    logger.info(
        "%d slices of %d x %d px to learn from, %d held out", len(slices.learnt), *slices.plane, len(slices.held_out)
    )
    return slices


@contextmanager
def _faults_in_words(device: torch.device) -> Iterator[None]:
    """Turn errors of PyTorch into ones with a remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        sentence = fault_sentence(error, device)
        if is_out_of_memory(error):
            sentence = (
                f"The memory of {device} ran out. Close other programs, or choose a smaller teacher or --device cpu."
            )
        raise TrainingError(sentence) from error


def _embed(distillation: Distillation, slices: ImageSlices, threads: CpuThreads) -> None:
    count = len(slices.learnt) + len(slices.held_out)
    with tqdm(total=count, desc="Teacher", unit="slice", file=sys.stderr, disable=None) as bar:
        for number in distillation.embed():
            bar.update(number)
            threads.adapt()


def _learn(distillation: Distillation, allowed: Budget, threads: CpuThreads) -> tuple[list[float], bool]:
    """Learn until the budget is used or a signal comes; return the losses, and whether a signal came."""
    losses = []
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
    with (
        tqdm(total=100, desc="Learning", bar_format=form, smoothing=0, file=sys.stderr, disable=None) as bar,
        EarlyEnd(lambda: bar.write(ENDING_SENTENCE, file=sys.stderr)) as end,
    ):
        for step in distillation.learn(allowed):
            losses.append(round(step.loss, 4))
            bar.set_postfix_str(f"step {step.number}, loss {step.loss:.3f}", refresh=False)
            bar.update(100 * step.progress - bar.n)
            threads.adapt()
            if end.is_asked:
                break
    return losses, end.is_asked


def _save(sam: nn.Module, options: Namespace) -> None:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with output_written(path, overwrite=options.overwrite) as complete:
            save_half(sam, complete)

    place = saved(model_file(options.output), write)
    logger.info("SAM: %s, for --teacher", place)


def _table(outcome: _Outcome) -> str:
    """Return the result as lines of text."""
    before, after = asdict(outcome.before), asdict(outcome.after)
    lines = [f"Against {outcome.teacher}, on {outcome.after.slices} slices that were held out:"]
    lines += [f"{'':16}  before  after"]
    lines += [f"{words:16}  {before[name]:6.3f}  {after[name]:5.3f}" for name, words in _ROWS.items()]
    took = f"{outcome.teacher_ms:.0f} ms by {outcome.teacher}, {outcome.student_ms:.0f} ms by the compact SAM"
    return "\n".join([*lines, f"A slice and a click: {took}"])


def _report(outcome: _Outcome, options: Namespace, timer: jobs.PhaseTimer, device: str) -> None:
    content = {
        "seed": options.seed,
        "device": device,
        "versions": versions(),
        "seconds": {name: round(value, 3) for name, value in timer.seconds.items()},
        "peak_memory_mib": peak_memory_mib(device),
        **asdict(outcome),
    }
    place = saved(options.report, lambda path: write_record(path, content, overwrite=options.overwrite))
    logger.info("Report: %s", place)
