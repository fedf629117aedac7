"""Does the napari window stay smooth while it trains, and how soon does training obey?

Everything happens in the real window, on a volume of the left atrium with a few painted slices: each part opens its own
window, clicks the buttons of the panel, steps through slices and drags the brush. Phases without training lie between
those with it, so that drifts of the machine show. "while torch loads" is kept apart: those are the seconds after the
panel was opened in which PyTorch is imported beside the window.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from provenance import provenance

MODES = ["thread 10", "thread 0", "thread 2", "thread 5", "thread 19", "child 10", "child 0"]
"""Where training goes on, and its niceness; the first is what the plugin does."""

PARTS = ["opening", "smoothness", "stops", "corrections", "large"]
_PLUGIN = MODES[0]
_QUICK_S, _QUICK_TRIALS = 3.0, 2
_LONGEST_S = 1200


@dataclass(frozen=True)
class Summary:
    """All times of one kind in one mode, of all phases."""

    part: str
    what: str
    mode: str
    values_ms: tuple[float, ...]
    steps_per_s: float | None

    def percentile(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        return float(np.percentile(self.values_ms, share))


@dataclass(frozen=True)
class Target:
    """What was aimed at, and what was found; NaN where it was not measured."""

    name: str
    found: float
    limit: float
    unit: str

    def __str__(self) -> str:
        reached = "not measured" if np.isnan(self.found) else "yes" if self.found < self.limit else "**no**"
        return f"| {self.name} | {self.limit:g} {self.unit} | {self.found:.2f} {self.unit} | {reached} |"


def main() -> None:
    """Measure the chosen parts and print what was found and which targets were reached."""
    options = _parse()
    image = options.data / f"{options.volume}.nii.gz"
    if not image.is_file():
        sys.exit(f"There is no {image.name} in {options.data}.")
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gui-latency-") as folder, _busy(options.busy):
        for part, more in _runs(options, Path(folder)):
            settings = {
                "image": str(image.resolve()),
                "annotated": options.annotated,
                "seconds": options.seconds,
                "trials": options.trials,
                "modes": options.modes,
            }
            found, ended_well = _run(part, settings | more, Path(folder))
            rows += found
            failed += [] if ended_well else [part]
    summaries = _summaries(rows)
    print(_table(summaries, options))
    print(
        "\n".join(
            ["", "| target | limit | found | reached |", "|---|---|---|---|", *map(str, _targets(summaries, rows))]
        )
    )
    if failed:
        print(f"\nEnded with an error, so that rows are missing: {', '.join(failed)}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if failed else 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with la_NN.nii.gz and la_NN_label.nii.gz")
    parser.add_argument("--volume", default="la_01", metavar="NAME")
    parser.add_argument("-k", "--annotated", type=int, default=5, help="annotated slices (default: 5)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each phase (default: 6)")
    parser.add_argument("--trials", type=int, default=10, help="clicks at each stage (default: 10)")
    parser.add_argument("--openings", type=int, default=3, help="fresh windows that are opened (default: 3)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--vit-b", action="store_true", help="stop and pause also with a ViT-B of random weights")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="other processes that compute beside it all")
    parser.add_argument("--quick", action="store_true", help="a smoke test: short phases, few clicks, two modes")
    parser.add_argument("--json", type=Path, help="write every single time")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.trials, options.openings = _QUICK_S, _QUICK_TRIALS, 1
        options.modes = [_PLUGIN, "child 10"]
    return options


def _runs(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts and their own settings, in the order in which they are measured."""
    for part in options.parts:
        for _ in range(options.openings if part == "opening" else 1):
            yield part, {"teacher_file": None}
    if options.vit_b:
        # What the weights are says nothing about the time they take.
        weights = folder / "vit_b.pth"
        _write_vit_b(weights)
        yield "stops", {"teacher_file": str(weights)}


