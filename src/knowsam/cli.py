"""The command line `knowsam`: runs one command and turns its outcome into an exit code.

Exit code 0: done; 1: the job failed; 2: wrong usage.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from knowsam.errors import ConfigError, KnowSAMError
from knowsam.options import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.WARNING, format="%(name)s: %(message)s")
    # Imported here, so that help and `info` need not wait for PyTorch.
    command = import_module(f"knowsam.commands.{options.command}")
    try:
        command.run(options)
    except KnowSAMError as error:
        if options.debug:
            raise
        print(f"knowsam {options.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print(f"knowsam {options.command}: interrupted.", file=sys.stderr)
        return 1
    return 0
