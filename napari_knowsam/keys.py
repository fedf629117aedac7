"""Keys for what a person does in every slice; of napari's own, only those that undo and redo a stroke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class Keys:
    """Keys of one viewer, bound until `close`.

    Parameters
    ----------
    viewer : or a layer, of which the keys come before those of the viewer while it is selected.
    actions : what each key does, by its name for napari, for example ``Shift-N``, or its code.
    """

    def __init__(self, viewer: Viewer | Layer, actions: Mapping[str | int, Callable[[], object]]) -> None:
        self._viewer = viewer
        self._keys = tuple(actions)
        for key, action in actions.items():
            viewer.bind_key(key, _ignoring_viewer(action), overwrite=True)

    def close(self) -> None:
        """Give the keys back."""
        for key in self._keys:
            self._viewer.bind_key(key, None)


def _ignoring_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def act(_viewer: Any) -> None:
        action()

    return act
