"""How well does SAM outline a structure from a box or from clicks, at the resolution of the slice?

Structures are those of `propagator.py`, in up to six slices each, the largest piece in a slice. The box round it is up
to 5 % of its size out of place. The first click falls in the middle of the structure, every further one in the middle
of the largest error. "Followed" is the mean Dice in the three slices on either side of a slice that is outlined
rightly, and "given up" the share of these slices that are not reached though the structure is there. "Ends" is the
share of first slices beyond the structure in which it is no longer outlined.

With `--adapted STEPS`, five slices of each structure are annotated, the compact SAM teaches students on them for so
many steps, and is asked in other slices, before and after. There, clicks also go on from what is propagated.

With `--stopping`, structures are followed as far as it goes, to see what tells where they are lost (`following.py`):
from a third of their slices, which SAM outlines from a box and three clicks.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from following import Way, dice_of, followed_on, rule_table, signal_table
from propagated import propagated
from propagator import add_task_options, structures, truths
from provenance import provenance
from safetensors.torch import load_file
from scipy import ndimage
from tables import table

from knowsam.config import Config
from knowsam.data.window import box_of
from knowsam.jobs import train
from knowsam.models.checkpoints import load_sam_weights
from knowsam.models.compact_sam import compact_sam_weights
from knowsam.models.prompted_sam import STUDENT, PromptedSam
from knowsam.models.sam import VARIANTS
from knowsam.models.sam_teacher import SamTeacher
from knowsam.prompting.following import followed
from knowsam.prompting.prompted_volume import PromptedVolume
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tasks import Task, Truth
    from torch import Tensor

    from knowsam.prompting.prompted_volume import PromptedMask
    from knowsam.prompting.slice_prompts import Box, Mask

_SLICES = 6
_JITTER = 0.05
_CLICKS = 5
_REACH = 3
_SMALLEST_PX = 20
_ANNOTATED = 5
_TEACHER_PLANE = 96, 96
"""On which the compact SAM is asked, whatever it has taught on."""

_ROWS = ("ellipse", "box", "box, 3 clicks", "ellipse as mask", "1 click", "3 clicks", "5 clicks")
_SHOWN_ROWS = ("propagated", "propagated, 1 click", "propagated, 3 clicks")
_FOLLOWED = ("followed", "given up", "ends")


@dataclass(frozen=True)
class Result:
    """Means of one structure, nan for what could not be measured in it."""

    data: str
    structure: str
    dice: tuple[float, ...]
    followed: tuple[float, ...]
    milliseconds: tuple[float, float]


def main() -> None:
    """Run all structures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_task_options(parser)
    parser.add_argument("--variant", default="compact", help="of the SAM (default: %(default)s)")
    parser.add_argument("--weights", type=Path, help="of another compact SAM than the shipped one, or official ones")
    parser.add_argument("--per-volume", type=int, default=2, help="structures of each volume (default: %(default)s)")
    parser.add_argument("--adapted", type=int, metavar="STEPS", help="ask the compact SAM after a training, too")
    parser.add_argument("--stopping", action="store_true", help="see where structures that are followed are lost")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1.0], help="of its adapters, times that of trainings"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.adapted is not None:
        _compare_adapted(options)
        return
    weights = _weights(options.variant, options.weights)
    if options.stopping:
        _compare_rules(options, weights)
        return
    results, random = [], np.random.default_rng(0)
    for truth, name, own in _structures(options):
        volume = PromptedVolume(truth.volume, truth.annotation.axis, options.variant, weights, torch.device("cpu"))
        results.append(_result(volume, truth.data, name, own.indices > 0, random))
        print(results[-1], file=sys.stderr, flush=True)
    print(*provenance("no training; seed of the boxes 0"), sep="\n")
    print(_table(results))


def _structures(options: argparse.Namespace) -> Iterator[tuple[Truth, str, Truth]]:
    for truth in truths(options):
        for name, own in list(structures(truth))[: options.per_volume]:
            yield truth, name, own


def _compare_adapted(options: argparse.Namespace) -> None:
    """Ask the compact SAM in slices that nobody annotated, before and after it taught on others."""
    rows: dict[str, list[Result]] = {"pretrained": []}
    for truth, name, own in _structures(options):
        task = own.task(_ANNOTATED)
        shown = propagated(task, Config()) > 0
        before = PromptedVolume(
            truth.volume, truth.annotation.axis, STUDENT, compact_sam_weights(), torch.device("cpu")
        )
        volumes: dict[str, PromptedVolume] = {"pretrained": before}
        for rate in options.rates:
            volumes[f"adapted, {options.adapted} steps, rate x {rate:g}"] = _Adapted(truth, task, options.adapted, rate)
        for row, volume in volumes.items():
            random = np.random.default_rng(0)
            result = _result(volume, truth.data, name, own.indices > 0, random, task.annotated, shown)
            rows.setdefault(row, []).append(result)
            print(row, result, file=sys.stderr, flush=True)
    print(*provenance("seed of training and boxes 0"), sep="\n")
    for row, results in rows.items():
        print(f"{row}:\n\n{_table(results)}\n")


