"""Several processes that train one model, each on its own GPU or on some processors: data-parallel training.

Lightning Fabric connects them. The first one is the process of the command itself, so that terminal, signals and errors
work as with a single process.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from torch import Tensor
from torch import distributed as dist

from knowsam.errors import ConfigError, KnowSAMError, TrainingError
from knowsam.inference.device import is_out_of_memory, resolve_device
from knowsam.training.interruption import Interrupted
from knowsam.training.processes import ENDING_SIGNALS, Done, Network, Processes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from lightning_fabric import Fabric

Given = ParamSpec("Given")
Found = TypeVar("Found")

_RAISED_IN_ALL = "_raised_in_all_processes"
"""An attribute of errors that all processes know of."""

_PATIENCE_S = 10.0
"""A process that has lost the others ends within this time, or is ended."""


class DataParallel(Processes):
    """One of several processes, connected by Lightning Fabric.

    Whatever can fail in one process alone is done `together`: each one then waits for the others to say whether they
    can go on. A process that fails elsewhere says so at the next of these occasions, and all of them end.
    """

    def __init__(self, fabric: Fabric) -> None:
        super().__init__(str(fabric.device))
        self.count, self.rank = fabric.world_size, fabric.global_rank
        # What the processes tell each other never waits for a GPU.
        self._words = dist.new_group(backend="gloo")

    def all_raised(self, error: BaseException) -> bool:
        """Return whether an error, or what it was raised from, was raised in all processes."""
        return hasattr(error, _RAISED_IN_ALL) or (error.__cause__ is not None and self.all_raised(error.__cause__))

    def together(self, work: Callable[[], Done]) -> Done:
        """Do some work; if it fails in one process, the same error is raised in all."""
        try:
            done = work()
        except Exception as error:
            if not self.all_raised(error):
                self._agree(error)
            raise
        self._agree(None)
        return done

    def first_decides(self, decide: Callable[[], Done]) -> Done:
        """Let only the first process decide, and return in all what it has decided."""
        decided = [self.together(decide) if self.is_first else self.together(lambda: None)]
        dist.broadcast_object_list(decided, src=0, group=self._words)
        return cast("Done", decided[0])

    def shared(self, network: Network) -> Network:
        """Return a network whose batches are shared out among the processes, see `Processes.shared`."""

        def find(*joined: Tensor) -> Tensor | tuple[Tensor, ...]:
            own = [one[self.rank :: self.count] for one in joined]
            found, places = self.together(lambda: self._with_places(network(*own)))
            if isinstance(found, Tensor):
                return self._joined(found, *places)
            joined_outputs: tuple[Tensor, ...] = type(found)(*map(self._joined, found, places))
            return joined_outputs

        return cast("Network", find)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in place."""
        if not tensors:
            return
        joined = self.together(lambda: torch.cat([tensor.flatten() for tensor in tensors]))
        dist.all_reduce(joined)
        parts = joined.div_(self.count).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def _with_places(self, found: Any) -> tuple[Any, list[list[Tensor]]]:
        """Return what was found, a tensor or a tuple of them, and memory for that of each process.

        Memory may run out in one process alone, so that it is taken before they exchange anything.
        """
        own = [found] if isinstance(found, Tensor) else list(found)
        return found, [[torch.empty_like(one.detach().contiguous()) for _ in range(self.count)] for one in own]

    def _joined(self, own: Tensor, found: list[Tensor]) -> Tensor:
        """Return what all processes have found (count * B, ...), in the order of the joined batch; of own (B, ...)."""
        dist.all_gather(found, own.detach().contiguous())
        # A tensor of its own: the network may have gone on from `own`, and a hook there would see that gradient, too.
        found[self.rank] = own.view_as(own)
        if own.requires_grad:
            found[self.rank].register_hook(lambda gradient: gradient * self.count)
        return torch.stack(found, dim=1).flatten(0, 1)

    def _agree(self, error: Exception | None) -> None:
        """Say whether this process has failed, and raise what the first one that has says of it."""
        said: list[Exception | None] = [None] * self.count
        has_failed = torch.tensor([error is not None], dtype=torch.uint8)
        try:
            dist.all_reduce(has_failed, dist.ReduceOp.MAX, group=self._words)
            if has_failed:
                dist.all_gather_object(said, None if error is None else _portable(error), group=self._words)
        except RuntimeError as exc:
            raise TrainingError(
                f"One of the {self.count} processes has ended, perhaps for want of memory. Train again with fewer "
                "--devices."
            ) from exc
        if error is not None:
            setattr(error, _RAISED_IN_ALL, True)
        failed = [rank for rank, one in enumerate(said) if one is not None]
        if failed and failed[0] != self.rank:
            raise cast("Exception", said[failed[0]])


def _portable(error: Exception) -> Exception:
    """Return an error as another process can raise it, with the place where it was raised as a note."""
    if isinstance(error, KnowSAMError | Interrupted):
        portable: Exception = type(error)(*error.args)
    else:
        portable = (MemoryError if is_out_of_memory(error) else RuntimeError)(str(error) or type(error).__name__)
    setattr(portable, _RAISED_IN_ALL, True)
    portable.add_note("In another process:\n" + "".join(traceback.format_exception(error)))
    return portable


