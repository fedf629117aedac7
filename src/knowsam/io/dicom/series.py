"""Reads DICOM images: every stack of slices in a folder or a file can be read into one volume."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from knowsam.data.orientation import Affine, to_working
from knowsam.data.short_line import short_line
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError
from knowsam.io.choice import ImageChoice
from knowsam.io.dicom.alternation import alternate
from knowsam.io.dicom.files import damage_refused, files_under, pydicom_silenced
from knowsam.io.dicom.folder import Folder, Tracked, read_folder
from knowsam.io.dicom.frames import Frame, read_frames
from knowsam.io.dicom.grid import affine_of, assumed_affine, distances_mm, in_order
from knowsam.io.dicom.identity import identity_of
from knowsam.io.dicom.padding import padding_range
from knowsam.io.dicom.pixels import equal_pixels, read_pixels
from knowsam.io.dicom.spacing import positions
from knowsam.io.dicom.stacks import Stack, name_of, stacks_of
from knowsam.io.dicom.window import display_range

_DIRECTORY_NAME = "DICOMDIR"
_MOSAIC = (
    "The series is a mosaic of Siemens: all slices of a time point are tiles of one picture, but one picture for each "
    "slice is needed. Convert it to NIfTI, for example with dcm2niix, or export it without mosaic."
)
_ALTERNATING = (
    "Grey values alternate from slice to slice, as if two images lay between each other, but nothing in the headers "
    "tells them apart. Look at the slices; if they are of two images, put each into a folder of its own."
)
_ONE_SLICE = "The file holds one slice; the series it belongs to was read from its folder."


def dicom_choices(path: Path, tracked: Tracked = iter) -> tuple[ImageChoice, ...]:
    """Return the images in a DICOM folder or of a DICOM file; no pixels are read.

    A folder is searched with its subfolders. DICOMDIR stands for its folder, a file of one slice for its series in its
    folder, and a file of many frames for itself. A series with a damaged file is among the images; reading it raises.

    Parameters
    ----------
    tracked : sees each file of a folder before it is read.

    Raises
    ------
    InputError
        If there is none.
    """
    with pydicom_silenced, damage_refused("The headers of the DICOM files are damaged. Export the series again."):
        if path.is_dir():
            return _choices(read_folder(list(files_under(path)), tracked))
        if path.name.upper() == _DIRECTORY_NAME:
            return _choices(read_folder(list(files_under(path.parent)), tracked))
        return _choices_of_file(path, tracked)


def _choices(folder: Folder, given: Path | None = None) -> tuple[ImageChoice, ...]:
    """Return the images of a folder, those of the lowest series number first.

    Parameters
    ----------
    given : a file of one slice; only its stack is returned.

    Raises
    ------
    InputError
        If there is none.
    """
    choices = [
        choice for frames in sorted(folder.series.values(), key=_number) for choice in _of_series(frames, folder, given)
    ]
    if not choices:
        raise InputError(_nothing_found(folder))
    return tuple(choices)


def _of_series(frames: list[Frame], folder: Folder, given: Path | None) -> list[ImageChoice]:
    """Return the images of one series; if it is damaged, one that raises when it is read."""
    notices = () if given is None else (_ONE_SLICE,)
    try:
        folder.refuse_damaged(frames[0].file.series)
        with damage_refused("The headers of the series are damaged. Export it again."):
            slices = [frame for frame in frames if not frame.is_mosaic]
            choices = [_choice(stack, (*notices, *folder.notices)) for stack in _holding(stacks_of(slices), given)]
            mosaics = len(frames) - len(slices)
            return [*choices, *([_mosaic_choice(frames[0], mosaics)] if mosaics else [])]
    except InputError as error:
        return [ImageChoice(_name(frames[0]), "damaged", 0, partial(_refuse, str(error)))]


def _mosaic_choice(frame: Frame, count: int) -> ImageChoice:
    return ImageChoice(
        _name(frame), f"mosaic of Siemens, {count} time point{'s' * (count > 1)}", 0, partial(_refuse, _MOSAIC)
    )


def _refuse(sentence: str) -> Volume:
    raise InputError(sentence)


def _number(frames: list[Frame]) -> float:
    with suppress(InputError):
        return frames[0].number("SeriesNumber", 0)
    return 0.0


def _name(frame: Frame) -> str:
    with suppress(InputError):
        return name_of(frame)
    return "series"


def _holding(stacks: list[Stack], given: Path | None) -> list[Stack]:
    """Return the stacks that contain a file, or all of them if no file is given."""
    if given is None:
        return stacks
    name = os.path.realpath(given)
    return [
        stack for stack in stacks if any(os.path.realpath(frame.file.path) == name for frame in stack.frames)
    ] or stacks


def _choice(stack: Stack, notices: tuple[str, ...]) -> ImageChoice:
    rows, columns = stack.frames[0].file.shape
    extent = f"{stack.slices} slice{'s' * (stack.slices > 1)} of {rows} x {columns}{_apart(stack)}"
    return ImageChoice(stack.description, extent, stack.slices, partial(_read, stack, notices))


def _apart(stack: Stack) -> str:
    if not stack.frames[0].is_placed or stack.slices == 1:
        return ""
    lying_mm = distances_mm(stack.frames)
    _, first = np.unique(positions(lying_mm), return_index=True)
    return f", {np.median(np.diff(lying_mm[first])):.4g} mm apart"


def _choices_of_file(path: Path, tracked: Tracked) -> tuple[ImageChoice, ...]:
    own = read_frames(path, "the file")
    if len(own) != 1:
        return _choices(Folder({own[0].file.series: own} if own else {}))
    series = own[0].file.series
    beside = read_folder([file for file in sorted(path.absolute().parent.iterdir()) if file.is_file()], tracked)
    return _choices(replace(beside, series={series: beside.series[series]}), path)


def _nothing_found(folder: Folder) -> str:
    """Return why a folder holds no image."""
    if folder.unassigned:
        return folder.unassigned[0]
    frames = [frame for series in folder.series.values() for frame in series]
    if not frames:
        return (
            "No DICOM images were found. Give the folder in which all slices of a DICOM series lie; "
            "of other formats, such as .nii.gz, give the file itself."
        )
    if len(frames) > 1 and not all(frame.is_placed for frame in frames):
        return (
            "The slices have no complete position, orientation or pixel spacing, without which their place is unknown. "
            "Give a cross-sectional series such as CT or MR, exported with all its attributes."
        )
    found = "1 DICOM image was" if len(frames) == 1 else f"{len(frames)} DICOM images were"
    of_one = ", no two of which belong to one stack" if len(frames) > 1 else ""
    return (
        f"{found} found{of_one}, but at least 2 slices are needed. "
        "Give the folder in which all slices of the series lie."
    )


def _read(stack: Stack, notices: tuple[str, ...]) -> Volume:
    with pydicom_silenced:
        _refuse_several_modalities(stack.frames)
        ordered = in_order(stack.frames)
        different = _without_equal(ordered)
        left_out = _left_out(len(ordered) - len(different), stack.alone)
        try:
            affine, unplaced = _placed(different)
        except InputError as error:
            raise InputError(" ".join([str(error), *notices, *left_out])) from None
        pixels = read_pixels(different, affine)
        doubts = stack.notices or ((_ALTERNATING,) if alternate(pixels.array) else ())
        array_ijk = pixels.array.T
        return Volume(
            to_working(array_ijk, affine),
            Grid(array_ijk.shape, affine),
            # The name of its folder may be that of the patient.
            stack.description,
            notices=(*notices, *doubts, *left_out, *unplaced, *pixels.notices),
            display_range=display_range(different[len(different) // 2], pixels),
            padding=padding_range(different[len(different) // 2], pixels),
            dicom_files=tuple(dict.fromkeys(frame.file.path for frame in different)),
            identity=identity_of(different[0].file.header),
            # Outside of the folder: a segmentation among the slices would be read with them.
            folder=different[0].file.path.absolute().parent.parent,
        )


def _refuse_several_modalities(frames: Sequence[Frame]) -> None:
    """Check that slices that lie like one image are of one modality, as far as they name any (PS3.3, C.7.3.1.1.1)."""
    named = Counter(short_line(str(frame.value("Modality") or "")) for frame in frames)
    del named[""]
    if len(named) > 1:
        found = " and ".join(f"{count} of {modality}" for modality, count in named.most_common())
        raise InputError(
            f"The slices of the series are of several modalities, {found}, but those of one image are of one. Put the "
            "slices of each modality into a folder of its own."
        )


def _without_equal(ordered: list[Frame]) -> list[Frame]:
    """Leave out copies: frames with the same pixels as another one at their position."""
    if not ordered[0].is_placed:
        return ordered
    place = positions(distances_mm(ordered))
    kept: list[Frame] = []
    for _, numbers in groupby(range(len(ordered)), key=place.__getitem__):
        together = [ordered[number] for number in numbers]
        kept += together[:1] if len(together) == 1 or equal_pixels(together) else together
    return kept


def _placed(ordered: Sequence[Frame]) -> tuple[Affine, tuple[str, ...]]:
    if ordered[0].is_placed:
        return affine_of(ordered), ()
    affine, sentence = assumed_affine(ordered[0])
    return affine, (sentence,)


def _left_out(copies: int, alone: int) -> tuple[str, ...]:
    notices = []
    if copies:
        notices.append(
            _images(copies, "is a copy of another one and was", "are copies of others and were") + " left out."
        )
    if alone:
        notices.append(
            _images(alone, "belongs to no stack of slices and was", "belong to none and were") + " left out."
        )
    return tuple(notices)


def _images(count: int, one: str, many: str) -> str:
    return f"1 image of the series {one}" if count == 1 else f"{count} images of the series {many}"
