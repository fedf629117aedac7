"""`knowsam predict`: a trained model applied to other volumes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from knowsam import jobs
from knowsam.errors import InputError, OutputError
from knowsam.io.image import read_image
from knowsam.io.nifti import check_writable, write_nifti_labels
from knowsam.training.trained_model import load_model

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first prediction."""
    model = load_model(options.model)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"The folder {options.output} cannot be made: {exc.strerror}. Choose another one.") from exc
    targets = {image: options.output / f"{_stem(image)}_mask.nii.gz" for image in options.images}
    if len(set(targets.values())) < len(options.images):
        raise InputError("Two images have the same name, so their masks would too. Predict them into separate folders.")
    for target in targets.values():
        check_writable(target, overwrite=options.overwrite)
    for image, target in tqdm(targets.items(), desc="Predicting", unit="volume", file=sys.stderr):
        volume = read_image(image)
        labels, _ = jobs.predict(model, volume, device=options.device)
        write_nifti_labels(target, labels, volume.grid, overwrite=options.overwrite)


def _stem(image: Path) -> str:
    return image.name.removesuffix(".gz").removesuffix(".nii")
