"""Single results of a long benchmark, kept in one JSON file that runs in any number and order add to."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import Field, asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from knowsam.io.atomic import written_whole


class Result(Protocol):
    """A frozen dataclass with what tells it from other results."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def key(self) -> Hashable:
        """The conditions it was measured in."""


R = TypeVar("R", bound=Result)


class ResultStore(Generic[R]):
    """The results of one benchmark; one measured again in the same conditions replaces the one before.

    Parameters
    ----------
    path : the JSON file, there or not; None keeps everything in memory.
    kind : dataclass of one result.
    """

    def __init__(self, path: Path | None, kind: type[R]) -> None:
        self._path, self._kind = path, kind
        self._known: dict[Hashable, R] = {}

    @property
    def results(self) -> list[R]:
        """All results there are by now."""
        self._read()
        return list(self._known.values())

    def __contains__(self, key: Hashable) -> bool:
        self._read()
        return key in self._known

    def add(self, result: R) -> None:
        """Keep a result; several processes may do so at once."""
        with self._alone():
            self._read()
            self._known[result.key] = result
            self._write()

    def _read(self) -> None:
        if self._path is None or not self._path.exists():
            return
        stored = [self._kind(**_hashable(entry)) for entry in json.loads(self._path.read_text())]
        self._known = {result.key: result for result in stored}

    def _write(self) -> None:
        if self._path is None:
            return
        with written_whole(self._path) as complete:
            lines = ",\n".join(json.dumps(asdict(result)) for result in self._known.values())
            complete.write_text(f"[\n{lines}\n]\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out of the folder while the file is read and replaced."""
        if self._path is None:
            yield
            return
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _hashable(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
