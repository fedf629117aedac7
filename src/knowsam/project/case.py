"""One image of a project, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from knowsam.io.image_file import image_stem


class CaseState(Enum):
    """How far the work on an image is."""

    TO_DO = "to do"
    IN_WORK = "in work"
    DONE = "done"


@dataclass(frozen=True)
class ProjectCase:
    """An image of a project.

    Parameters
    ----------
    path : of its file, or of the folder of its DICOM series.
    state : done when a person has marked it so.
    fingerprint : of the image on which work is kept, see `kept_files`; empty before there is any.
    pick : the description of the image, where its file or folder holds several.
    """

    path: Path
    state: CaseState = CaseState.TO_DO
    fingerprint: str = ""
    pick: str = ""

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return image_stem(self.path.name)
