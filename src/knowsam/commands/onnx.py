"""`knowsam onnx`: the networks for programs that run them without PyTorch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from knowsam.commands.inputs import read_model
from knowsam.errors import ConfigError
from knowsam.io.atomic import check_place
from knowsam.training.onnx_file import ONNX_SUFFIX, write_propagator, write_students

if TYPE_CHECKING:
    from argparse import Namespace

logger = logging.getLogger(__name__)

_PROPAGATOR = "propagator"


def run(options: Namespace) -> None:
    """Write the file, and log how far it differs from PyTorch.

    Raises
    ------
    ConfigError
        If the name is not one of an ONNX file.
    """
    output, overwrite = options.output, options.overwrite
    if output.suffix != ONNX_SUFFIX:
        raise ConfigError(f"{output} was asked for, but the file must end with {ONNX_SUFFIX}. Give it that ending.")
    check_place(output, overwrite=overwrite)
    if str(options.model) == _PROPAGATOR:
        difference = write_propagator(output, overwrite=overwrite)
    else:
        difference = write_students(read_model(options.model), output, overwrite=overwrite)
    logger.info("%s: differs by at most %.0e from PyTorch in ONNX Runtime", output, difference)
