"""`knowsam propose`: a first mask from finished volumes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from knowsam.atlas.leave_one_out import proposals_of_each
from knowsam.atlas.proposal import Atlas, propose
from knowsam.commands.inputs import read_mask, told
from knowsam.commands.outputs import check_mask, saved
from knowsam.data.annotation import default_classes
from knowsam.errors import ConfigError
from knowsam.inference.metrics import dice_score
from knowsam.io.image import read_image
from knowsam.io.labels import write_labels

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.data.annotation import LabelClass

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first registration."""
    if len(options.atlases) != len(options.labels):
        raise ConfigError(
            f"There are {len(options.atlases)} finished volumes and {len(options.labels)} masks. Give one mask for "
            "each, in their order."
        )
    if options.check and len(options.atlases) < 2:
        raise ConfigError("--check proposes each finished volume from the others. Give two or more, or leave it out.")
    check_mask(options.output, inputs=[options.image, *options.labels], overwrite=options.overwrite)
    volume = told(read_image(options.image, options.pick))
    atlases = [
        Atlas(told(read_image(image, options.pick)), read_mask(labels, ignore_identity=False))
        for image, labels in zip(options.atlases, options.labels, strict=True)
    ]
    with _bar("Registering", len(atlases)) as show:
        proposal = propose(volume, atlases, show)
    for atlas, similarity in zip(atlases, proposal.similarities, strict=True):
        if similarity is None:
            logger.warning("%s could not be registered, and has no part in the mask.", atlas.image.name)
        else:
            logger.info("%s: similarity %.2f", atlas.image.name, similarity)
    classes = _classes(atlases)
    place = saved(
        options.output,
        lambda path: write_labels(path, proposal.labels, volume.grid, classes, overwrite=options.overwrite),
    )
    logger.info("Mask: %s", place)
    if options.check:
        _check(atlases, classes)


def _classes(atlases: Sequence[Atlas]) -> tuple[LabelClass, ...]:
    known = [one for atlas in atlases for one in atlas.labels.classes]
    return default_classes((int(value) for atlas in atlases for value in np.unique(atlas.labels.array)), known)


def _check(atlases: Sequence[Atlas], classes: Sequence[LabelClass]) -> None:
    """Say how good proposals of the finished volumes are."""
    with _bar("Checking", len(atlases)) as show:
        proposed = proposals_of_each(atlases, show)
    logger.info("Each of the %d finished volumes, proposed from the others:", len(atlases))
    for label_class in classes[1:]:
        scores = [
            dice_score(labels, atlas.labels.array, label_class.value)
            for labels, atlas in zip(proposed, atlases, strict=True)
            if (atlas.labels.array == label_class.value).any()
        ]
        logger.info(
            "%d (%s): Dice %.2f on average, from %.2f to %.2f",
            *(label_class.value, label_class.name, np.mean(scores), min(scores), max(scores)),
        )


@contextmanager
def _bar(what: str, count: int) -> Iterator[Callable[[int], object]]:
    with tqdm(total=count, desc=what, unit="volume", file=sys.stderr, disable=None) as bar:
        yield lambda done: bar.update(done - bar.n)