def in_processes(
    work: Callable[Concatenate[DataParallel, Given], Found],
    count: int,
    device: str,
    *given: Given.args,
    **named: Given.kwargs,
) -> Found:
    """Call `work(processes, ...)` in this process and in others at the same time, and return what it returns here.

    Parameters
    ----------
    work : a function of a module. In the other processes it writes nothing to the terminal, and signals that a terminal
        sends do not reach it.
    count : of the processes, this one included.
    device : ``auto``, ``cpu`` or ``cuda``: one GPU for each process.
    given, named : further arguments, which can be pickled.

    Raises
    ------
    ConfigError
        If Lightning Fabric is missing, or there are not so many devices.
    TrainingError
        If another process cannot begin, or ends before its time.
    """
    _fabric_package()
    place = _Place(0, count, _kind_of_device(device, count), _free_port())
    with _others(place, work, given, named), _connected(place) as processes:
        return processes.together(lambda: work(processes, *given, **named))


def _kind_of_device(name: str, count: int) -> str:
    """Return ``cpu`` or ``cuda``, if there are so many."""
    device = resolve_device(name)
    if device.type not in ("cpu", "cuda") or device.index is not None:
        raise ConfigError(
            f"--devices is {count} and the device is {str(device)!r}, but several are either GPUs of NVIDIA or "
            "processors. Give --device cuda or --device cpu, without a number."
        )
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise ConfigError(
            f"--devices is {count}, but PyTorch finds {torch.cuda.device_count()} GPUs. Give no more than these."
        )
    return device.type


@dataclass(frozen=True)
class _Place:
    """Which of the processes one is, what it computes on, and the port where it finds the others."""

    rank: int
    count: int
    kind: str
    port: int


def _free_port() -> int:
    found: int = import_module("lightning_fabric.plugins.environments.lightning").find_free_network_port()
    return found


@contextmanager
def _others(
    place: _Place, work: Callable[..., object], given: tuple[Any, ...], named: dict[str, Any]
) -> Iterator[None]:
    """Start the other processes, wait until all can be connected, and end them in any case."""
    spawn = multiprocessing.get_context("spawn")
    others: list[SpawnProcess] = []
    patience_s = _PATIENCE_S
    try:
        ready: list[Connection] = []
        for rank in range(1, place.count):
            here, there = spawn.Pipe(duplex=False)
            others.append(
                spawn.Process(target=_work_beside, args=(replace(place, rank=rank), there, work, given, named))
            )
            others[-1].start()
            there.close()
            ready.append(here)
        for here in ready:
            _wait_for(here)
        yield
    except KeyboardInterrupt:
        patience_s = 0.0
        raise
    finally:
        for other in others:
            if other.pid is not None:
                other.join(patience_s)
                other.kill()


def _wait_for(here: Connection) -> None:
    """Wait until another process can be connected, or has ended: the connection would wait for it in vain."""
    try:
        here.recv()
    except EOFError:
        raise TrainingError(
            "One of the processes ended before the training began, perhaps for want of memory. Train again with fewer "
            "--devices."
        ) from None


def _work_beside(
    place: _Place, there: Connection, work: Callable[..., object], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Work in a process other than the first one, which every error is sent to."""
    # The first process reacts to signals for all.
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logging.disable()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    _fabric_package()
    there.send(None)
    with suppress(Exception), _connected(place) as processes:
        processes.together(lambda: work(processes, *given, **named))


@contextmanager
def _connected(place: _Place) -> Iterator[DataParallel]:
    """Connect this process with the others, and let each have its share of the processors."""
    fabric_package, threads = _fabric_package(), torch.get_num_threads()
    strategies, environments = (import_module(f"lightning_fabric.{one}") for one in ("strategies", "plugins"))
    with _environment(place):
        fabric = fabric_package.Fabric(
            accelerator=place.kind,
            devices=place.count,
            strategy=strategies.DDPStrategy(),
            # Not whatever a cluster suggests: all processes are started here.
            plugins=[environments.environments.LightningEnvironment()],
        )
        fabric.launch()
    torch.set_num_threads(max(threads // place.count, 1))
    try:
        yield DataParallel(fabric)
    finally:
        torch.set_num_threads(threads)
        dist.destroy_process_group()


@contextmanager
def _environment(place: _Place) -> Iterator[None]:
    """Set environment variables, as a scheduler would, so that Fabric uses the present processes."""
    variables = {
        "LOCAL_RANK": str(place.rank),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(place.port),
    }
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _fabric_package() -> Any:
    """Return Lightning Fabric, which says nothing by itself."""
    try:
        package = import_module("lightning_fabric")
    except ImportError as error:
        raise ConfigError(
            f"Training on several devices needs a package that is not installed ({error.name}). Install it with "
            'pip install "napari-knowsam[parallel]", or train with --devices 1.'
        ) from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return package
