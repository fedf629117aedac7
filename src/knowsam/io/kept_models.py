"""Models kept on this computer, found by their names; their cards are read without the networks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open

FOLDER_VARIABLE = "KNOWSAM_MODELS"
"""Environment variable with the folder of kept models, for people who share one."""

MODEL_SUFFIX = ".safetensors"
MODEL_FILE = f"model{MODEL_SUFFIX}"
"""Name of a model's file in a folder of its own."""

_NO_CARD = "Saved by an earlier version, without a card."
_UNUSABLE = "This is not a usable KnowSAM model. Delete it, or replace it with one."


@dataclass(frozen=True)
class KeptModel:
    """A model in the folder of kept ones.

    Parameters
    ----------
    card : lines on the model for the user; if the file cannot be used, a sentence on that.
    """

    path: Path
    card: str

    @property
    def name(self) -> str:
        """Its name, for people and on the command line."""
        return self.path.stem


def models_folder() -> Path:
    """Return the folder of kept models: that of the environment, or one in the user's data; it may be missing."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_data_dir("napari-knowsam", appauthor=False), "models")


def kept_models() -> list[KeptModel]:
    """Return the models in that folder, by name; none if it cannot be read."""
    try:
        paths = sorted(path for path in models_folder().iterdir() if path.suffix == MODEL_SUFFIX)
    except OSError:
        return []
    return [KeptModel(path, _card(path)) for path in paths]


def model_name(path: Path) -> str:
    """Return the name of a model: that of its file, or that of its folder if the file has the usual name.

    >>> model_name(Path("atrium.safetensors")), model_name(Path("atrium/model.safetensors"))
    ('atrium', 'atrium')
    """
    return path.parent.name if path.name == MODEL_FILE else path.stem


def place_of_model(name: str) -> Path:
    """Return the path at which a model of this name is kept, or would be."""
    return models_folder() / f"{name}{MODEL_SUFFIX}"


def found_model(path: Path) -> Path:
    """Return the file of the kept model of that name, or the path itself if it exists or no model has that name."""
    kept = place_of_model(path.name)
    return kept if not path.exists() and path.parent == Path() and kept.is_file() else path


def _card(path: Path) -> str:
    try:
        with safe_open(path, framework="numpy") as stored:
            description = json.loads((stored.metadata() or {})["knowsam"])
        return str(description.get("card") or _NO_CARD)
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError):
        return _UNUSABLE
