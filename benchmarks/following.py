"""Where is a structure lost that is followed from slice to slice, and what tells so without the truth?

It is followed with nothing that stops it but `_LOST_SLICES`. Of every slice on the way it is noted how right the mask
is, and what `Signals` say of it. `RULES` are ways to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import chain, takewhile
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from scipy.stats import mannwhitneyu
from tables import table

from knowsam.prompting.prompted_volume import PromptedMask
from knowsam.prompting.slice_prompts import SlicePrompts, logits_of
from knowsam.propagation.registration import displaced

if TYPE_CHECKING:
    from torch import Tensor

    from knowsam.data.window import Window
    from knowsam.prompting.prompted_volume import PromptedVolume
    from knowsam.prompting.slice_prompts import Logits, Mask

_RIGHT_DICE, _LOST_DICE, _LOST_SLICES = 0.7, 0.5, 3
"""Where the structure is lost in so many slices in a row, following ends."""

_BACK_AT = 4, 12
"""Distances from which SAM is followed all the way back, which takes as long as the way there."""

_BINS, _SMOOTHING = 24, (0.25, 0.5, 0.25)
_RING = 0.5
"""Width of what is round a structure, relative to the radius of a disc as large."""


@dataclass(frozen=True)
class Signals:
    """What is known of a followed slice, larger where it looks better.

    Parameters
    ----------
    quality, stability : SAM's own view of its mask, and how much of it stays between logits of -1 and 1.
    as_prompted, as_before : Dice with the mask that it was asked by, and with that of the slice before.
    area_as_before, area_as_begun : the smaller area relative to the larger one.
    grey_as_before, grey_as_begun, ring_as_begun : common part of histograms, inside and in a ring round the structure.
    contrast : 1 less the common part of the histograms inside and in the ring.
    registered : Dice with the first mask, brought there by registration alone.
    back_registered, back_one, back : Dice with the first mask or the one before, and the mask brought back: by
        registration alone, by SAM to the slice before, by SAM all the way.
    near : less the distance in slices.
    """

    quality: float
    stability: float
    as_prompted: float
    as_before: float
    area_as_before: float
    area_as_begun: float
    grey_as_before: float
    grey_as_begun: float
    ring_as_begun: float
    contrast: float
    registered: float
    back_registered: float
    back_one: float
    back: float
    near: float


@dataclass(frozen=True)
class Followed:
    """A slice on the way, and the Dice of its mask."""

    dice: float
    signals: Signals


Way = Sequence[Followed]
Rule = Callable[[Signals], bool]

RULES: dict[str, Rule] = {
    "grey ≥ 0.65, area of the slice before ≥ 0.4 (before)": lambda s: _grey_and_step(s, 0.65),
    "the same, grey ≥ 0.85": lambda s: _grey_and_step(s, 0.85),
    "the same, quality ≥ 0.65": lambda s: _grey_and_step(s, 0.65) and s.quality >= 0.65,
    "area ≥ 0.7": lambda s: s.area_as_begun >= 0.7,
    "back by registration ≥ 0.85": lambda s: s.back_registered >= 0.85,
    "registered ≥ 0.8": lambda s: s.registered >= 0.8,
    "registered ≥ 0.85": lambda s: s.registered >= 0.85,
    "registered ≥ 0.9": lambda s: s.registered >= 0.9,
    "area ≥ 0.65, grey ≥ 0.65": lambda s: _alike_to_the_first(s, 0, 0.65),
    "registered ≥ 0.85, area ≥ 0.6, grey ≥ 0.65": lambda s: _alike_to_the_first(s, 0.85, 0.6),
    "registered ≥ 0.85, area ≥ 0.7, grey ≥ 0.65": lambda s: _alike_to_the_first(s, 0.85, 0.7),
    "registered ≥ 0.88, area ≥ 0.6, grey ≥ 0.65": lambda s: _alike_to_the_first(s, 0.88, 0.6),
    "registered ≥ 0.9, area ≥ 0.6, grey ≥ 0.65 (now)": lambda s: _alike_to_the_first(s, 0.9, 0.6),
    "registered ≥ 0.9, area ≥ 0.7, grey ≥ 0.65": lambda s: _alike_to_the_first(s, 0.9, 0.7),
}


def _grey_and_step(signals: Signals, grey: float) -> bool:
    return signals.grey_as_begun >= grey and signals.area_as_before >= 0.4


def _alike_to_the_first(signals: Signals, overlap: float, area: float) -> bool:
    return signals.registered >= overlap and signals.area_as_begun >= area and signals.grey_as_begun >= 0.65


@torch.inference_mode()
def followed_on(volume: PromptedVolume, index: int, mask: Mask, direction: int, truth: Mask) -> Iterator[Followed]:
    """Yield the slices that are followed from one, the nearest first, with truth (N, H, W)."""
    steps, way_back = _Steps(volume, index, mask, direction), _WayBack(volume, index, mask, direction)
    before, begun, lost = mask, _Look(volume, index, mask), 0
    seen = begun
    for distance, registered in enumerate(volume.registered(mask, index, direction), start=1):
        step = steps.forward()
        if step is None or lost == _LOST_SLICES or not step[1].mask.any():
            return
        prompted, found = step
        place = index + distance * direction
        look = _Look(volume, place, found.mask)
        backs = list(steps.back(distance if distance in _BACK_AT else 1))
        signals = Signals(
            quality=found.quality,
            stability=(found.logits > 1).sum() / max((found.logits > -1).sum(), 1),
            as_prompted=dice_of(found.mask, prompted),
            as_before=dice_of(found.mask, before),
            area_as_before=_alike(found.mask.sum(), before.sum()),
            area_as_begun=_alike(found.mask.sum(), mask.sum()),
            grey_as_before=np.minimum(look.inside, seen.inside).sum(),
            grey_as_begun=np.minimum(look.inside, begun.inside).sum(),
            ring_as_begun=np.minimum(look.ring, begun.ring).sum(),
            contrast=1 - np.minimum(look.inside, look.ring).sum(),
            registered=dice_of(registered, found.mask),
            back_registered=dice_of(way_back.registered(found.logits), mask),
            back_one=dice_of(backs[0], before),
            back=dice_of(backs[-1], mask) if distance in _BACK_AT else np.nan,
            near=-distance,
        )
        right = dice_of(found.mask, truth[place])
        yield Followed(right, signals)
        lost = lost + 1 if right < _LOST_DICE else 0
        before, seen = found.mask, look


class _Steps:
    """Follows, and goes back by the same displacements through the same windows."""

    def __init__(self, volume: PromptedVolume, index: int, mask: Mask, direction: int) -> None:
        self._volume, self._index, self._direction = volume, index, direction
        self._windows: list[tuple[Window, Window]] = []
        self._logits = logits_of(mask)

    def forward(self) -> tuple[Mask, PromptedMask] | None:
        """Return what the next slice is asked by, and the answer; None where nothing is left to ask by."""
        volume, there = self._volume, self._index + self._direction
        window = volume._window(SlicePrompts(logits=self._logits))
        moved = self._moved(self._logits, self._index, there, window)
        if not (moved > 0).any():
            return None
        asked = volume._window(SlicePrompts(logits=moved))
        found = self._ask(there, moved, asked)
        self._index, self._logits = there, found.logits
        self._windows.append((window, asked))
        return moved > 0, found

    def back(self, slices: int) -> Iterator[Mask]:
        """Yield the masks of so many slices on the way back."""
        logits, index = self._logits, self._index
        for place in reversed(range(len(self._windows) - slices, len(self._windows))):
            logits = self._moved(logits, index, index - self._direction, self._windows[place][0])
            index -= self._direction
            if (logits > 0).any():
                logits = self._ask(index, logits, self._windows[max(place - 1, 0)][1]).logits
            yield logits > 0

    def _moved(self, logits: Logits, index: int, to: int, window: Window) -> Logits:
        volume = self._volume
        moved = displaced(volume._logits_on_plane(logits, window), volume._flow(index, to, window))
        return volume._on_slice(moved, window)

    def _ask(self, index: int, logits: Logits, window: Window) -> PromptedMask:
        volume = self._volume
        prompts = volume._on_plane(SlicePrompts(logits=logits), window)
        masks, quality = volume._sam.masks(volume._embedded(index, window), prompts)
        return PromptedMask(volume._on_slice(masks, window), float(quality))


class _Look:
    """Histograms of what is inside a mask and round it."""

    def __init__(self, volume: PromptedVolume, index: int, mask: Mask) -> None:
        width_px = max(2, round(_RING * np.sqrt(mask.sum() / np.pi)))
        ring = (ndimage.distance_transform_edt(~mask) <= width_px) & ~mask
        self.inside, self.ring = (_histogram(volume.grey_values(index, place)) for place in (mask, ring))


class _WayBack:
    """Brings masks to the slice where following began, by registration alone."""

    def __init__(self, volume: PromptedVolume, index: int, mask: Mask, direction: int) -> None:
        self._volume, self._index, self._direction = volume, index, direction
        self._window = volume._window(SlicePrompts(logits=logits_of(mask)))
        self._steps: list[Tensor] = []

    def registered(self, logits: Logits) -> Mask:
        """Return where the mask of the next slice, one further each time, lies in the first one."""
        volume = self._volume
        self._index += self._direction
        self._steps.append(volume._flow(self._index, self._index - self._direction, self._window))
        flow = torch.zeros_like(self._steps[0])
        for step in reversed(self._steps):
            flow = step + displaced(flow, step)
        return volume._on_slice(displaced(volume._logits_on_plane(logits, self._window), flow), self._window) > 0


def signal_table(ways: Mapping[str, Sequence[Way]]) -> str:
    """Return how well each signal tells right slices from others, over all structures, and on average within one."""
    rows = []
    for place, field in enumerate(fields(Signals)):
        own = [
            [(astuple(one.signals)[place], one.dice >= _RIGHT_DICE) for one in chain(*those)] for those in ways.values()
        ]
        within = [area for area in map(_roc_area, own) if area is not None]
        rows.append((field.name, _roc_area([*chain(*own)]) or np.nan, float(np.mean(within))))
    rows.sort(key=lambda row: -row[2])
    return table(
        ["signal", "all together", "within a structure"], [[name, f"{a:.2f}", f"{b:.2f}"] for name, a, b in rows]
    )


def rule_table(ways: Mapping[str, Sequence[Way]]) -> str:
    """Return what each rule keeps and lets through, on average over structures."""
    rows = []
    for name, rule in RULES.items():
        results = np.array([_kept(those, rule) for those in ways.values()])
        rows.append(
            [name, *(f"{share:.3f}" for share in np.nanmean(results, axis=0)), f"{np.nanmax(results[:, 1]):.2f}"]
        )
    return table(["goes on while", "right ones kept", "wrong", "Dice < 0.5", "wrong, at worst"], rows)


def _kept(ways: Sequence[Way], rule: Rule) -> tuple[float, float, float]:
    """Return the share of right slices that are reached, and of those reached what is wrong, and what is lost."""
    reached = [one for way in ways for one in takewhile(lambda one: rule(one.signals), way)]
    right = sum(one.dice >= _RIGHT_DICE for one in chain(*ways))
    kept = sum(one.dice >= _RIGHT_DICE for one in reached)
    lost = sum(one.dice < _LOST_DICE for one in reached)
    count = max(len(reached), 1)
    return kept / right if right else np.nan, (len(reached) - kept) / count, lost / count


def _roc_area(own: Sequence[tuple[float, bool]]) -> float | None:
    known = [(value, is_right) for value, is_right in own if not np.isnan(value)]
    right, wrong = ([value for value, is_right in known if is_right is wanted] for wanted in (True, False))
    if not right or not wrong:
        return None
    return float(mannwhitneyu(right, wrong).statistic) / (len(right) * len(wrong))


def dice_of(found: Mask, truth: Mask) -> float:
    """Return the Dice of two masks."""
    return float(2 * (found & truth).sum() / max(found.sum() + truth.sum(), 1))


def _alike(one_px: int, other_px: int) -> float:
    return float(min(one_px, other_px) / max(one_px, other_px))


def _histogram(grey_values: np.ndarray) -> np.ndarray:
    counts = np.convolve(np.histogram(grey_values, _BINS, (0, 1))[0], _SMOOTHING, mode="same")
    return np.asarray(counts / max(counts.sum(), 1))