def _run(part: str, settings: dict[str, object], folder: Path) -> tuple[list[dict[str, Any]], bool]:
    """Measure one part in a process of its own; return its rows, and whether it came to its end."""
    rows = folder / "rows.json"
    rows.unlink(missing_ok=True)
    # A napari that knows no settings of this user, but fonts and shaders may be in the cache, as on any machine in use.
    home = tempfile.mkdtemp(dir=folder)
    homes = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), home)
    own = {"PYTHONPATH": str(Path(__file__).parent), "NAPARI_CONFIG": str(Path(home, "settings.yaml")), **homes}
    # With -c, since the child processes of a script would run its imports, napari and all, again.
    command = [sys.executable, "-c", "import gui_parts; gui_parts.main()", part, json.dumps(settings), str(rows)]
    try:
        done = subprocess.run(command, env=os.environ | own, timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return [], False
    return (json.loads(rows.read_text()) if rows.exists() else []), done.returncode == 0


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keep some cores busy, as other programs would."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _write_vit_b(path: Path) -> None:
    """Write random weights in the official layout."""
    import torch

    from knowsam.models.sam import VARIANTS, build_sam

    torch.save(build_sam(VARIANTS["vit_b"], (1024, 1024)).state_dict(), path)


def _summaries(rows: list[dict[str, Any]]) -> list[Summary]:
    """Join the phases of one kind and mode."""
    together: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        together.setdefault((str(row["part"]), str(row["what"]), str(row["mode"])), []).append(row)
    summaries = []
    for (part, what, mode), own in together.items():
        values_ms = tuple(value for row in own for value in row["values_ms"])
        speeds = [row["steps_per_s"] for row in own if row["steps_per_s"] is not None]
        if values_ms:
            summaries.append(Summary(part, what, mode, values_ms, float(np.mean(speeds)) if speeds else None))
    return summaries


def _targets(summaries: list[Summary], rows: list[dict[str, Any]]) -> list[Target]:
    found = {(s.part, s.what, s.mode): s for s in summaries}

    def percentile(part: str, what: str, mode: str, share: float) -> float:
        return found[part, what, mode].percentile(share) if (part, what, mode) in found else float("nan")

    def worst(part: str, *words: str) -> float:
        own = [s for s in summaries if s.part == part and any(word in s.what for word in words)]
        return max((max(s.values_ms) for s in own), default=float("nan"))

    large = [percentile("large", f"slicing along axis {axis}", _PLUGIN, 95) for axis in range(3)]
    return [
        Target("timer while training, 95th percentile", percentile("smoothness", "timer", _PLUGIN, 95), 5, "ms"),
        Target("timer while training, worst", percentile("smoothness", "timer", _PLUGIN, 100), 100, "ms"),
        Target(
            "slicing 95th percentile, to that just before and after",
            _slower("slicing", rows),
            1.3,
            "times",
        ),
        Target(
            "painting 95th percentile, to that just before and after",
            _slower("painting", rows),
            1.3,
            "times",
        ),
        Target("Pause and Stop, worst", worst("stops", "Pause", "Stop") / 1e3, 1, "s"),
        Target("correction seen in the next slice, worst", worst("corrections", "correction") / 1e3, 0.5, "s"),
        Target("slice change of the large volume while training, 95th percentile", max(large), 100, "ms"),
        Target("panel opened, worst", worst("opening", "panel opened") / 1e3, 1, "s"),
    ]


def _slower(what: str, rows: list[dict[str, Any]]) -> float:
    """Return the 95th percentile while training to that of the phases without it just before and after."""
    own = [row for row in rows if (row["part"], row["what"]) == ("smoothness", what)]
    training, idle = [], []
    for before, row, after in zip(own, own[1:], own[2:], strict=False):
        if row["mode"] == _PLUGIN:
            training += row["values_ms"]
            idle += before["values_ms"] + after["values_ms"]
    return float(np.percentile(training, 95) / np.percentile(idle, 95)) if training else float("nan")


def _table(summaries: list[Summary], options: argparse.Namespace) -> str:
    lines = [
        *provenance(f"phases of {options.seconds:g} s"),
        "| part | what | training | times | median ms | 95 % ms | worst ms | steps/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        steps = "" if s.steps_per_s is None else f"{s.steps_per_s:.2f}"
        lines.append(
            f"| {s.part} | {s.what} | {s.mode} | {len(s.values_ms)} "
            f"| {s.percentile(50):.1f} | {s.percentile(95):.1f} | {max(s.values_ms):.1f} | {steps} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
