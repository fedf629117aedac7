from __future__ import annotations

from pathlib import Path

from npe2 import PluginManifest

ROOT = Path(__file__).parents[2]


def test_the_installed_manifest_is_valid_and_names_what_can_be_imported() -> None:
    manifest = PluginManifest.from_distribution("napari-knowsam")
    manifest.validate_imports()
    assert manifest.name == "napari-knowsam"
    assert manifest.display_name == "KnowSAM"


def test_the_manifest_at_the_root_is_the_one_of_the_package() -> None:
    root = ROOT / "napari.yaml"
    assert root.resolve() == ROOT / "napari_knowsam" / "napari.yaml"
    assert not root.readlink().is_absolute()
