"""The file that says how far the images of a project are, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowsam.data.annotation import BACKGROUND_CLASS, LabelClass
from knowsam.errors import InputError, OutputError
from knowsam.io.atomic import written_whole
from knowsam.project.case import CaseState, ProjectCase

FORMAT = 1


@dataclass(frozen=True)
class ProjectRecord:
    """What is kept of a project beside the work on each image.

    Parameters
    ----------
    cases : by the name of their file or folder; some may no longer be there.
    classes : of all images, background first, as they were named last; empty before one was worked on.
    axis : working axis along which that was annotated, None before.
    """

    cases: Mapping[str, ProjectCase] = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    axis: int | None = None


def read_record(path: Path, folder: Path) -> ProjectRecord:
    """Read the record of a project; an empty one where there is no file.

    Parameters
    ----------
    folder : in which the images lie.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        return _unpacked(json.loads(path.read_text(encoding="utf-8")), folder)
    except FileNotFoundError:
        return ProjectRecord()
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a project: it is damaged, or of another version of this program. Rename it; the "
            "painting is kept beside it, and is found again when its image is opened."
        ) from error


def write_record(path: Path, record: ProjectRecord) -> None:
    """Write the record of a project; its folder is made.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        with written_whole(path) as place:
            place.write_text(json.dumps(_packed(record), indent=1), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The project cannot be kept in {path.parent} ({error.strerror}). Make the folder of the images writable, "
            "or copy them to one that is."
        ) from error


def _packed(record: ProjectRecord) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "axis": record.axis,
        "classes": [(one.value, one.name, one.color) for one in record.classes],
        "cases": {name: [one.state.value, one.fingerprint, one.pick] for name, one in record.cases.items()},
    }


def _unpacked(about: dict[str, Any], folder: Path) -> ProjectRecord:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}")
    cases = {
        name: ProjectCase(folder / name, CaseState(state), str(fingerprint), str(pick))
        for name, (state, fingerprint, pick) in about["cases"].items()
    }
    classes = tuple(
        LabelClass(int(value), str(name), (int(red), int(green), int(blue)))
        for value, name, (red, green, blue) in about["classes"]
    )
    values = [one.value for one in classes]
    if values and (values[0] != BACKGROUND_CLASS.value or len({*values}) < len(values) or min(values) < 0):
        raise ValueError(f"classes {values}")
    if not all(0 <= part <= 255 for one in classes for part in one.color):
        raise ValueError("colours")
    return ProjectRecord(cases, classes, None if about["axis"] is None else range(3)[about["axis"]])
