"""`knowsam train`: several volumes, one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam import jobs
from knowsam.commands.inputs import budget, read_cases, read_teacher, read_unlabelled_case
from knowsam.commands.outputs import check_model, check_report, save_report, save_trained
from knowsam.commands.training_progress import TrainingProgress
from knowsam.errors import ConfigError
from knowsam.options import chosen_config
from knowsam.report import Report

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> None:
    """Do what the options say; everything that can be refused is refused before training."""
    if len(options.images) != len(options.labels):
        raise ConfigError(
            f"There are {len(options.images)} images and {len(options.labels)} masks. Give one mask for each image, "
            "and images without a mask behind --unlabelled."
        )
    config, allowed = chosen_config(options), budget(options)
    if config.plane.whole_slices is None:
        # The model is made for other volumes, of which it will see whole slices.
        config = config.with_values(whole_slices=True)
    device = str(jobs.told_device(options.device))
    check_model(options.output, overwrite=options.overwrite)
    if options.report is not None:
        check_report(options.report, overwrite=options.overwrite)
    timer = jobs.PhaseTimer()
    with timer.phase("reading"):
        cases = read_cases(options.images, options.labels, options)
        cases += [read_unlabelled_case(path, cases[0].annotation, options.pick) for path in options.unlabelled]
        teacher = read_teacher(options.teacher)
    report = Report(options.seed)
    with TrainingProgress(report) as progress:
        session = jobs.train(
            cases,
            budget=allowed,
            config=config,
            teacher=teacher,
            device=device,
            seed=options.seed,
            listener=progress,
            timer=timer,
        )
        with timer.phase("writing"):
            save_trained(session.model(), options.output, overwrite=options.overwrite)
        if options.report is not None:
            save_report(report, options.report, timer, overwrite=options.overwrite)
