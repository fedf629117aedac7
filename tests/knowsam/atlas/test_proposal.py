"""What was segmented in one volume is found in another one that lies, and is sampled, differently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from knowsam.atlas import grids
from knowsam.atlas.leave_one_out import proposals_of_each
from knowsam.atlas.proposal import Atlas, propose
from knowsam.data.annotation import LabelClass
from knowsam.data.volume import Grid, Volume
from knowsam.errors import ConfigError, InputError

SIDE_MM = 96.0


def patient(spacing_mm: tuple[float, float, float], shift_mm: tuple[float, float, float], size: float) -> Atlas:
    """An ellipsoid in a body, in voxels of any size; the mask is 3 in it, and 5 in its bright core."""
    counts = [round(SIDE_MM / mm) for mm in spacing_mm]
    places = np.meshgrid(*((np.arange(n) + 0.5) * mm for n, mm in zip(counts, spacing_mm, strict=True)), indexing="ij")
    at = [place - SIDE_MM / 2 for place in places]
    body = np.sqrt(sum(one**2 for one in at)) < 42
    own = [one - moved for one, moved in zip(at, shift_mm, strict=True)]
    distance = np.sqrt((own[0] / 1.4) ** 2 + own[1] ** 2 + (own[2] / 0.8) ** 2) / size
    labels = np.where(distance < 8, 5, np.where(distance < 16, 3, 0)).astype(np.int16)
    rib = (np.abs(at[1] - 25) < 4) & body
    grey = 100.0 * body + 80 * (labels > 0) + 90 * (labels == 5) - 60 * rib
    grey += np.random.default_rng(0).normal(0, 4, grey.shape)
    # (i, j, k) of the file run opposite to (z, y, x).
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-spacing_mm[2], -spacing_mm[1], -spacing_mm[0]])
    grid = Grid((counts[2], counts[1], counts[0]), affine)
    return Atlas(Volume(grey, grid, "scan"), Volume(labels, grid, "mask"))


def dice(found: np.ndarray, truth: np.ndarray, value: int) -> float:
    return float(2 * ((found == value) & (truth == value)).sum() / ((found == value).sum() + (truth == value).sum()))


@pytest.fixture(scope="module")
def new() -> Atlas:
    return patient((4.0, 2.0, 2.0), (2.0, 6.0, -5.0), 1.1)


@pytest.fixture(scope="module")
def coarse() -> Atlas:
    """The same in six times larger voxels, which are registered in a fifth of the time, but not as well."""
    return patient((6.0, 4.0, 4.0), (2.0, 6.0, -5.0), 1.1)


def test_a_structure_is_found_in_another_size_place_and_sampling(new: Atlas) -> None:
    finished = [patient((2.0, 2.0, 3.0), (-4.0, 0.0, 3.0), 0.95), patient((3.0, 3.0, 3.0), (0.0, -3.0, 0.0), 1.0)]
    proposal = propose(new.image, finished)
    assert proposal.labels.shape == new.image.shape
    for value in (3, 5):
        assert dice(proposal.labels, new.labels.array, value) > 0.8
    assert all(similarity is not None and similarity > 0.5 for similarity in proposal.similarities)


def test_an_atlas_that_shows_nothing_of_the_kind_has_no_part(coarse: Atlas) -> None:
    finished = patient((3.0, 3.0, 3.0), (0.0, 0.0, 0.0), 1.0)
    noise = np.random.default_rng(1).normal(100, 5, finished.image.shape)
    nothing = Atlas(Volume(noise, finished.image.grid, "noise"), finished.labels)
    proposal = propose(coarse.image, [nothing, finished])
    assert proposal.similarities[0] is None
    np.testing.assert_array_equal(proposal.labels, propose(coarse.image, [finished]).labels)
    with pytest.raises(InputError, match="None of the 1 finished volumes could be registered to scan"):
        propose(coarse.image, [nothing])


def test_what_cannot_be_an_atlas_is_refused(new: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    other = patient((3.0, 3.0, 3.0), (0.0, 0.0, 0.0), 1.0)
    with pytest.raises(InputError, match="do not lie on the grid"):
        Atlas(new.image, other.labels)
    with pytest.raises(InputError, match="The mask mask is empty"):
        Atlas(new.image, Volume(0 * new.labels.array, new.labels.grid, "mask"))
    named = [
        Atlas(other.image, replace(other.labels, classes=(LabelClass(3, name, (1, 2, 3)),)))
        for name in ("liver", "cyst")
    ]
    with pytest.raises(InputError, match="label value 3 is “liver” here, but “cyst” in scan"):
        propose(new.image, named)
    with pytest.raises(InputError, match="There is no finished volume"):
        propose(new.image, [])
    generator = np.random.default_rng(0)
    ct = np.where(generator.random(new.image.shape) < 0.4, -1000.0, generator.normal(50, 20, new.image.shape))
    with pytest.raises(InputError, match="scan is CT, but the finished volumes are MR or others"):
        propose(Volume(ct, new.image.grid, "scan"), [other])
    monkeypatch.setattr(grids, "import_module", _missing)
    with pytest.raises(ConfigError, match=r"napari-knowsam\[atlas\]"):
        propose(new.image, [other])


def _missing(name: str) -> None:
    raise ImportError(name)


def test_each_finished_volume_is_proposed_from_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from knowsam.cli import main

    volumes = [patient((4.0, 4.0, 4.0), (moved, 0.0, -moved), 1.0) for moved in (-3.0, 3.0)]
    found = proposals_of_each(volumes)
    scores = [0.0 if p is None else dice(p.labels, a.labels.array, 3) for p, a in zip(found, volumes, strict=True)]
    assert min(scores) > 0.7
    files = []
    for number, atlas in enumerate(volumes):
        for name, volume in (("image", atlas.image), ("mask", atlas.labels)):
            files.append(str(tmp_path / f"{name}{number}.nii.gz"))
            nib.Nifti1Image(volume.array.transpose(2, 1, 0), volume.grid.affine).to_filename(files[-1])
    new = tmp_path / "new.nii.gz"
    own = patient((4.0, 4.0, 4.0), (0.0, 0.0, 0.0), 1.0).image
    nib.Nifti1Image(own.array.transpose(2, 1, 0), own.grid.affine).to_filename(new)
    words = ["--atlases", *files[::2], "--labels", *files[1::2], "-o", str(tmp_path / "out.nii.gz"), "--check"]
    # Without the image itself, too few are left.
    assert main(["propose", files[0], *words]) != 0
    assert not (tmp_path / "out.nii.gz").exists()
    assert main(["propose", str(new), *words]) == 0
    mean, low, high = np.mean(scores), min(scores), max(scores)
    assert f"3 (class 3): Dice {mean:.2f} on average, from {low:.2f} to {high:.2f}" in caplog.text
    with pytest.raises(InputError, match="With one finished volume"):
        proposals_of_each(volumes[:1])


def test_progress_may_break_it_off(coarse: Atlas) -> None:
    finished = [patient((3.0, 3.0, 3.0), (0.0, 0.0, 0.0), 1.0)] * 2
    done: list[int] = []

    def note(count: int) -> None:
        done.append(count)
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose(coarse.image, finished, note)
    assert set(done[:-1]) == {0}
    assert done[-1] == 1


def test_the_coarse_grid_covers_the_same_place(new: Atlas) -> None:
    image = grids.image_of(new.image.array, new.image.affine)
    coarse = grids.coarse_grid(image, 16)
    assert max(coarse.GetSize()) == 16
    ends = []
    for one in (image, coarse):
        size = np.array(one.GetSize())
        corners = [one.TransformContinuousIndexToPhysicalPoint(at.tolist()) for at in (0 * size - 0.5, size - 0.5)]
        ends.append(np.array(corners))
    np.testing.assert_allclose(*ends, atol=1e-4)


def test_the_command_writes_a_mask_with_the_values_of_the_others(
    coarse: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from knowsam.cli import main

    finished = patient((3.0, 3.0, 3.0), (0.0, -3.0, 0.0), 1.0)
    for name, volume in {
        "new": coarse.image,
        "truth": coarse.labels,
        "a": finished.image,
        "a_mask": finished.labels,
    }.items():
        nib.Nifti1Image(volume.array.transpose(2, 1, 0), volume.grid.affine).to_filename(tmp_path / f"{name}.nii.gz")
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("new", "a", "a_mask", "out")}
    words = ["propose", paths["new"], "--atlases", paths["a"], "--labels", paths["a_mask"], "-o", paths["out"]]
    assert main([*words, "--check"]) == 2
    assert "Give two or more" in capsys.readouterr().err
    assert main(words) == 0
    mask = nib.load(paths["out"])
    np.testing.assert_allclose(mask.affine, coarse.image.grid.affine, atol=1e-4)
    assert dice(np.asarray(mask.dataobj).transpose(2, 1, 0), coarse.labels.array, 3) > 0.7
    assert main(words) == 1
    assert "exists already and is kept" in capsys.readouterr().err
    assert main([*words[:6], paths["a_mask"], *words[6:]]) == 2
    assert "1 finished volumes and 2 masks" in capsys.readouterr().err


def test_a_proposal_counts_beside_painted_slices(
    new: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from knowsam.cli import main

    finished = patient((3.0, 3.0, 3.0), (0.0, -3.0, 0.0), 1.0)
    held = np.flatnonzero((new.labels.array == 3).any(axis=(1, 2)))
    painted = np.zeros_like(new.labels.array)
    # The core is painted nowhere: it is known from the finished volume alone.
    for index in (held[1], held[2]):
        painted[index] = np.where(new.labels.array[index] == 3, 3, 0)
    for name, volume in {
        "new": new.image,
        "painted": Volume(painted, new.labels.grid),
        "a": finished.image,
        "a_mask": finished.labels,
    }.items():
        nib.Nifti1Image(volume.array.transpose(2, 1, 0), volume.grid.affine).to_filename(tmp_path / f"{name}.nii.gz")
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("new", "painted", "a", "a_mask", "out", "alone")}
    words = ["segment", paths["new"], "--labels", paths["painted"], "--budget", "0", "--axis", "2", "--device", "cpu"]
    atlases = ["--atlases", paths["a"], "--atlas-labels", paths["a_mask"]]
    assert main([*words, "-o", paths["alone"]]) == 0
    assert main([*words, "-o", paths["out"], *atlases]) == 0
    alone, both = (np.asarray(nib.load(paths[name]).dataobj).transpose(2, 1, 0) for name in ("alone", "out"))
    assert dice(both, new.labels.array, 3) > dice(alone, new.labels.array, 3) + 0.3
    assert dice(both, new.labels.array, 5) > 0.8
    for index in (held[1], held[2]):
        np.testing.assert_array_equal(both[index], painted[index])
    assert main([*words, "-o", paths["a_mask"], "--overwrite", *atlases]) == 1
    assert "is an input, but is named as the result as well" in capsys.readouterr().err
    assert main([*words, "-o", paths["out"], "--overwrite", *atlases[:2]]) == 2
    assert "1 finished volumes and 0 masks" in capsys.readouterr().err


def test_what_cannot_be_learnt_does_not_cost_the_mask(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same image twice is one, and of two nobody learns how their proposals err."""
    from knowsam.cli import main

    files = []
    for number, moved in enumerate((0.0, 0.0, 3.0, -3.0)):
        atlas = patient((4.0, 4.0, 4.0), (moved, 0.0, -moved), 1.0)
        for name, volume in (("image", atlas.image), ("mask", atlas.labels)):
            files.append(str(tmp_path / f"{name}{number}.nii.gz"))
            nib.Nifti1Image(volume.array.transpose(2, 1, 0), volume.grid.affine).to_filename(files[-1])
    out = tmp_path / "out.nii.gz"
    words = ["propose", files[6], "--atlases", *files[0:6:2], "--labels", *files[1:6:2], "-o", str(out)]
    assert main([*words, "--atlas-budget", "1s"]) == 0
    assert "2 finished volumes are of use, but 3 are needed" in caplog.text
    assert out.exists()
    assert main([*words, "--overwrite", "--atlas-budget", "often"]) == 2
