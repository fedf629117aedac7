from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "napari_knowsam"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-knowsam")


def test_the_installed_manifest_is_valid(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-knowsam"
    assert manifest.display_name == "KnowSAM"


def test_the_manifest_passes_the_check_of_npe2() -> None:
    done = subprocess.run([sys.executable, "-m", "npe2", "validate", str(PACKAGE / "napari.yaml")], capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_everything_the_manifest_names_can_be_called(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands or ():
        module, _, name = str(command.python_name).partition(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_the_manifest_at_the_root_is_the_one_of_the_package() -> None:
    root = ROOT / "napari.yaml"
    assert root.resolve() == PACKAGE / "napari.yaml"
    assert not root.readlink().is_absolute()


def test_no_entry_point_loads_torch(manifest: PluginManifest) -> None:
    modules = {str(command.python_name).partition(":")[0] for command in manifest.contributions.commands or ()}
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
