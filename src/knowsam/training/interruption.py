"""Breaking off work that takes seconds, so that pause and stop are obeyed at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Interrupted(Exception):
    """Work was broken off because somebody asked for it; it can be done again."""


class Interruption:
    """A request, from any thread, to break off what is going on in the thread that works.

    One step of a large teacher takes seconds, so a request is not only heeded between steps: networks that are watched
    look for one before each of their layers, on the way forward and on the way back.

    Parameters
    ----------
    meanwhile : what else is to be done wherever work may be broken off.
    """

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._requested = threading.Event()
        self._meanwhile = meanwhile
        self._watched: WeakSet[nn.Module] = WeakSet()

    def request(self) -> None:
        """Ask for the work to be broken off."""
        self._requested.set()

    def clear(self) -> None:
        """Take the request back, before work begins anew."""
        self._requested.clear()

    def check(self) -> None:
        """Break off the work if that was asked for.

        Raises
        ------
        Interrupted
            If it was.
        """
        if self._requested.is_set():
            raise Interrupted
        self._meanwhile()

    def watch(self, network: nn.Module) -> None:
        """Let a network look for a request before each layer; copies of it do so too."""
        for layer in _layers(network):
            if layer not in self._watched:
                self._watched.add(layer)
                layer.register_forward_hook(self._on_layer_done)

    def _on_layer_done(self, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        self.check()
        if torch.is_grad_enabled() and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self._on_gradient)

    def _on_gradient(self, _gradient: Tensor) -> None:
        self.check()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Interruption:
        """Copies of watched networks heed the same requests; an event cannot be copied."""
        return self


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if not list(module.children()))
