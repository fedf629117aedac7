"""3D registration of a finished volume to a new one, round the structure that was segmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from knowsam.atlas.grids import simpleitk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from knowsam.atlas.grids import Image

_SURROUNDINGS_MM = 20.0
"""How far round the structure the images have to agree: of a chest, the rest lies differently in every patient."""

_STARTS = ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))
_START_STEP = 0.12
"""Where the structure is looked for first, round the same place of the field of view, relative to its size."""

_THIN_SLICES = 16
"""With fewer slices, none is left out."""

_DEMONS_ITERATIONS = 60
_DEMONS_SMOOTHING_VX = 1.5
_SEED = 1


@dataclass(frozen=True)
class Registered:
    """A finished volume that was brought to a new one.

    Parameters
    ----------
    transform : from places in the new volume to places in the finished one, in mm.
    similarity : squared correlation of both images round the structure, from 0 to 1.
    """

    transform: Any
    similarity: float


def registered(new: Image, finished: Image, structure: Image, check: Callable[[], object]) -> Registered | None:
    """Register a finished volume to a new one; None if they share nothing.

    First affinely, from several places, by the correlation of the grey values round the structure, then by demons.

    Parameters
    ----------
    new, finished : in [0, 1], see `grey_image`. structure : mask on the grid of the finished volume.
    check : called regularly; an exception it raises stops the work.
    """
    sitk = simpleitk()
    surroundings = _surroundings(structure)
    coarse = [1] if min(new.GetSize()) < _THIN_SLICES else [3]
    found = []
    for start in _starts(new, finished, structure):
        check()
        method = _method(surroundings, share=0.3, step=2.0, smallest_step=1e-2, iterations=50)
        method.SetShrinkFactorsPerLevel(coarse)
        method.SetSmoothingSigmasPerLevel([1.5])
        method.SetInitialTransform(start, inPlace=False)
        try:
            found.append((method.Execute(new, finished), method.GetMetricValue()))
        except RuntimeError:
            # From this place they do not overlap.
            continue
    check()
    if not found:
        return None
    method = _method(surroundings, share=0.5, step=1.0, smallest_step=1e-3, iterations=80)
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([0.7])
    method.SetInitialTransform(min(found, key=lambda one: one[1])[0], inPlace=False)
    try:
        affine = method.Execute(new, finished)
    except RuntimeError:
        return None
    similarity = max(-method.GetMetricValue(), 0.0)
    check()
    return Registered(sitk.CompositeTransform([affine, _demons(new, finished, affine)]), similarity)


def _method(surroundings: Image, *, share: float, step: float, smallest_step: float, iterations: int) -> Any:
    sitk = simpleitk()
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, seed=_SEED)
    method.SetMetricMovingMask(surroundings)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(step, smallest_step, iterations, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _surroundings(structure: Image) -> Image:
    sitk = simpleitk()
    distance = sitk.SignedMaurerDistanceMap(
        structure, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.Cast(distance < _SURROUNDINGS_MM, sitk.sitkUInt8)


def _starts(new: Image, finished: Image, structure: Image) -> Iterator[Any]:
    """Yield translations that put the structure to the same place of the field of view, and round it."""
    sitk = simpleitk()
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(structure)
    middle = np.array(shapes.GetCentroid(1))
    relative = (np.array(finished.TransformPhysicalPointToContinuousIndex(middle)) + 0.5) / finished.GetSize()
    for offset in _STARTS:
        place = (relative + _START_STEP * np.array(offset)) * new.GetSize() - 0.5
        there = np.array(new.TransformContinuousIndexToPhysicalPoint(place.tolist()))
        start = sitk.AffineTransform(3)
        start.SetCenter(there.tolist())
        start.SetTranslation((middle - there).tolist())
        yield start


def _demons(new: Image, finished: Image, affine: Any) -> Any:
    """Return the displacements in the new volume after which the finished one, brought there, agrees with it."""
    sitk = simpleitk()
    moved = sitk.Resample(finished, new, affine, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    moved = sitk.HistogramMatching(moved, new, 64, 7, True)
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(_DEMONS_ITERATIONS)
    demons.SetStandardDeviations(_DEMONS_SMOOTHING_VX)
    demons.SetSmoothDisplacementField(True)
    field = demons.Execute(new, moved)
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
