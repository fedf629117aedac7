"""The record of a job: everything needed to repeat it and to assess it, and nothing of the patient."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowsam.errors import OutputError
from knowsam.io.atomic import written_whole
from knowsam.training.events import Event, Finished, Notice, Planned, StepDone, Validated

if TYPE_CHECKING:
    from knowsam.data.measurements import Measurement
    from knowsam.training.plan import TrainingPlan

_PACKAGES = ("napari-knowsam", "torch", "segment-anything", "numpy", "scipy", "nibabel", "pydicom")


@dataclass
class Report:
    """Collects the events of a training; `write` makes a JSON file of them.

    Parameters
    ----------
    devices : how many processes have trained together.
    plan : what ran; None without training.
    probable_dice : between the annotated slices, by the label value of each class; None without an estimate.
    measurements : of each class of the mask.
    """

    seed: int
    devices: int = 1
    plan: TrainingPlan | None = None
    steps: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    stopped: bool = False
    shown_dice: float | None = None
    probable_dice: Mapping[int, float | None] = field(default_factory=dict)
    measurements: Sequence[Measurement] = ()

    def add(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, StepDone):
            losses = asdict(event.losses) | {"total": event.losses.total}
            self.steps.append({"step": event.step, "seconds": round(event.seconds, 3), **losses})
        elif isinstance(event, Validated):
            self.validations.append({"step": event.step, "dice": event.dice, "adopted": event.adopted})
            self.shown_dice = event.shown.dice
        elif isinstance(event, Notice):
            self.notices.append(event.text)
        elif isinstance(event, Planned):
            self.plan = event.plan
        elif isinstance(event, Finished):
            self.stopped = event.stopped

    def write(self, path: Path, seconds: Mapping[str, float], *, overwrite: bool = False) -> None:
        """Write the report, whole or not at all.

        Parameters
        ----------
        seconds : time spent in each phase.
        overwrite : replace an existing file.

        Raises
        ------
        OutputError
            If the file cannot be written, or exists and is to be kept.
        """
        plan = None if self.plan is None else self.plan.to_dict()
        content = {
            "plan": plan,
            "seed": self.seed,
            "devices": self.devices,
            "versions": versions(),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "peak_memory_mib": peak_memory_mib("cpu" if plan is None else plan["device"]),
            "stopped_by_user": self.stopped,
            "holdout_dice": self.shown_dice,
            "probable_dice": self.probable_dice,
            "measurements": [asdict(one) for one in self.measurements],
            "notices": self.notices,
            "validations": self.validations,
            "steps": self.steps,
        }
        write_record(path, content, overwrite=overwrite)


def write_record(path: Path, content: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write the record of a job as JSON, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and is to be kept.
    """
    try:
        with written_whole(path, overwrite=overwrite) as complete:
            complete.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as exc:
        raise OutputError(f"The report {path} cannot be written: {exc.strerror}. Choose another place.") from exc


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}


def peak_memory_mib(device: str) -> dict[str, float | None]:
    """Return the largest memory this process has used so far, in MiB; None where the system does not tell."""
    peak: dict[str, float | None] = {"main": _peak_resident_mib()}
    if device.startswith("cuda"):
        import torch

        peak["cuda"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak


def _peak_resident_mib() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in kibibytes.
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10, 1)
