"""Networks in folders as Hugging Face lays them out: `config.json` and `model.safetensors`, read by transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from knowsam.damage import damage_error
from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.checkpoints import DAMAGE
from knowsam.models.sam import some

if TYPE_CHECKING:
    from types import ModuleType

_DESCRIPTION = "config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


class DescribedWeights(dict[str, Tensor]):
    """Tensors by name, with the description from which their network is built.

    Parameters
    ----------
    description : what `config.json` says, in plain dicts, lists, numbers and words.
    """

    def __init__(self, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
        super().__init__(tensors)
        self.description = dict(description)

    def __reduce__(self) -> tuple[Any, ...]:
        return DescribedWeights, (dict(self), self.description)


def model_type_of(folder: Path) -> str:
    """Return the model type that a folder names in its `config.json`, such as "sam2".

    Raises
    ------
    CheckpointError
        If there is no such file, or no type in it.
    """
    try:
        description = json.loads((folder / _DESCRIPTION).read_bytes())
        return str(description["model_type"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise CheckpointError(
            f"{folder} has no {_DESCRIPTION} that names a model type, which a folder of Hugging Face has. "
            f"Give a folder with {_DESCRIPTION} and {_WEIGHTS[0]}, or a file of official SAM weights."
        ) from exc


def load_network(folder: Path, class_name: str) -> Any:
    """Let transformers read a network, without executing anything that lies in its folder.

    Parameters
    ----------
    class_name : of the network in transformers.

    Raises
    ------
    CheckpointError
        If there are no weights, they cannot be read, or they are not those of such a network.
    ConfigError
        If transformers is not installed.
    """
    if not any((folder / name).is_file() for name in _WEIGHTS):
        found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise CheckpointError(
            f"{folder} holds {found}, but no {_WEIGHTS[0]}. Other files of weights may hold programs and are not read: "
            "download the one that ends in .safetensors."
        )
    transformers = import_transformers()
    from huggingface_hub.errors import StrictDataclassError

    try:
        with _silence_of(transformers):
            network, found = getattr(transformers, class_name).from_pretrained(
                folder, use_safetensors=True, local_files_only=True, output_loading_info=True, dtype="float32"
            )
    except (*DAMAGE, StrictDataclassError) as exc:
        sentence = (
            f"{folder} cannot be read as a {class_name} ({str(exc).partition(chr(10))[0] or type(exc).__name__}). "
            f"Give a folder whose {_DESCRIPTION} and weights belong together and are not damaged."
        )
        raise damage_error(sentence, exc, CheckpointError) from exc
    _require_complete(folder, class_name, sorted(found["missing_keys"]), sorted(found["unexpected_keys"]))
    return network


def _require_complete(folder: Path, class_name: str, missing: list[str], unknown: list[str]) -> None:
    """Refuse weights with which transformers would begin at random, or which it would leave out."""
    if missing or unknown:
        raise CheckpointError(
            f"The weights in {folder} are not those of a {class_name}: {len(missing)} tensors are missing "
            f"({some(missing)}) and {len(unknown)} are unknown ({some(unknown)}). "
            "Give a folder whose weights belong to its description."
        )


@contextmanager
def _silence_of(transformers: ModuleType) -> Iterator[None]:
    """Let transformers show neither progress bars nor advice to programmers."""
    messages = transformers.utils.logging
    level, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if has_bars:
            messages.enable_progress_bar()


def import_transformers() -> ModuleType:
    """Import transformers, which takes seconds.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"A teacher from a folder needs a package that is not installed ({error.name}). Install it with "
            'pip install "napari-knowsam[sam2]".'
        ) from error
    return transformers  # type: ignore[no-any-return, unused-ignore]
