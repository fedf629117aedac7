"""The command line `knowsam`: runs one command and turns its outcome into an exit code.

Exit code 0: done, if need be in another place than asked for, with a warning; 1: the job failed; 2: wrong usage.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from knowsam.commands.options import parse
from knowsam.commands.standard_streams import dependable_streams
from knowsam.errors import ConfigError, KnowSAMError

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong words end the program with 2."""
    with dependable_streams():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("knowsam").setLevel(logging.DEBUG if options.debug else logging.INFO)
    try:
        # Imported here, so that help and `info` need not wait for PyTorch.
        import_module(f"knowsam.commands.{options.command}").run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, `head` for example, has seen enough of it.
        return 0
    # An OSError is what even asking for a file may raise, such as one in a folder that nobody may enter.
    except (KnowSAMError, OSError) as error:
        logger.debug("Where it happened:", exc_info=error)
        print(f"knowsam {options.command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print(f"knowsam {options.command}: interrupted.", file=sys.stderr)
        return 1
    return 0
