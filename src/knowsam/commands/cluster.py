"""A dask cluster, whose workers do each of many tasks once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from knowsam import __version__
from knowsam.errors import ClusterError, ConfigError, PredictionError

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

_CONNECT_S = 10.0
_LOOK_EVERY_S = 5.0
"""How often to check that there is a worker, while no task is finished."""

_DISTRIBUTION = "napari-knowsam"


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect with a scheduler; the end of the block cancels unfinished tasks.

    Parameters
    ----------
    address : such as ``tcp://host:8786``. Certificates for ``tls://`` are those of dask's own configuration.

    Raises
    ------
    ConfigError
        If dask is not installed.
    ClusterError
        If no scheduler answers, or another version of KnowSAM is installed there or where a worker runs.
    """
    distributed = _distributed()
    _require_scheduler(distributed, address)
    with _without_tracebacks(), distributed.Client(address, timeout=_CONNECT_S, set_as_default=False) as client:
        _require_same_version(client)
        yield Cluster(client, address)


class Cluster:
    """A connection with a scheduler, made by `connected`."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._is_deserted = False

    def done(
        self, task: Callable[[_Item], _Answer], items: Sequence[_Item]
    ) -> Iterator[tuple[_Item, Callable[[], _Answer]]]:
        """Let workers do a task for each item, and yield finished items, each with a function that returns the answer.

        If a worker ends during a task, the scheduler gives the task to another one, and gives it up after several such
        ends. It also counts tasks that only waited at such a worker. So tasks that were given up are done once more at
        the end, one by one: a failure is then their own.

        Parameters
        ----------
        task : a function of a module that the workers have. A ClusterError from it ends everything.

        Raises
        ------
        ClusterError
            If the scheduler is gone, or a worker cannot do any task. The yielded functions raise a PredictionError if
            their item cannot be done.
        """
        given_up = []
        for item, future in self._finished(task, items):
            if _killed(future) is None:
                yield item, partial(_answer, future)
            else:
                logger.warning("%s: its workers ended again and again. It is tried once more, by itself.", item)
                given_up.append(item)
        for item in given_up:
            yield from ((item, partial(_answer, future)) for _, future in self._finished(task, [item]))

    def _finished(self, task: Callable[[_Item], Any], items: Sequence[_Item]) -> Iterator[tuple[_Item, Future[Any]]]:
        ended: SimpleQueue[Future[Any]] = SimpleQueue()
        futures = self._client.map(task, items, key="knowsam-predict", pure=False)
        waiting = {future.key: item for future, item in zip(futures, items, strict=True)}
        # A future that is kept asks the scheduler to do its task again if the worker with the answer ends later.
        kept = {future.key: future for future in futures}
        del futures
        for future in kept.values():
            future.add_done_callback(ended.put)
        while waiting:
            future = self._next(ended)
            self._require_usable(future)
            del kept[future.key]
            yield waiting.pop(future.key), future

    def _next(self, ended: SimpleQueue[Future[Any]]) -> Future[Any]:
        while True:
            with suppress(Empty):
                return ended.get(timeout=_LOOK_EVERY_S)
            # If the scheduler is gone, the futures report it.
            with suppress(OSError):
                self._look_for_workers()

    def _look_for_workers(self) -> None:
        was_deserted, self._is_deserted = self._is_deserted, not self._client.nthreads()
        if self._is_deserted and not was_deserted:
            logger.warning(
                "No worker is connected with %s. The images wait for one: start some with `dask worker %s`, or press "
                "Ctrl-C to give up.",
                *(self._address, self._address),
            )

    def _require_usable(self, future: Future[Any]) -> None:
        if future.cancelled():
            raise ClusterError(
                f"The scheduler at {self._address} is gone, or has cancelled the tasks. Start it again, and predict "
                "the images that are left."
            )
        if isinstance(error := future.exception(), ClusterError):
            raise error
        if isinstance(error, ImportError):
            raise ClusterError(f"A worker cannot load KnowSAM: {error}. {_remedy()}") from error


def _distributed() -> Any:
    """Return the package, which only clusters need."""
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "Clusters are reached by dask.distributed, which is not installed. Install it with "
            'pip install "napari-knowsam[cluster]".'
        ) from error


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keep dask from logging our own errors, except with --debug."""
    before = {name: logging.getLogger(name).level for name in ("distributed", "distributed.client")}
    try:
        for name in before:
            if not logger.isEnabledFor(logging.DEBUG):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _require_scheduler(distributed: Any, address: str) -> None:
    """Check that a scheduler answers at an address: a client of dask would wait forever for another kind of server."""

    async def ask() -> str:
        arguments = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, connection_args=arguments, timeout=_CONNECT_S) as server:
            return str((await server.identity())["type"])

    try:
        kind = asyncio.run(asyncio.wait_for(ask(), _CONNECT_S))
    # For tls:// without certificates, dask raises a TypeError.
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"No dask scheduler answers at {address}: {str(error) or f'nothing within {_CONNECT_S:.0f} seconds'}. "
            "Start one with `dask scheduler`, and give the address that it logs."
        ) from error
    if kind != "Scheduler":
        raise ClusterError(f"At {address} there is a dask {kind.lower()}. Give the address of the scheduler.")


def _require_same_version(client: Client) -> None:
    """Check the scheduler, which unpacks tasks, and the present workers; tasks check later ones."""
    found = {"the scheduler": _version_of_scheduler(client)}
    found |= {f"the worker {name}": one for name, one in client.run(version, _DISTRIBUTION, on_error="return").items()}
    for name, one in found.items():
        if isinstance(one, ImportError):
            raise ClusterError(f"Where {name} runs, KnowSAM is not installed. {_remedy()}")
        if one != __version__:
            raise ClusterError(f"Where {name} runs, KnowSAM {one} is installed, but {__version__} here. {_remedy()}")


def _version_of_scheduler(client: Client) -> str | ImportError:
    try:
        return str(client.run_on_scheduler(version, _DISTRIBUTION))
    except ImportError as error:
        return error


def _remedy() -> str:
    return f"Install {_DISTRIBUTION} {__version__} there, and start it again."


def _killed(future: Future[Any]) -> Any:
    """Return the scheduler's error for a task that it gave up because workers ended; None if it did not."""
    error = future.exception()
    return error if isinstance(error, _distributed().KilledWorker) else None


def _answer(future: Future[Any]) -> Any:
    if (killed := _killed(future)) is not None:
        raise PredictionError(
            f"Whichever worker predicted it ended, {killed.allowed_failures + 1} times, the last one at "
            f"{killed.last_worker.address}. Most often memory ran out: give each worker more, with fewer of them on a "
            "computer, or look into its log."
        )
    if (error := future.exception()) is not None:
        raise PredictionError(
            f"The worker failed unexpectedly: {error!r}. With --debug, the command line tells where it happened."
        ) from error
    try:
        return future.result()
    except CancelledError as lost:
        raise PredictionError("It was predicted, but the scheduler was lost before that was reported.") from lost
