"""KnowSAM: train a segmentation from a few painted slices and all the unlabelled ones, without a GUI.

The folders stand in the order in which data flows: `io` -> `data` -> `models` -> `training` -> `inference` -> `cli`.
"""

from importlib.metadata import version

__version__ = version("napari-knowsam")
