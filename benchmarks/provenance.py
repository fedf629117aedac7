"""What made a table: the command, the machine and the software."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import torch

from knowsam.report import peak_memory_mib


def commit() -> str:
    """Return the commit that runs, and whether it was changed; empty outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def peak_mib(device: str) -> float:
    """Return the peak memory so far, of the GPU where one computes and of the process elsewhere."""
    peak = peak_memory_mib(device)
    return peak.get("cuda") or peak["main"] or 0.0


def provenance(seeds: str) -> list[str]:
    """Return the lines that stand above every table."""
    return [
        f"Command: python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}",
        f"{platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {seeds}, "
        f"peak memory of the process {peak_memory_mib('cpu')['main']} MiB",
        "",
    ]
