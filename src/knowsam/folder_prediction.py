"""A model applied to many images, one after the other; the mask of each is written to a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowsam import jobs
from knowsam.errors import KnowSAMError
from knowsam.inference.device import fault_sentence, resolve_device
from knowsam.io.image import read_image
from knowsam.io.image_file import mask_name
from knowsam.io.labels import write_labels
from knowsam.prediction_table import Predicted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from knowsam.training.trained_model import TrainedModel


def predicted_images(
    model: TrainedModel,
    images: Sequence[Path],
    folder: Path,
    *,
    device: str = "auto",
    check: Callable[[], None] = lambda: None,
) -> Iterator[Predicted]:
    """Predict images one after the other, write their masks, and yield a row for each; an unusable one stops no other.

    Parameters
    ----------
    folder : for the masks, called as `mask_name` says; what is there already is kept.
    check : called regularly; an exception it raises stops the work.
    """
    for image in images:
        try:
            yield _predicted(model, image, folder / mask_name(image), device, check)
        except (KnowSAMError, OSError) as error:
            yield Predicted(image.name, problem=str(error))
        except (RuntimeError, MemoryError) as error:
            yield Predicted(image.name, problem=fault_sentence(error, resolve_device(device)))


def _predicted(model: TrainedModel, image: Path, target: Path, device: str, check: Callable[[], None]) -> Predicted:
    volume = read_image(image)
    labels, _ = jobs.predict(model, volume, device=device, check=check)
    write_labels(target, labels, volume.grid, model.classes)
    return Predicted(image.name, target.name).with_measures(labels, volume, model)
