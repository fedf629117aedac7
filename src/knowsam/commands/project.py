"""`knowsam project`: how far the images of a folder are, and the masks of those that are done."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from knowsam.commands.outputs import check_folder
from knowsam.errors import KnowSAMError, OutputError
from knowsam.io.atomic import check_free
from knowsam.project.finished import mask_paths, write_mask
from knowsam.project.project import Project

if TYPE_CHECKING:
    from argparse import Namespace

    from knowsam.project.case import ProjectCase


def run(options: Namespace) -> None:
    """Do what the options say; all outputs are checked before the first image is read.

    Raises
    ------
    OutputError
        If a mask could not be written; those after it are written all the same.
    """
    project = Project(options.folder)
    if options.export is None:
        _print(f"{case.state.value:8}  {case.name}" for case in project.cases)
        _print([f"{len(project.done)} of {len(project.cases)} images are done."])
        return
    paths = mask_paths(project, options.export)
    check_folder(options.export)
    if options.export.exists():
        for path in paths.values():
            check_free(path, overwrite=options.overwrite)
    failed: list[ProjectCase] = []
    for case, path in paths.items():
        try:
            write_mask(project, case, path, overwrite=options.overwrite)
            _print([f"{case.name}: {path}"])
        except KnowSAMError as error:
            # One damaged file must not cost all that come after it.
            _print([f"{case.name}: {error}"])
            failed.append(case)
    if failed:
        raise OutputError(f"{len(failed)} of {len(paths)} masks were not written; the sentences above say why.")


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
