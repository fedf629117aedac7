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
    from pathlib import Path

    from knowsam.atlas.proposal import Proposal
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first registration."""
    require_a_mask_each(options.atlases, options.labels)
    if options.check and len(options.atlases) < 2:
        raise ConfigError("--check proposes each finished volume from the others. Give two or more, or leave it out.")
    inputs = [options.image, *options.atlases, *options.labels]
    check_mask(options.output, inputs=inputs, overwrite=options.overwrite)
    volume = told(read_image(options.image, options.pick))
    atlases = read_atlases(options.atlases, options.labels, options)
    proposal = told_proposal(volume, atlases)
    classes = classes_of(atlases)
    place = saved(
        options.output,
        lambda path: write_labels(path, proposal.labels, volume.grid, classes, overwrite=options.overwrite),
    )
    logger.info("Mask: %s", place)
    if options.check:
        _check(atlases, classes)


def require_a_mask_each(atlases: Sequence[Path], labels: Sequence[Path]) -> None:
    """Check that each finished volume comes with a mask.

    Raises
    ------
    ConfigError
        If not.
    """
    if len(atlases) != len(labels):
        raise ConfigError(
            f"There are {len(atlases)} finished volumes and {len(labels)} masks of them. Give one mask for each, in "
            "their order."
        )


def read_atlases(images: Sequence[Path], labels: Sequence[Path], options: Namespace) -> list[Atlas]:
    """Read finished volumes with their masks."""
    return [
        Atlas(told(read_image(image, options.pick)), read_mask(mask, ignore_identity=False))
        for image, mask in zip(images, labels, strict=True)
    ]


def told_proposal(volume: Volume, atlases: Sequence[Atlas]) -> Proposal:
    """Let finished volumes propose a mask, show how far that is, and tell how similar each of them was."""
    with _bar("Registering", len(atlases)) as show:
        proposal = propose(volume, atlases, show)
    for atlas, similarity in zip(atlases, proposal.similarities, strict=True):
        if similarity is None:
            logger.warning("%s could not be registered, and has no part in the mask.", atlas.image.name)
        else:
            logger.info("%s: similarity %.2f", atlas.image.name, similarity)
    return proposal


def classes_of(atlases: Sequence[Atlas]) -> tuple[LabelClass, ...]:
    """Return the classes of the masks, background first."""
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
