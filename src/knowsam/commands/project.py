"""`knowsam project`: the states of the images of a folder, and the masks of those that are done."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from knowsam.errors import OutputError
from knowsam.io.atomic import check_new_place
from knowsam.project.finished import mask_paths, write_masks
from knowsam.project.project import Project

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> None:
    """Run the command; all outputs are checked before the first image is read.

    Raises
    ------
    OutputError
        If a mask could not be written; those after it are still written.
    """
    project = Project(options.folder)
    if options.export is None:
        _print(f"{case.state.value:8}  {case.name}" for case in project.cases)
        _print([f"{len(project.done)} of {len(project.cases)} images are done."])
        return
    paths = mask_paths(project, options.export)
    for path in paths.values():
        check_new_place(path, overwrite=options.overwrite)
    failed = 0
    for case, problem in write_masks(project, paths, overwrite=options.overwrite):
        _print([f"{case.name}: {problem or paths[case]}"])
        failed += bool(problem)
    if failed:
        raise OutputError(f"{failed} of {len(paths)} masks were not written; the sentences above say why.")


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
