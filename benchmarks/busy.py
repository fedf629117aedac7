"""How many training steps are left beside other busy programs, at several priorities and numbers of threads?

Each run is a process of its own that trains on a left atrium with five painted slices, beside programs that compute
all the time at normal priority. `fixed` keeps PyTorch's threads, `adapted` is what the package does; `sleeping` lets
threads that wait for others sleep instead of spin (OMP_WAIT_POLICY=PASSIVE, to be set before PyTorch is loaded).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import torch
from provenance import provenance
from tables import table
from tasks import find_data_set

from knowsam import jobs
from knowsam.inference.cpu_threads import CpuThreads
from knowsam.training.schedule import Budget

WAYS = {
    "one thread": ("1", "fixed", "ACTIVE"),
    "all, fixed": ("0", "fixed", ""),
    "all, fixed, sleeping": ("0", "fixed", "PASSIVE"),
    "adapted": ("0", "adapted", ""),
    "adapted, sleeping": ("0", "adapted", "PASSIVE"),
}
"""Threads (0: as many as PyTorch takes), whether their number is fixed, and how they wait."""


def main() -> None:
    """Run all ways beside other programs and print their steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the left atrium")
    parser.add_argument("--seconds", type=float, default=20.0, help="training time of each run")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="busy programs beside it")
    parser.add_argument("--niceness", type=int, nargs="+", default=[0, 5, 10])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        print(steps(options.data, options.seconds, int(options.only[0]), options.only[1]))
        return
    print(*provenance("one run each"), sep="\n")
    rows = []
    for busy, niceness in product(options.busy, options.niceness):
        with busy_programs(busy):
            counts = [run(options, way, niceness) for way in options.ways]
        rows.append([str(busy), str(niceness), *map(str, counts)])
        print(rows[-1], file=sys.stderr)
    print(table(["busy programs", "niceness", *options.ways], rows))


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """Let some programs compute all the time."""
    with ExitStack() as stack:
        for _ in range(count):
            program = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(program.kill)
        yield


def run(options: argparse.Namespace, way: str, niceness: int) -> int:
    """Return the steps that a process of its own takes."""
    threads, number, policy = WAYS[way]
    command = [sys.executable, __file__, "--data", options.data, "--seconds", str(options.seconds)]
    environment = {**os.environ, **({"OMP_WAIT_POLICY": policy} if policy else {})}
    result = subprocess.run(
        [*command, "--only", threads, number],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.nice(niceness) and None,
    )
    return int(result.stdout)


def steps(data: Path, seconds: float, threads: int, number: str) -> int:
    """Train and return the steps taken."""
    if threads:
        torch.set_num_threads(threads)
    if number == "fixed":
        CpuThreads.adapt = lambda _: None  # type: ignore[method-assign]
    data_set = find_data_set(data)
    case = data_set.truth(data_set.volumes[0]).task(5).case
    return jobs.train([case], budget=Budget(seconds=seconds)).model().steps


if __name__ == "__main__":
    main()
