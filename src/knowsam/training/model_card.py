"""What a person should know of a model before using it, in words; it is kept in the file of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam.data.orientation import PLANE_NAMES
from knowsam.training.semi_supervised.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Collection

    from knowsam.training.trained_model import TrainedModel

_NOT_MEASURED = "How good it is in other volumes was not measured. Look at all slices of what it segments."
_WARNING = "Not a medical device: a person must check every mask before anybody relies on it."


def model_card(model: TrainedModel) -> str:
    """Return the lines of the card of a model; the first ones are what a person said of it, if anything."""
    own = [f"Dice of its networks alone in the volumes it learnt from: {model.dice:.2f}."] if model.dice else []
    return "\n".join(
        [
            *([model.about] if model.about else []),
            f"Segments {_classes(model)} in {PLANE_NAMES[model.axis]} slices, at {model.pixel_mm:.2g} mm a pixel.",
            f"Learnt in {'one step' if model.steps == 1 else f'{model.steps} steps'} from {_learnt_from(model)}.",
            f"Method: {_method(model)}.",
            *own,
            *([model.weakness] if model.weakness else []),
            *(_expected(model) or [_NOT_MEASURED]),
            _WARNING,
        ]
    )


def _classes(model: TrainedModel) -> str:
    return ", ".join(f"{one.value} ({one.name})" for one in model.classes[1:])


def _learnt_from(model: TrainedModel) -> str:
    slices = "one annotated slice" if model.annotated_slices == 1 else f"{model.annotated_slices} annotated slices"
    if model.unconfirmed_slices:
        slices += f" ({model.unconfirmed_slices} of them outlined by SAM, which nobody had corrected or accepted)"
    if not model.images:
        return slices
    volumes = "one volume" if len(model.images) == 1 else f"{len(model.images)} volumes"
    kind = _kind({image.is_ct for image in model.images})
    return f"{slices} of {volumes} ({kind}; slices {_range([image.slice_mm for image in model.images])} mm apart)"


def _method(model: TrainedModel) -> str:
    taught = "" if model.teacher_origin is None else ", with distillation from SAM"
    return f"{METHODS[model.config.method.semi_supervised].title}{taught}"


def _kind(is_ct: Collection[bool]) -> str:
    return "CT and others" if len(is_ct) > 1 else "CT" if True in is_ct else "no CT"


def _range(values: Collection[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _expected(model: TrainedModel) -> list[str]:
    """Return a sentence for each class, if any was measured."""
    measured = {one.value: one for one in model.expected}
    if not measured:
        return []
    return [
        f"In other volumes, {one.name}: {measured[one.value].sentence}."
        if one.value in measured
        else f"In other volumes, {one.name}: not measured, since too few volumes show it."
        for one in model.classes[1:]
    ]
