"""A folder of images that are segmented one after the other: which there are, and how far each is."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from knowsam.data.annotation import joined_classes
from knowsam.errors import InputError
from knowsam.io.dicom.files import holds_dicom, is_dicom
from knowsam.io.image_file import IMAGE_SUFFIXES, is_called_mask, is_image_name
from knowsam.project.case import CaseState, ProjectCase
from knowsam.project.project_file import ProjectRecord, read_record, write_record

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass

FOLDER = "knowsam_project"
"""Name of the folder beside the images in which a project is kept."""


class Project:
    """The images of a folder, in the order of their names, with what the work on them has in common.

    All of it is kept in the folder `FOLDER` beside the images, so that a project can be moved and shared. It holds the
    names of the image files, of series and of classes, and small pictures.

    Parameters
    ----------
    folder : with image files, or folders of DICOM files; what is called a mask is passed over.

    Raises
    ------
    InputError
        If the folder holds no image, or what was kept of the project cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._paths = image_paths(self.folder)
        if not self._paths:
            raise InputError(_nothing_in(self.folder))
        self._file = self.folder / FOLDER / "project.json"
        self._record = read_record(self._file, self.folder)

    @property
    def cases(self) -> tuple[ProjectCase, ...]:
        """All images."""
        return tuple(self._record.cases.get(path.name, ProjectCase(path)) for path in self._paths)

    @property
    def done(self) -> tuple[ProjectCase, ...]:
        """All images that are done."""
        return tuple(case for case in self.cases if case.state is CaseState.DONE)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Classes of all images, background first, as they were named last; none before one was worked on."""
        return self._record.classes

    @property
    def axis(self) -> int | None:
        """Working axis along which the image that was worked on last was annotated; None before there was one."""
        return self._record.axis

    @property
    def work_folder(self) -> Path:
        """Where the work on its images is kept."""
        return self._file.with_name("work")

    def picture(self, case: ProjectCase) -> Path:
        """Return where a small picture of an image is kept, which may be missing."""
        return self._file.parent / "pictures" / f"{case.path.name}.png"

    def next_after(self, path: Path | None) -> ProjectCase | None:
        """Return the next other image that is not done, from the first one on where no path is given, if there is one.

        After the last one comes the first.
        """
        start = 0 if path is None else 1 + self._paths.index(path)
        ahead = [*self.cases[start:], *self.cases[:start]]
        return next((one for one in ahead if one.state is not CaseState.DONE and one.path != path), None)

    def keep(self, case: ProjectCase, classes: tuple[LabelClass, ...], axis: int) -> None:
        """Note how far an image is; of the others it stays what another window may have noted meanwhile.

        Parameters
        ----------
        classes, axis : with which it was annotated; images that come next begin with them.

        Raises
        ------
        InputError
            If what was kept meanwhile cannot be read.
        OutputError
            If it cannot be written.
        """
        before = read_record(self._file, self.folder)
        shared = joined_classes(before.classes, classes)
        self._record = ProjectRecord({**before.cases, case.path.name: case}, shared, axis)
        write_record(self._file, self._record)


def image_paths(folder: Path) -> list[Path]:
    """Return the image files in a folder and the folders of DICOM files in it, by name with numbers in their order.

    Raises
    ------
    InputError
        If it is no folder that can be read.
    """
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != FOLDER]
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read ({error.strerror}). Check the path.") from error
    return sorted((path for path in entries if _is_image(path)), key=_natural)


def _is_image(path: Path) -> bool:
    if path.is_dir():
        # A folder beyond all bounds is no series.
        with suppress(InputError):
            return holds_dicom(path)
        return False
    return is_image_name(path) and not is_called_mask(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key by which "p2" comes before "p10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())]


def _nothing_in(folder: Path) -> str:
    if any(is_dicom(path) for path in folder.iterdir() if path.is_file()):
        return (
            f"{folder} holds the files of a DICOM series, but a project is a folder of several images. Put each series "
            "into a folder of its own, and choose the folder in which these lie."
        )
    return (
        f"There is no image in {folder}, but a project is a folder of images: {', '.join(IMAGE_SUFFIXES)} files, or a "
        "folder of DICOM files for each. Choose the folder in which they lie; what is called a mask is passed over."
    )
