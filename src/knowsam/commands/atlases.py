"""Finished volumes given on the command line, and the mask that they propose."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from knowsam.atlas.proposal import Atlas, propose
from knowsam.commands.inputs import classes_of_masks, read_mask, read_one_image, require_own_masks
from knowsam.data.label_volume import slices_with_labels
from knowsam.document.kept_files import fingerprint
from knowsam.errors import ConfigError, InputError
from knowsam.jobs import checked_device
from knowsam.training.corrective_learning import FEWEST_FINISHED, learn_correction

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from knowsam.atlas.proposal import Proposal
    from knowsam.data.annotation import LabelClass
    from knowsam.data.proposed_mask import ProposedMask
    from knowsam.data.volume import Volume
    from knowsam.training.schedule import Budget

logger = logging.getLogger(__name__)


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


def read_atlases(images: Sequence[Path], labels: Sequence[Path], options: Namespace, volume: Volume) -> list[Atlas]:
    """Read finished volumes with their masks; `volume` itself is left out with a warning.

    Raises
    ------
    InputError
        If one cannot be used, or it is the only one.
    """
    require_own_masks(images, labels)
    atlases = [
        Atlas(read_one_image(image, options), read_mask(mask, options, ignore_identity=False))
        for image, mask in zip(images, labels, strict=True)
    ]
    for atlas in atlases:
        _warn_of_gaps(atlas.labels)
    others = [atlas for atlas in atlases if fingerprint(atlas.image) != fingerprint(volume)]
    if atlases and not others:
        raise InputError(f"{volume.name} itself is the only finished volume. Give others, with their masks.")
    if len(others) < len(atlases):
        logger.warning("%s itself is among the finished volumes; it was left out, mask and all.", volume.name)
    return others


def _warn_of_gaps(mask: Volume) -> None:
    """Warn of a mask that is empty in most slices between its first and its last one: only some were painted."""
    for axis in range(3):
        held = slices_with_labels(mask.array, axis)
        between = held[-1] - held[0] + 1
        if len(held) < between / 2:
            logger.warning(
                "%s holds labels in %d of the %d slices from its first to its last one only, as one of which single "
                "slices were painted; the others count as background. Give masks of finished volumes.",
                *(mask.name, len(held), between),
            )
            return


def make_proposal(
    volume: Volume,
    atlases: Sequence[Atlas],
    classes: Sequence[LabelClass],
    axis: int,
    budget: Budget,
    device: str = "auto",
) -> ProposedMask:
    """Propose a mask from finished volumes, and log how similar each is; from three on, a corrector is trained on them.

    Parameters
    ----------
    classes : background first. axis : working axis along which slices are corrected.
    budget : of the training of the corrector. device : of that training, see `checked_device`.
    """
    mask = _registered(volume, atlases).mask
    if budget.is_zero:
        return mask
    if len(atlases) < FEWEST_FINISHED:
        logger.info("From %d finished volumes on, how their proposals err would be learnt, too.", FEWEST_FINISHED)
        return mask
    try:
        return _corrected(volume, mask, atlases, [one.value for one in classes], axis, budget, device)
    except (InputError, RuntimeError, MemoryError) as error:
        logger.warning("How proposals err could not be learnt, so that the proposal stays as it is: %s", error)
        return mask


def _corrected(
    volume: Volume,
    mask: ProposedMask,
    atlases: Sequence[Atlas],
    values: Sequence[int],
    axis: int,
    budget: Budget,
    device: str,
) -> ProposedMask:
    chosen = checked_device(device)
    with volume_bar("Proposing finished volumes from each other", len(atlases)) as show:
        correction = learn_correction(atlases, values, axis, budget, device=chosen, progress=show)
    logger.info("%s", correction.sentence)
    return correction.corrected(volume, mask)


def _registered(volume: Volume, atlases: Sequence[Atlas]) -> Proposal:
    with volume_bar("Registering", len(atlases)) as show:
        proposal = propose(volume, atlases, show)
    for atlas, similarity in zip(atlases, proposal.similarities, strict=True):
        if similarity is None:
            logger.warning("%s could not be registered, and has no part in the mask.", atlas.image.name)
        else:
            logger.info("%s: similarity %.2f", atlas.image.name, similarity)
    return proposal


def classes_of(atlases: Sequence[Atlas]) -> tuple[LabelClass, ...]:
    """Return the classes of the masks, background first.

    Raises
    ------
    InputError
        If they call one value by different names.
    """
    masks = [atlas.labels for atlas in atlases]
    return classes_of_masks(masks, [np.unique(mask.array).tolist() for mask in masks])


@contextmanager
def volume_bar(what: str, count: int) -> Iterator[Callable[[int], object]]:
    """Show a bar of finished volumes; the yielded function takes their number."""
    with tqdm(total=count, desc=what, unit="volume", file=sys.stderr, disable=None) as bar:
        yield lambda done: bar.update(done - bar.n)
