"""KnowSAM: train a segmentation from a few painted slices and all the unlabelled ones, without a GUI.

`docs/architecture.md` says where to find what; the order in which folders import each other stands in `pyproject.toml`.
"""

from importlib.metadata import version

__version__ = version("napari-knowsam")
