"""Tasks for workers of a cluster that die at a chosen moment; workers import this file."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from knowsam.commands.cluster_task import Answer, PredictionTask


@dataclass(frozen=True)
class ObservedTask(PredictionTask):
    """Notes in files beside the image what it does, and waits where a file asks for it, once."""

    def __call__(self, image: Path) -> Answer:
        from knowsam.commands import cluster_worker

        predict = cluster_worker.jobs.predict

        def noted(*given, **named):  # type: ignore[no-untyped-def]
            _note(image, "predicted")
            return predict(*given, **named)

        _note(image, "begun")
        _wait_if_asked(image, "wait-before")
        with patch.object(cluster_worker.jobs, "predict", noted):
            answer = super().__call__(image)
        _wait_if_asked(image, "wait-after")
        return answer


def number_or_death(number: int) -> int:
    """Return the number, but for 0, which no worker survives."""
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def notes(image: Path, what: str) -> list[int]:
    """Return the processes that have noted something of an image."""
    return [int(path.suffix[1:]) for path in image.parent.glob(f"{image.name}.{what}.*")]


def _note(image: Path, what: str) -> None:
    (image.parent / f"{image.name}.{what}.{os.getpid()}").touch(exist_ok=False)


def _wait_if_asked(image: Path, what: str) -> None:
    asked = image.parent / f"{image.name}.{what}"
    if asked.exists():
        asked.unlink()
        _note(image, "waiting")
        # Only as long as a test may take, if nobody ends the worker.
        time.sleep(60)
