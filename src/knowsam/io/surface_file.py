"""Writes surfaces of classes as STL and OBJ, in millimetres of the patient, LPS+ as in 3D Slicer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowsam.data.annotation import labelled_classes
from knowsam.data.class_boxes import class_boxes
from knowsam.data.short_line import short_line
from knowsam.data.surface import Surface, surface_of
from knowsam.errors import OutputError
from knowsam.io.atomic import check_place, output_written
from knowsam.io.image_file import file_name

if TYPE_CHECKING:
    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume

SURFACE_SUFFIXES = (".stl", ".obj")

_HEADER = "napari-knowsam; SPACE=LPS; UNIT=mm"
"""3D Slicer reads the space from the first line of an STL file and from the comments of an OBJ file."""

_RAS_TO_LPS = (-1, -1, 1)
_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def is_surface_name(path: Path) -> bool:
    """Return whether an output holds surfaces, by its name."""
    return path.name.lower().endswith(SURFACE_SUFFIXES)


def surface_paths(path: Path, classes: Sequence[LabelClass]) -> tuple[Path, ...]:
    """Return the files for the surfaces of some classes: an OBJ file holds many, an STL file one.

    >>> from knowsam.data.annotation import LabelClass
    >>> two = [LabelClass(1, "liver", (1, 2, 3)), LabelClass(2, "left kidney", (1, 2, 3))]
    >>> [path.name for path in surface_paths(Path("organs.stl"), two)]
    ['organs_1_liver.stl', 'organs_2_left kidney.stl']
    """
    if len(classes) == 1 or path.suffix.lower() == ".obj":
        return (path,)
    return tuple(path.with_name(f"{path.stem}_{one.value}_{file_name(one.name)}{path.suffix}") for one in classes)


def write_surfaces(path: Path, labels: Volume, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the surface of each class, smoothed at its volume, and return the files.

    Parameters
    ----------
    path : ends in .stl or .obj; each of several classes gets its own STL file, see `surface_paths`.
    labels : the names of their classes become those of the surfaces.
    overwrite : replace existing files.

    Raises
    ------
    InputError
        If the labels are empty.
    OutputError
        If a file cannot be written.
    """
    if not is_surface_name(path):
        raise OutputError(f"The result is to be called {path.name}, but must end in .stl or .obj. Change the name.")
    classes = labelled_classes(labels)
    paths = surface_paths(path, classes)
    for place in paths:
        check_place(place, overwrite=overwrite)
    surfaces = _surfaces(labels, classes)
    if path.suffix.lower() == ".obj":
        _write(path, _obj(classes, surfaces), overwrite)
    else:
        for place, surface in zip(paths, surfaces, strict=True):
            _write(place, _stl(surface), overwrite)
    return paths


def _surfaces(labels: Volume, classes: Sequence[LabelClass]) -> list[Surface]:
    boxes = class_boxes(labels.array, [one.value for one in classes])
    surfaces = []
    for one in classes:
        box = boxes[one.value]
        affine = labels.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
        surfaces.append(surface_of(labels.array[box] == one.value, affine))
    return surfaces


def _write(path: Path, content: bytes, overwrite: bool) -> None:
    with output_written(path, overwrite=overwrite) as complete:
        complete.write_bytes(content)


def _stl(surface: Surface) -> bytes:
    """Return a binary STL file."""
    triangles = np.zeros(len(surface.triangles), _STL_TRIANGLE)
    normals = surface.normals_mm2 * _RAS_TO_LPS
    triangles["normal"] = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(min=1e-12)
    triangles["corners"] = (surface.vertices_mm * _RAS_TO_LPS)[surface.triangles]
    return _HEADER.encode().ljust(80) + len(triangles).to_bytes(4, "little") + triangles.tobytes()


def _obj(classes: Sequence[LabelClass], surfaces: Sequence[Surface]) -> bytes:
    """Return an OBJ file with one object for each class, and its colour at each vertex."""
    parts, first = [f"# {_HEADER}\n"], 1
    for one, surface in zip(classes, surfaces, strict=True):
        color = " ".join(f"{part / 255:.3f}" for part in one.color)
        vertices_mm, triangles = surface.vertices_mm * _RAS_TO_LPS, surface.triangles + first
        parts.append(f"o {short_line(one.name)}\n")
        # One format for all lines is several times faster than one for each.
        parts.append(f"v %.4f %.4f %.4f {color}\n" * len(vertices_mm) % tuple(vertices_mm.ravel()))
        parts.append("f %d %d %d\n" * len(triangles) % tuple(triangles.ravel()))
        first += len(vertices_mm)
    return "".join(parts).encode()
