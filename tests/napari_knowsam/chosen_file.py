"""The answer to a dialog for files."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class ChosenFile:
    """What somebody chooses in the next dialogs for files: nothing, unless it is set.

    Attributes
    ----------
    path, kind : the file or folder, and the line of the list of kinds.
    asked : the arguments of each dialog.
    """

    def __init__(self) -> None:
        self.path: Path | str = ""
        self.kind = ""
        self.asked: list[tuple[Any, ...]] = []

    def file(self, *words: Any) -> tuple[str, str]:
        self.asked.append(words)
        return str(self.path), self.kind

    def folder(self, *_: Any) -> str:
        return str(self.path)
