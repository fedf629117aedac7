"""A napari that keeps its settings in a temporary folder, and volumes and layers with known answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# napari reads these once, when it is first imported.
_home = tempfile.TemporaryDirectory(prefix="napari-knowsam-tests-", ignore_cleanup_errors=True)
for _name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
    os.environ[_name] = _home.name
os.environ["NAPARI_CONFIG"] = str(Path(_home.name) / "settings.yaml")

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from chosen_file import ChosenFile  # noqa: E402
from gui_robot import PAINTED_SAMPLE, PLUGIN, Robot, wait_for_threads  # noqa: E402
from napari.components import ViewerModel  # noqa: E402
from npe2 import PluginManager  # noqa: E402
from opened import Opened  # noqa: E402
from qtpy.QtWidgets import QFileDialog  # noqa: E402
from window_robot import WindowRobot  # noqa: E402

from knowsam.io.image import read_volume  # noqa: E402
from knowsam.io.labels import read_labels  # noqa: E402
from knowsam.io.sample import sample_folder  # noqa: E402
from napari_knowsam.dock_widget import KnowSAMWidget  # noqa: E402
from napari_knowsam.panels.model_dialogs import Unsaved  # noqa: E402

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QApplication

    from knowsam.data.annotation import LabelClass
    from knowsam.data.volume import Volume


def pytest_collection_modifyitems() -> None:
    """Import at once what is otherwise imported within a test, so that it is frozen with the rest."""
    import napari.qt  # noqa: F401

    import knowsam.jobs  # noqa: F401
    from knowsam.training.optimizers import load_ahead

    load_ahead()


def pytest_unconfigure() -> None:
    """Remove the temporary settings."""
    _home.cleanup()


@pytest.fixture(autouse=True)
def autosave_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save and look for what was painted in a folder of the test's own."""
    folder = tmp_path / "data" / "autosave"
    monkeypatch.setattr("napari_knowsam.autosave.default_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def _unsaved_models_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer what is asked before a trained model is lost, which would wait for a person."""
    monkeypatch.setattr("napari_knowsam.model_keeping.ask_unsaved", lambda *_: Unsaved.DISCARD)


@pytest.fixture(scope="session")
def phantom() -> Volume:
    """The image of the sample: (32, 80, 96), its file oblique."""
    return replace(read_volume(sample_folder() / "phantom.nii.gz"), folder=None)


@pytest.fixture(scope="session")
def phantom_labels() -> Volume:
    """The labels of the sample: liver 1, kidneys 2, lesion 3."""
    return read_labels(sample_folder() / "phantom_labels.nii.gz")


@pytest.fixture(scope="session")
def painted(phantom_labels: Volume) -> np.ndarray[Any, Any]:
    """What is painted in the painted sample: three axial slices of its labels."""
    keep = np.zeros(len(phantom_labels.array), dtype=bool)
    keep[[10, 15, 22]] = True
    return np.where(keep[:, None, None], phantom_labels.array, 0)


@pytest.fixture
def nifti_file(tmp_path: Path) -> Callable[..., Path]:
    """Write an array (I, J, K) as a NIfTI file and return its path."""

    def write(name: str, array_ijk: np.ndarray[Any, Any], affine: np.ndarray[Any, Any] | None = None) -> Path:
        path = tmp_path / name
        nib.Nifti1Image(array_ijk, np.eye(4) if affine is None else affine).to_filename(path)
        return path

    return write


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> ChosenFile:
    """Answer the dialogs for files, which would wait for a person."""
    chosen = ChosenFile()
    for name, answer in (
        ("OpenFileName", chosen.file),
        ("SaveFileName", chosen.file),
        ("ExistingDirectory", chosen.folder),
    ):
        monkeypatch.setattr(QFileDialog, f"get{name}", answer)
    return chosen


@pytest.fixture
def viewer(qapp: QApplication) -> ViewerModel:
    """Layers, position and keys of a viewer, without the window, which takes more than a second to open and close."""
    return ViewerModel()


@pytest.fixture
def plugins() -> PluginManager:
    """All installed plugins, which napari itself only looks for when its first window opens."""
    manager = PluginManager.instance()
    manager.discover()
    return manager


@pytest.fixture
def opened(viewer: ViewerModel, tiny: Volume, classes: tuple[LabelClass, ...]) -> Iterator[Opened]:
    opened = Opened(viewer, tiny, classes)
    yield opened
    opened.choice.close()


@pytest.fixture
def make_robot(qapp: QApplication, plugins: PluginManager, qtbot: QtBot) -> Iterator[Callable[..., Robot]]:
    """Open the plugin in a viewer without a window, with a sample or None."""
    robots: list[Robot] = []

    def make(sample: str | None = PAINTED_SAMPLE) -> Robot:
        viewer = ViewerModel()
        if sample is not None:
            viewer.open_sample(PLUGIN, sample)
        robots.append(Robot(viewer, KnowSAMWidget(viewer), qtbot))
        return robots[-1]

    yield make
    for robot in robots:
        robot.widget.close_presenter()
        robot.widget.deleteLater()
    wait_for_threads(qtbot)


@pytest.fixture
def make_window(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> Iterator[Callable[..., WindowRobot]]:
    """Open the plugin in a real window, with a sample or None: slow, so only for what the window itself does."""
    windows: list[WindowRobot] = []

    def make(sample: str | None = PAINTED_SAMPLE) -> WindowRobot:
        windows.append(WindowRobot(make_napari_viewer, qtbot, sample))
        return windows[-1]

    yield make
    for window in windows:
        window.widget.close_presenter()
    windows.clear()
    wait_for_threads(qtbot)


@pytest.fixture
def robot(make_robot: Callable[..., Robot]) -> Robot:
    """The painted sample in a viewer without a window."""
    return make_robot()


@pytest.fixture
def window(make_window: Callable[..., WindowRobot]) -> WindowRobot:
    """The painted sample in a real window."""
    return make_window()
