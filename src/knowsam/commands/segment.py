"""`knowsam segment`: one volume, a few painted slices, a mask of all slices."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from knowsam import jobs
from knowsam.commands.atlases import classes_of, make_proposal, read_atlases, require_a_mask_each
from knowsam.commands.inputs import budget, read_cases, read_model, read_teacher, with_classes_of
from knowsam.commands.options import chosen_config
from knowsam.commands.outputs import check_mask, check_model, check_report, save_report, save_trained, saved
from knowsam.commands.training_progress import TrainingProgress
from knowsam.data.annotation import joined_classes, require_same_names
from knowsam.data.measurements import measured
from knowsam.data.reformat import brought_back
from knowsam.errors import ConfigError
from knowsam.io.labels import write_labels
from knowsam.report import Report
from knowsam.report_page import Segmented, check_report_page_writable, is_report_page_name, write_report_page
from knowsam.training.dice_estimate import in_words
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from knowsam.atlas.proposal import Atlas
    from knowsam.data.case import Case

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Run the command; everything that can be refused is refused before training."""
    model = None if options.start_from is None else read_model(options.start_from)
    config, allowed = chosen_config(options, None if model is None else model.config_elsewhere), budget(options)
    device = str(jobs.checked_device(options.device))
    is_untrained = allowed.is_zero and model is None
    if is_untrained and options.save_model is not None:
        raise ConfigError("A budget of 0 trains nothing, so there is no model to save. Give a longer one.")
    require_a_mask_each(options.atlases, options.atlas_labels)
    atlas_allowed = Budget.parse(options.atlas_budget)
    check_mask(options.output, inputs=_inputs(options), overwrite=options.overwrite)
    if options.save_model is not None:
        check_model(options.save_model, overwrite=options.overwrite)
    if options.report is not None:
        if is_report_page_name(options.report):
            check_report_page_writable(options.report, overwrite=options.overwrite)
        else:
            check_report(options.report, overwrite=options.overwrite, endings=".json or .html")
    timer = jobs.PhaseTimer()
    with timer.phase("reading"):
        (case,) = read_cases([options.image], [options.labels], options)
        if model is not None:
            case = with_classes_of(model, case)
        atlases = read_atlases(options.atlases, options.atlas_labels, options, case.volume)
        # Without training, no weights of a teacher need be downloaded.
        teacher = None if is_untrained else read_teacher(options.teacher)
    if atlases:
        with timer.phase("proposal"):
            case = _with_proposal(case, atlases, atlas_allowed, device)
    report = Report(options.seed)
    with TrainingProgress(report) as progress:
        result = jobs.segment(
            case.volume,
            case.annotation,
            budget=allowed,
            config=config,
            teacher=teacher,
            device=device,
            seed=options.seed,
            start_from=model,
            proposal=case.proposal,
            listener=progress,
            timer=timer,
        )
        try:
            with timer.phase("writing"):
                _save(result, case, options)
        finally:
            if options.report is not None:
                _report(report, result, case, options, timer)


def _inputs(options: Namespace) -> list[Path]:
    return [options.image, options.labels, *options.atlases, *options.atlas_labels]


def _with_proposal(case: Case, atlases: Sequence[Atlas], budget: Budget, device: str) -> Case:
    """Return a case with the proposal of finished volumes; their classes are added to the painted ones."""
    painted, others = case.annotation.classes, classes_of(atlases)
    require_same_names(painted, others, "the masks of the finished volumes")
    case = case.with_classes(joined_classes(others, painted))
    proposal = make_proposal(case.volume, atlases, case.annotation.classes, case.annotation.axis, budget, device)
    return replace(case, proposal=proposal)


def _save(result: jobs.Segmentation, case: Case, options: Namespace) -> None:
    """Save mask and model, each even if the other cannot be saved."""
    try:
        _save_mask(result, case, options)
    finally:
        if options.save_model is not None and result.model is not None:
            model = replace(result.model, about=options.about)
            save_trained(model, options.save_model, overwrite=options.overwrite)


def _save_mask(result: jobs.Segmentation, case: Case, options: Namespace) -> None:
    labels, grid = brought_back(result.labels, case.volume)
    classes, overwrite = case.annotation.classes, options.overwrite
    mask = saved(options.output, lambda path: write_labels(path, labels, grid, classes, overwrite=overwrite))
    logger.info("Mask: %s", mask)
    if result.estimate is not None:
        logger.info("%s", in_words(result.estimate, classes))


def _report(report: Report, result: jobs.Segmentation, case: Case, options: Namespace, timer: jobs.PhaseTimer) -> None:
    """Write a page for people or a record for programs, by the suffix of the file."""
    annotation, volume = case.annotation, case.volume
    dice = {} if result.estimate is None else result.estimate.by_value(annotation.classes)
    if not is_report_page_name(options.report):
        report.probable_dice = dice
        values = [one.value for one in annotation.classes[1:]]
        report.measurements = measured(result.labels, volume.affine, values, volume.array)
        save_report(report, options.report, timer, overwrite=options.overwrite)
        return
    segmented = Segmented(
        image=volume,
        labels=result.labels,
        classes=annotation.classes,
        axis=annotation.axis,
        painted=annotation.annotated,
        probable_dice=dice,
        plan=None if report.plan is None else report.plan.to_dict(),
        warnings=volume.notices,
    )
    page = saved(options.report, lambda path: write_report_page(path, segmented, overwrite=options.overwrite))
    logger.info("Report: %s", page)
