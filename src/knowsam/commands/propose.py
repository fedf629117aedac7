"""`knowsam propose`: a first mask from finished volumes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from knowsam.atlas.leave_one_out import proposals_of_each
from knowsam.commands.atlases import classes_of, make_proposal, read_atlases, require_a_mask_each, volume_bar
from knowsam.commands.inputs import read_one_image
from knowsam.commands.outputs import check_mask, saved
from knowsam.data.painted_axis import acquired_axis
from knowsam.errors import ConfigError
from knowsam.inference.metrics import dice_score
from knowsam.io.labels import write_labels
from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.atlas.proposal import Atlas
    from knowsam.data.annotation import LabelClass

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Run the command; all outputs are checked before the first registration."""
    require_a_mask_each(options.atlases, options.labels)
    _require_checkable(options.atlases, options)
    inputs = [options.image, *options.atlases, *options.labels]
    check_mask(options.output, inputs=inputs, overwrite=options.overwrite)
    allowed = Budget.parse(options.atlas_budget)
    volume = read_one_image(options.image, options)
    atlases = read_atlases(options.atlases, options.labels, options, volume)
    _require_checkable(atlases, options)
    classes = classes_of(atlases)
    proposal = make_proposal(volume, atlases, classes, acquired_axis(volume.spacing_mm), allowed)
    place = saved(
        options.output,
        lambda path: write_labels(path, proposal.labels, volume.grid, classes, overwrite=options.overwrite),
    )
    logger.info("Mask: %s", place)
    if options.check:
        _check(atlases, classes)


def _require_checkable(atlases: Sequence[object], options: Namespace) -> None:
    if options.check and len(atlases) < 2:
        raise ConfigError("--check proposes each finished volume from the others. Give two or more, or leave it out.")


def _check(atlases: Sequence[Atlas], classes: Sequence[LabelClass]) -> None:
    """Log the Dice of each finished volume when it is proposed from the others."""
    with volume_bar("Checking", len(atlases)) as show:
        proposed = proposals_of_each(atlases, show)
    logger.info("Each of the %d finished volumes, proposed from the others, without a correction:", len(atlases))
    for label_class in classes[1:]:
        scores = [
            0.0 if one is None else dice_score(one.labels, atlas.labels.array, label_class.value)
            for one, atlas in zip(proposed, atlases, strict=True)
            if (atlas.labels.array == label_class.value).any()
        ]
        logger.info(
            "%d (%s): Dice %.2f on average, from %.2f to %.2f",
            *(label_class.value, label_class.name, np.mean(scores), min(scores), max(scores)),
        )
