"""Stop before an installation that would download CUDA, going by a report of ``pip install --dry-run --report``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

CUDA_PACKAGE = re.compile(r"(nvidia|cuda)-|triton$")


def main(report: Path) -> None:
    """Exit with a remedy if the report lists CUDA packages."""
    planned = [item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]]
    unwanted = sorted(name for name in planned if CUDA_PACKAGE.match(name))
    if unwanted:
        sys.exit(
            f"torch would bring {len(unwanted)} CUDA packages ({', '.join(unwanted[:3])}, ...), several GB, but the "
            "CPU build was expected.\nName the CPU index that the selector on pytorch.org shows, with `make setup "
            "TORCH_INDEX=...` or, for a container, `--build-arg TORCH_INDEX=...`; or take them: TORCH=cuda."
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
