"""Make the weights anew: ``python -m knowsam.pretraining propagator run.pt -o propagator.safetensors``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from knowsam.models.half_precision import save_half
from knowsam.pretraining.propagator_training import PROPAGATOR_TASK
from knowsam.pretraining.sam_training import SAM_TASK
from knowsam.pretraining.training_run import PretrainingTask, TrainingRun

_TASKS: dict[str, PretrainingTask[Any, Any, Any]] = {"propagator": PROPAGATOR_TASK, "sam": SAM_TASK}


def main() -> None:
    """Pretrain a network and write its weights."""
    parser = argparse.ArgumentParser(prog="python -m knowsam.pretraining", description=__doc__)
    parser.add_argument("network", choices=list(_TASKS), help="what to pretrain")
    parser.add_argument("run", type=Path, help="file of the run, from which it goes on after a break")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the weights, as safetensors")
    parser.add_argument("--steps", type=int, default=1600, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="processes that make volumes (default: none but this)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    task = _TASKS[options.network]
    run = TrainingRun(task, options.seed, options.steps, options.device)
    save_half(task.kept(run.run(options.run, options.workers)), options.output)


if __name__ == "__main__":
    main()
