"""How much memory does a model of many volumes take?

Synthetic volumes with one ellipsoid each, annotated in every fourth slice, are written to a folder and given to
`knowsam train` in a process of its own. "Memory" is the largest that its own pages took (RssAnon), "with files" that
together with the pages of files, which the system takes away from it when others need them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from os import link
from pathlib import Path

import nibabel as nib
import numpy as np
from provenance import provenance
from tables import table

DISTINCT = 5
"""Volumes that differ; the others are links to them, so that the folder is written in minutes."""


def main() -> None:
    """Train on each number of volumes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, nargs="+", default=[5, 50], metavar="N")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200], metavar="N")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="for the volumes, which are left there (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        rows = [_measured(folder, number, options) for number in options.volumes]
    header = ["volumes", "shape", "steps", "memory MiB", "with files MiB", "s"]
    print("\n".join([*provenance("seed 0"), table(header, rows)]))


def _measured(folder: Path, number: int, options: argparse.Namespace) -> list[str]:
    images, masks = _volumes(folder, number, tuple(options.shape))
    command = ["knowsam", "train", *images, "--labels", *masks, "--overwrite"]
    command += ["--steps", str(options.steps), "-o", str(folder / "model")]
    started = time.monotonic()
    process = subprocess.Popen(command)
    own = whole = 0
    while process.poll() is None:
        anonymous, files = _resident_kib(process.pid)
        own, whole = max(own, anonymous), max(whole, anonymous + files)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"knowsam train ended with exit code {process.returncode}.")
    shape = " x ".join(map(str, options.shape))
    seconds = f"{time.monotonic() - started:.0f}"
    return [str(number), shape, str(options.steps), f"{own / 1024:.0f}", f"{whole / 1024:.0f}", seconds]


def _resident_kib(pid: int) -> tuple[int, int]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    found = dict(line.split(":", 1) for line in text.splitlines())
    # A process that has just ended has no memory any more.
    anonymous, files = (int(found.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssFile"))
    return anonymous, files


def _volumes(folder: Path, number: int, shape: tuple[int, int, int]) -> tuple[list[str], list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    images, masks = [], []
    for index in range(number):
        image, mask = folder / f"v{index:02}.nii.gz", folder / f"v{index:02}_label.nii.gz"
        if not mask.exists():
            if index < DISTINCT:
                _write(image, mask, index, shape)
            else:
                link(folder / f"v{index % DISTINCT:02}.nii.gz", image)
                link(folder / f"v{index % DISTINCT:02}_label.nii.gz", mask)
        images.append(str(image))
        masks.append(str(mask))
    return images, masks


def _write(image: Path, mask: Path, seed: int, shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(seed)
    i, j, k = (np.linspace(-1, 1, count, dtype=np.float32) for count in shape)
    radius = np.sqrt((i[:, None, None] ** 2 + (j[:, None] + random.uniform(-0.2, 0.2)) ** 2) * 4 + k**2)
    inside = radius < random.uniform(0.6, 0.9)
    voxels = random.integers(0, 60, shape, dtype=np.int16) + 100 * inside.astype(np.int16)
    affine = np.diag([0.8, 0.8, 1.0, 1.0])
    nib.Nifti1Image(voxels, affine).to_filename(image)
    painted = np.zeros(shape, np.uint8)
    painted[..., ::4] = inside[..., ::4]
    nib.Nifti1Image(painted, affine).to_filename(mask)


if __name__ == "__main__":
    main()
