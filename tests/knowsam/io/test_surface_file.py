"""Surfaces out, read by a few lines that know nothing of the writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec

from knowsam.data.annotation import LabelClass
from knowsam.data.volume import Grid, Volume
from knowsam.errors import InputError, OutputError
from knowsam.io.surface_file import is_surface_name, write_surfaces

GRID = Grid((30, 24, 12), from_matvec(np.diag([-1.0, -1.0, -3.0]), [40.0, 90.0, -20.0]))
LIVER, CYST = LabelClass(2, "liver", (230, 75, 53)), LabelClass(7, "cyst: left/right", (77, 187, 213))


def labels(values: tuple[int, ...] = (2, 7)) -> Volume:
    array = np.zeros(GRID.working_shape, np.uint8)
    array[2:8, 4:14, 5:15] = values[0]
    array[3:9, 16:22, 20:28] = values[-1]
    return Volume(array, GRID, "mask", classes=(LIVER, CYST))


def stl(path: Path) -> tuple[str, np.ndarray]:
    """Return the header and the corners (triangles, 3, 3)."""
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    assert len(content) == 84 + 50 * count
    rows = np.frombuffer(content[84:], np.uint8).reshape(count, 50)[:, :48].copy().view("<f4").reshape(count, 4, 3)
    normals = np.cross(rows[:, 2] - rows[:, 1], rows[:, 3] - rows[:, 1])
    assert np.einsum("ij,ij->i", normals, rows[:, 0]).min() > 0
    return content[:80].decode().rstrip(), rows[:, 1:]


def middle_lps_mm(mask: Volume, value: int) -> np.ndarray:
    return apply_affine(mask.affine, np.argwhere(mask.array == value)).mean(axis=0) * (-1, -1, 1)


def test_stl_lies_where_the_structure_is_in_lps_and_says_so(tmp_path: Path) -> None:
    mask = labels()
    paths = write_surfaces(tmp_path / "organs.stl", mask)
    assert [path.name for path in paths] == ["organs_2_liver.stl", "organs_7_cyst_ left_right.stl"]
    for path, value in zip(paths, (2, 7), strict=True):
        header, corners = stl(path)
        assert "SPACE=LPS" in header
        assert not header.startswith("solid")
        assert (corners.min(axis=(0, 1)) + corners.max(axis=(0, 1))) / 2 == pytest.approx(
            middle_lps_mm(mask, value), abs=0.05
        )


def test_one_class_has_the_name_of_the_file(tmp_path: Path) -> None:
    assert write_surfaces(tmp_path / "liver.stl", labels((2,))) == (tmp_path / "liver.stl",)


def test_obj_holds_an_object_for_each_class(tmp_path: Path) -> None:
    mask = labels()
    (path,) = write_surfaces(tmp_path / "organs.obj", mask)
    lines = path.read_text().splitlines()
    assert "SPACE=LPS" in lines[0]
    assert [line for line in lines if line.startswith("o ")] == ["o liver", "o cyst: left/right"]
    vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    faces = np.array([line.split()[1:] for line in lines if line.startswith("f ")], int) - 1
    assert (faces.min(), faces.max()) == (0, len(vertices) - 1)
    corners = vertices[faces]
    volume_mm3 = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume_mm3 == pytest.approx(np.count_nonzero(mask.array) * 3, rel=1e-3)


def test_existing_files_are_kept_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "organs_7_cyst_ left_right.stl").touch()
    with pytest.raises(OutputError, match="exists already"):
        write_surfaces(tmp_path / "organs.stl", labels())
    assert len(list(tmp_path.iterdir())) == 1
    assert len(write_surfaces(tmp_path / "organs.stl", labels(), overwrite=True)) == 2


def test_an_empty_mask_and_another_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mask is empty"):
        write_surfaces(tmp_path / "organs.stl", Volume(np.zeros(GRID.working_shape, np.uint8), GRID, "mask"))
    with pytest.raises(OutputError, match=r"must end in \.stl or \.obj"):
        write_surfaces(tmp_path / "organs.vtk", labels())
    assert is_surface_name(Path("A.STL"))
    assert not is_surface_name(Path("a.nii.gz"))
