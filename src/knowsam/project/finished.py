"""Images of a project that are done, read with their masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.data.volume import Volume
from knowsam.document.annotation_document import AnnotationDocument
from knowsam.document.kept_files import fingerprint, paintings
from knowsam.document.snapshot_file import read_snapshot
from knowsam.errors import InputError, KnowSAMError, OutputError
from knowsam.io.image import read_image
from knowsam.io.image_file import mask_name
from knowsam.io.labels import write_labels

if TYPE_CHECKING:
    from knowsam.document.snapshot import Snapshot
    from knowsam.project.case import ProjectCase
    from knowsam.project.project import Project


def read_finished(project: Project, case: ProjectCase) -> tuple[Volume, Volume]:
    """Return an image of a project and the mask that was made in it, with its classes.

    Raises
    ------
    InputError
        If the image cannot be read, is another one than that on which work is kept, or the work cannot be read or is
        not complete.
    """
    # The person who worked on it has accepted its missing values; any other image has another fingerprint.
    volume = read_image(case.path, case.pick or None, missing_as_background=True)
    if fingerprint(volume) != case.fingerprint:
        raise InputError(
            f"{case.path} holds another image than the one that was segmented. Bring that back, or segment this one."
        )
    newest = _newest(project, case, volume.shape)
    document = AnnotationDocument(volume, newest.axis, newest.classes, newest.brush_value)
    document.restore(newest)
    if document.unfinished or not document.annotated:
        raise InputError(
            f"What was painted last in {case.name} is not complete, perhaps in another window. Open it, and say again "
            "that it is done."
        )
    return volume, Volume(document.mask(), volume.grid, f"{case.name} mask", classes=document.classes[1:])


def _newest(project: Project, case: ProjectCase, shape: tuple[int, int, int]) -> Snapshot:
    paths = paintings(project.work_folder, case.fingerprint)
    try:
        kept = [read_snapshot(path, shape) for path in paths]
    except OSError as error:
        raise InputError(
            f"What was painted in {case.name} cannot be read ({error.strerror}). Check {project.work_folder}."
        ) from error
    if not kept:
        raise InputError(
            f"What was painted in {case.name} is not in {project.work_folder}. Bring its files back, or segment it "
            "again."
        )
    return max(kept, key=lambda snapshot: snapshot.taken_at)


def mask_paths(project: Project, folder: Path) -> dict[ProjectCase, Path]:
    """Return where the mask of each image that is done is to be written.

    Raises
    ------
    InputError
        If none is done, or two are called the same.
    """
    paths = {case: folder / mask_name(case.path) for case in project.done}
    if not paths:
        raise InputError(f"None of the {len(project.cases)} images is done. Say so of those that are (Done).")
    if len({*paths.values()}) < len(paths):
        raise InputError("Two images have the same name, so their masks would too. Rename the file of one.")
    return paths


def write_masks(
    project: Project, paths: Mapping[ProjectCase, Path], *, overwrite: bool = False
) -> Iterator[tuple[ProjectCase, str]]:
    """Write the masks of images that are done; yield each with its error, which is empty once the mask is written.

    A damaged one does not stop those after it.
    """
    for case, path in paths.items():
        try:
            write_mask(project, case, path, overwrite=overwrite)
        except KnowSAMError as error:
            yield case, str(error)
        else:
            yield case, ""


def write_mask(project: Project, case: ProjectCase, path: Path, *, overwrite: bool = False) -> None:
    """Write the mask of an image that is done on the grid of its file; the folder is made if it is missing.

    Raises
    ------
    InputError
        As `read_finished`.
    OutputError
        If it cannot be written.
    """
    volume, mask = read_finished(project, case)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {path.parent} cannot be made ({error.strerror}). Choose another one.") from error
    write_labels(path, mask.array, volume.grid, mask.classes, overwrite=overwrite)
