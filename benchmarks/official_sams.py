"""What do the official SAMs cost in memory and time? With random weights of their layout, which cost the same.

Each is built in a process of its own. "Memory" is what the process has more after one slice than before the networks
were built, "a slice" the CPU time of the image encoder for one more slice, on one thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import torch
from provenance import provenance
from tables import table

from knowsam.models.sam import VARIANTS, build_sam
from knowsam.report import peak_memory_mib

_OFFICIAL = ("vit_b", "vit_l", "vit_h")


def main() -> None:
    """Measure each variant, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=96, help="of the network plane, in px (default: 96)")
    parser.add_argument("--only", choices=_OFFICIAL, help="measure one, in this process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only:
        print(*_measured(options.only, options.side))
        return
    command = [sys.executable, __file__, "--side", str(options.side), "--only"]
    rows = [[name, *subprocess.check_output([*command, name], text=True).split()] for name in _OFFICIAL]
    header = ["variant", "million parameters", "memory GiB", "s a slice"]
    print("\n".join([*provenance("random weights"), table(header, rows)]))


def _measured(name: str, side: int) -> tuple[str, str, str]:
    before = peak_memory_mib("cpu")["main"] or 0.0
    sam = build_sam(VARIANTS[name], (side, side)).eval()
    image = torch.rand(1, 3, side, side)
    with torch.no_grad():
        sam.image_encoder(image)
        started = time.process_time()
        sam.image_encoder(image)
    seconds = time.process_time() - started
    memory = (peak_memory_mib("cpu")["main"] or 0.0) - before
    parameters = sum(parameter.numel() for parameter in sam.parameters()) / 1e6
    return f"{parameters:.0f}", f"{memory / 1024:.1f}", f"{seconds:.2f}"


if __name__ == "__main__":
    main()
