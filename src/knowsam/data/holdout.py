"""The hold-out: annotated slices for validation, which stay the same across retraining."""

from __future__ import annotations

from collections.abc import Collection

from knowsam.data.annotation import Annotation, SliceState


def choose_holdout(
    annotation: Annotation,
    *,
    every: int,
    minimum: int,
    kept: Collection[int] = (),
    trained: Collection[int] = (),
) -> tuple[int, ...]:
    """Choose the annotated slices that training never sees.

    One in `every` slices annotated by hand is held out as soon as there are `minimum`. Accepted and corrected
    predictions leave the hold-out, since scores on them would flatter; training learns from corrections. Unconfirmed
    outlines of SAM leave it, too. A slice that was held out stays so, one that was trained on never is, and the two
    end slices are always trained on, since nothing else shows where the structure ends.

    Parameters
    ----------
    kept : slices held out so far.
    trained : slices that training has already seen.

    Returns
    -------
    Indices of the held-out slices, ascending.
    """
    annotated = annotation.by_hand
    holdout = sorted(set(kept) & set(annotated))
    wanted = len(annotated) // every if len(annotated) >= minimum else 0
    candidates = [
        index
        for index in annotated[1:-1]
        if index not in holdout and index not in trained and annotation.state(index) is SliceState.COMPLETE
    ]
    missing = min(wanted - len(holdout), len(candidates))
    if missing > 0:
        # Middle of each of `missing` equal runs: spread over the structure, and the same for the same slices.
        holdout += [candidates[(2 * run + 1) * len(candidates) // (2 * missing)] for run in range(missing)]
    return tuple(sorted(holdout))
