"""`knowsam propose`: a first mask from finished volumes."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam.atlas.proposal import Atlas, propose
from knowsam.commands.inputs import read_mask, told
from knowsam.commands.outputs import check_mask, saved
from knowsam.data.annotation import default_classes
from knowsam.errors import ConfigError
from knowsam.io.image import read_image
from knowsam.io.labels import write_labels

if TYPE_CHECKING:
    from argparse import Namespace

logger = logging.getLogger(__name__)


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first registration."""
    if len(options.atlases) != len(options.labels):
        raise ConfigError(
            f"There are {len(options.atlases)} finished volumes and {len(options.labels)} masks. Give one mask for "
            "each, in their order."
        )
    check_mask(options.output, inputs=[options.image, *options.labels], overwrite=options.overwrite)
    volume = told(read_image(options.image, options.pick))
    atlases = [
        Atlas(told(read_image(image, options.pick)), read_mask(labels, ignore_identity=False))
        for image, labels in zip(options.atlases, options.labels, strict=True)
    ]
    with tqdm(total=len(atlases), desc="Registering", unit="volume", file=sys.stderr, disable=None) as bar:
        proposal = propose(volume, atlases, lambda done: bar.update(done - bar.n))
    for atlas, similarity in zip(atlases, proposal.similarities, strict=True):
        if similarity is None:
            logger.warning("%s could not be registered, and has no part in the mask.", atlas.image.name)
        else:
            logger.info("%s: similarity %.2f", atlas.image.name, similarity)
    known = [one for atlas in atlases for one in atlas.labels.classes]
    values = {int(value) for atlas in atlases for value in set(atlas.labels.array.ravel().tolist())}
    classes = default_classes(values, known)
    place = saved(
        options.output,
        lambda path: write_labels(path, proposal.labels, volume.grid, classes, overwrite=options.overwrite),
    )
    logger.info("Mask: %s", place)
