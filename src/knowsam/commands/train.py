"""`knowsam train`: several volumes, one model."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam import jobs
from knowsam.commands.inputs import budget, read_cases, read_teacher, read_unlabelled_case
from knowsam.commands.options import chosen_config
from knowsam.commands.outputs import check_model, check_report, save_report, save_trained
from knowsam.commands.training_progress import TrainingProgress
from knowsam.cross_validation import expected_dice, leave_one_out, require_two_volumes
from knowsam.errors import ConfigError
from knowsam.report import Report
from knowsam.training.processes import Processes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from knowsam.config import Config
    from knowsam.data.case import Case
    from knowsam.training.expected_dice import ExpectedDice
    from knowsam.training.schedule import Budget
    from knowsam.training.session import TrainingSession
    from knowsam.training.trained_model import TrainedModel

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Run the command; everything that can be refused is refused before training."""
    if len(options.images) != len(options.labels):
        raise ConfigError(
            f"There are {len(options.images)} images and {len(options.labels)} masks. Give one mask for each image, "
            "and images without a mask behind --unlabelled."
        )
    if options.check and len(options.images) < 2:
        raise ConfigError("--check validates a model in volumes that it has not learnt from. Give two or more masks.")
    config, allowed = chosen_config(options), budget(options)
    if allowed.is_zero:
        raise ConfigError("A budget of 0 trains nothing, so there is no model to save. Give a longer one.")
    if config.plane.whole_slices is None:
        # The model is made for other volumes, of which it will see whole slices.
        config = config.with_values(whole_slices=True)
    check_model(options.output, overwrite=options.overwrite)
    if options.report is not None:
        check_report(options.report, overwrite=options.overwrite)
    if options.devices == 1:
        _train(Processes(str(jobs.checked_device(options.device))), options, config, allowed)
        return
    # Imported here, since one process needs no Fabric and none of what it imports.
    from knowsam.training.data_parallel import in_processes

    in_processes(_train, options.devices, options.device, options, config, allowed)


def _train(processes: Processes, options: Namespace, config: Config, allowed: Budget) -> None:
    """Read, train and check in one process or in each of several, of which only the first one writes."""
    timer = jobs.PhaseTimer()
    with timer.phase("reading"):
        cases = read_cases(options.images, options.labels, options)
        lending = partial(
            read_unlabelled_case,
            like=cases[0].annotation,
            pick=options.pick,
            missing_as_background=options.missing_as_background,
        )
        cases += map(lending, options.unlabelled)
        if options.check:
            require_two_volumes(cases)
        # Weights are downloaded once, not in each process.
        teacher = processes.first_decides(lambda: read_teacher(options.teacher))
    train = partial(
        jobs.train,
        budget=allowed,
        config=config,
        teacher=teacher,
        device=processes.device,
        seed=options.seed,
        processes=processes,
    )
    report = Report(options.seed, processes.count)
    with TrainingProgress(report) as progress:
        session = train(cases, listener=progress, timer=timer)
        if processes.is_first:
            model = replace(session.model(), about=options.about)
            place = _save(model, report, options, timer)
    was_interrupted = processes.first_decides(lambda: progress.was_interrupted)
    if options.check and was_interrupted:
        logger.warning("The training was ended early, so the model was not checked.")
    elif options.check:
        expected = _checked(cases, train, processes.device)
        if processes.is_first:
            save_trained(replace(model, expected=expected), place, overwrite=True)


def _save(model: TrainedModel, report: Report, options: Namespace, timer: jobs.PhaseTimer) -> Path:
    """Save model and report, each even if the other cannot be saved, and return the path of the model."""
    try:
        with timer.phase("writing"):
            return save_trained(model, options.output, overwrite=options.overwrite)
    finally:
        if options.report is not None:
            save_report(report, options.report, timer, overwrite=options.overwrite)


def _checked(cases: Sequence[Case], train: Callable[..., TrainingSession], device: str) -> tuple[ExpectedDice, ...]:
    """Log and return the Dice of models like the saved one in volumes that they have not learnt from."""
    found = []
    count = sum(bool(case.annotation.slices) for case in cases)
    for left_out in tqdm(
        leave_one_out(cases, train, device=device), "Checking", count, unit="volume", file=sys.stderr, disable=None
    ):
        found.append(left_out)
        scores = ", ".join(f"{value}: {dice:.2f}" for value, dice in left_out.dice.items())
        logger.info("Without %s, Dice in it: %s", left_out.name, scores)
    classes = cases[0].annotation.classes
    expected = expected_dice(found, classes)
    names = {one.value: one.name for one in classes}
    for one in expected:
        logger.info("%d (%s): %s", one.value, names[one.value], one.sentence)
    return expected
