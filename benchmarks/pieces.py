"""Long benchmarks in pieces: the options every script has for that, and pieces run one by one or side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from provenance import provenance
from result_store import R, ResultStore
from threadpoolctl import threadpool_limits

from knowsam.training.schedule import Budget

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_file_options(parser: ArgumentParser) -> None:
    """Add the options that tell where results are kept and which of them are measured."""
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of each run")
    parser.add_argument("--json", type=Path, help="file that keeps every single result; runs add to it")
    parser.add_argument("--missing", action="store_true", help="leave out what the file holds already")
    parser.add_argument("--table", action="store_true", help="run nothing, print the tables of the file")


def add_run_options(parser: ArgumentParser, *, budget: str) -> None:
    """Add the options of scripts that train: budget, seeds and runs side by side."""
    parser.add_argument("--budget", default=budget, help=f"training time of each run (default: {budget})")
    parser.add_argument("--steps", type=int, help="training steps of each run, instead of a time")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="runs side by side, each a process of its own with --threads threads: give it no more than "
        "cores / threads, or the times mean nothing (on 2 cores: --jobs 2 --threads 1)",
    )
    add_file_options(parser)


def checked(parser: ArgumentParser) -> Namespace:
    """Read the options, refuse what needs a file but has none, and set the threads."""
    options = parser.parse_args()
    needs_file = options.table or options.missing or getattr(options, "jobs", 1) > 1
    if needs_file and options.json is None:
        parser.error("--table, --missing and --jobs need --json, the file that keeps the results.")
    torch.set_num_threads(options.threads)
    # For NumPy and scikit-learn, whose threads PyTorch does not know of.
    threadpool_limits(options.threads)
    return options


def budget_of(options: Namespace) -> Budget:
    """Return the training budget, in steps if they were given."""
    return Budget(steps=options.steps) if options.steps else Budget.parse(options.budget)


def in_words(budget: Budget) -> str:
    """Write a budget the way results are told apart by it.

    >>> in_words(Budget.parse("1m"))
    '60 s'
    """
    return f"{budget.steps} steps" if budget.steps is not None else f"{budget.seconds:g} s"


def measure(
    options: Namespace,
    kind: type[R],
    pieces: Iterable[Any],
    run: Callable[[Any], Iterable[R]],
    tables: Callable[[Sequence[R]], Iterable[str]],
) -> None:
    """Run the pieces as the options of `add_run_options` have it, and print the tables of all results there are.

    Parameters
    ----------
    pieces : with the `keys` of their results and the `arguments` that ask for each alone.
    """
    store = ResultStore(options.json, kind)
    if not options.table:
        wanted = [one for one in pieces if not (options.missing and all(key in store for key in one.keys))]
        if options.jobs > 1:
            _side_by_side(options, [piece.arguments for piece in wanted])
        else:
            for result in (result for piece in wanted for result in run(piece)):
                print(result, file=sys.stderr, flush=True)
                store.add(result)
    print("\n".join([*provenance("seeds as in each run"), *tables(store.results)]))


def _side_by_side(options: Namespace, pieces: Sequence[Sequence[str]]) -> None:
    """Run this script once for each piece, a list of arguments, several at a time; all add to the one file."""
    script = Path(sys.argv[0]).resolve()
    shared = ["--threads", str(options.threads), "--json", str(options.json)]
    shared += ["--steps", str(options.steps)] if options.steps else ["--budget", options.budget]

    def run(piece: Sequence[str]) -> int:
        return subprocess.run([sys.executable, script, *piece, *shared], stdout=subprocess.DEVNULL).returncode

    with ThreadPoolExecutor(options.jobs) as pool:
        failed = sum(code != 0 for code in pool.map(run, pieces))
    if failed:
        sys.exit(f"{failed} of {len(pieces)} runs failed; see above.")
