"""The napari plugin of KnowSAM."""

from importlib.metadata import version

__version__ = version("napari-knowsam")