def _compare_rules(options: argparse.Namespace, weights: Mapping[str, Tensor]) -> None:
    """Follow structures as far as it goes, and print what would have stopped where they are lost."""
    ways: dict[str, list[Way]] = {}
    random = np.random.default_rng(0)
    for truth, name, own in _structures(options):
        volume = PromptedVolume(truth.volume, truth.annotation.axis, options.variant, weights, torch.device("cpu"))
        mask = own.indices > 0
        held = np.flatnonzero(mask.sum(axis=(1, 2)) >= _SMALLEST_PX)
        if not len(held):
            continue
        index = int(held[len(held) // 3])
        target = _largest_piece(mask[index])
        begun = _three_clicks(volume, index, target, _jittered(box_of(target), target.shape, random)).mask
        ways[name] = [list(followed_on(volume, index, begun, direction, mask)) for direction in (1, -1)]
        shown = [[round(one.dice, 2) for one in way] for way in ways[name]]
        print(truth.data, name, shown, file=sys.stderr, flush=True)
    print(*provenance("no training; seed of the boxes 0"), sep="\n")
    slices = sum(len(way) for own in ways.values() for way in own)
    print(f"{slices} slices of {len(ways)} structures.\n\n{signal_table(ways)}\n\n{rule_table(ways)}")


class _Adapted(PromptedVolume):
    """Asks the compact SAM with the adapters that it has got by teaching on the annotated slices of a volume."""

    def __init__(self, truth: Truth, task: Task, steps: int, rate: float) -> None:
        super().__init__(truth.volume, truth.annotation.axis, STUDENT, compact_sam_weights(), torch.device("cpu"))
        rate *= Config().training.adapter_learning_rate
        config = Config().with_values(distillation=True, mixing=False, adapter_learning_rate=rate)
        learner = train([task.case], budget=Budget(steps=steps), config=config, device="cpu").trainer.learner
        learner.change_plane(_TEACHER_PLANE)
        teacher = learner.teacher
        assert isinstance(teacher, SamTeacher)
        self._sam = PromptedSam(teacher.sam.eval().requires_grad_(False), VARIANTS[STUDENT])


def _weights(variant: str, file: Path | None) -> Mapping[str, Tensor]:
    if variant == "compact":
        return compact_sam_weights() if file is None else load_file(file)
    if file is None:
        raise SystemExit(f"The weights of {variant} do not come with the program. Give them by --weights FILE.")
    return load_sam_weights(file)


def _result(
    volume: PromptedVolume,
    data: str,
    name: str,
    truth: Mask,
    random: np.random.Generator,
    annotated: Collection[int] = (),
    shown: Mask | None = None,
) -> Result:
    """Ask for a structure in slices that are not annotated, and go on from what is shown (N, H, W)."""
    held = np.flatnonzero(truth.sum(axis=(1, 2)) >= _SMALLEST_PX)
    free = np.setdiff1d(held, [*annotated])
    chosen = sorted({int(free[round(place)]) for place in np.linspace(0, len(free) - 1, _SLICES + 2)[1:-1]})
    rows, times, follows = [], [], []
    for index in chosen:
        target = _largest_piece(truth[index])
        answers, seconds = _answers(volume, index, target, _jittered(box_of(target), target.shape, random))
        from_shown = [] if shown is None else _from_shown(volume, index, shown[index], truth[index])
        rows.append([*(dice_of(answer, target) for answer in answers), *from_shown])
        times.append(seconds)
        follows.append(_followed(volume, index, truth))
    ends = _ends(volume, truth, held)
    means = np.mean(rows, axis=0).round(4)
    dice, given_up = np.nanmean(follows, axis=0).round(4)
    embedding, prompt = (1000 * np.median(times, axis=0)).round(1)
    return Result(data, name, tuple(means), (dice, given_up, ends), (embedding, prompt))


def _answers(volume: PromptedVolume, index: int, target: Mask, box: Box) -> tuple[list[Mask], tuple[float, float]]:
    """Return the masks of each row, and the seconds of an embedding and of a prompt."""
    boxed = SlicePrompts(box=box)
    started = time.process_time()
    volume.ask(index, boxed)
    seen = time.process_time()
    answer = volume.ask(index, boxed)
    asked = time.process_time()
    ellipse = _ellipse(box, target.shape)
    found = [ellipse, answer.mask, _three_clicks(volume, index, target, box).mask]
    found += [volume.ask(index, SlicePrompts(box=box, logits=logits_of(ellipse))).mask]
    prompts = _corrected(SlicePrompts(), np.zeros_like(target), target)
    answer = volume.ask(index, prompts)
    for number in range(1, _CLICKS + 1):
        if number in (1, 3, 5):
            found.append(answer.mask)
        prompts = _corrected(prompts, answer.mask, target)
        answer = volume.ask(index, SlicePrompts(prompts.clicks, logits=answer.logits))
    return found, (seen - started - (asked - seen), asked - seen)


def _three_clicks(volume: PromptedVolume, index: int, target: Mask, box: Box) -> PromptedMask:
    """Return the answer to a box and three clicks that correct it."""
    prompts = SlicePrompts(box=box)
    answer = volume.ask(index, prompts)
    for _ in range(3):
        prompts = _corrected(prompts, answer.mask, target)
        answer = volume.ask(index, SlicePrompts(prompts.clicks, box, answer.logits))
    return answer


def _from_shown(volume: PromptedVolume, index: int, shown: Mask, target: Mask) -> list[float]:
    """Return the Dice of what is shown, and after one and three clicks that go on from it."""
    prompts, found, dice = SlicePrompts(logits=logits_of(shown)), shown, [dice_of(shown, target)]
    for _ in range(3):
        prompts = _corrected(prompts, found, target)
        answer = volume.ask(index, prompts)
        prompts, found = SlicePrompts(prompts.clicks, logits=answer.logits), answer.mask
        dice.append(dice_of(found, target))
    return [dice[0], dice[1], dice[3]]


def _corrected(prompts: SlicePrompts, found: Mask, target: Mask) -> SlicePrompts:
    """Click into the middle of the largest error."""
    depth = ndimage.distance_transform_edt(np.pad(found != target, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return prompts.clicked(int(row), int(column), is_inside=bool(target[row, column])) if depth.any() else prompts


def _followed(volume: PromptedVolume, index: int, truth: Mask) -> tuple[float, float]:
    """Return the mean Dice of the slices near one that hold the structure, and the share that SAM gave up on."""
    dice, missed = [], []
    for direction in (1, -1):
        found = {}
        for other, answer in followed(volume, index, truth[index], direction):
            found[other] = answer.mask
            if len(found) == _REACH:
                break
        for other in range(index + direction, index + (_REACH + 1) * direction, direction):
            if 0 <= other < len(truth) and truth[other].sum() >= _SMALLEST_PX:
                missed.append(other not in found)
                if other in found:
                    dice.append(dice_of(found[other], truth[other]))
    return (float(np.mean(dice)) if dice else np.nan), (float(np.mean(missed)) if missed else np.nan)


def _ends(volume: PromptedVolume, truth: Mask, held: np.ndarray) -> float:
    """Return the share of ends beyond which the structure is no longer outlined in the next slice."""
    stopped = [
        next(followed(volume, int(index), truth[index], direction), None) is None
        for index, direction in ((held[0], -1), (held[-1], 1))
        if 0 <= index + direction < len(truth) and not truth[index + direction].any()
    ]
    return float(np.mean(stopped)) if stopped else np.nan


def _largest_piece(mask: Mask) -> Mask:
    pieces, _ = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def _jittered(box: Box, shape: tuple[int, ...], random: np.random.Generator) -> Box:
    (top, left), (bottom, right) = box
    rows, columns = _JITTER * (bottom - top), _JITTER * (right - left)
    top, bottom = np.round(np.array([top, bottom]) + random.uniform(-rows, rows, 2)).clip(0, shape[0])
    left, right = np.round(np.array([left, right]) + random.uniform(-columns, columns, 2)).clip(0, shape[1])
    return (int(top), int(left)), (max(int(bottom), int(top) + 1), max(int(right), int(left) + 1))


def _ellipse(box: Box, shape: tuple[int, ...]) -> Mask:
    (top, left), (bottom, right) = box
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y = (rows + 0.5 - (top + bottom) / 2) / max((bottom - top) / 2, 0.5)
    x = (columns + 0.5 - (left + right) / 2) / max((right - left) / 2, 0.5)
    return np.asarray(y**2 + x**2 <= 1)


def _table(results: list[Result]) -> str:
    rows = []
    for data in [*dict.fromkeys(result.data for result in results), "all"]:
        own = [result for result in results if data in (result.data, "all")]
        numbers = np.nanmean([(*result.dice, *result.followed) for result in own], axis=0)
        times = np.mean([result.milliseconds for result in own], axis=0)
        rows.append([data, str(len(own)), *(f"{number:.3f}" for number in numbers), *(f"{ms:.0f}" for ms in times)])
    answers = [*_ROWS, *_SHOWN_ROWS][: len(results[0].dice)]
    return table(["task", "structures", *answers, *_FOLLOWED, "embedding ms", "prompt ms"], rows)


if __name__ == "__main__":
    main()
