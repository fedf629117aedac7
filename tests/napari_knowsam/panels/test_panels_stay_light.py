from __future__ import annotations

import subprocess
import sys

import pytest

_MODULES = (
    "napari_knowsam.panels.annotate_panel",
    "napari_knowsam.panels.train_panel",
    "napari_knowsam.panels.result_panel",
    "napari_knowsam.panels.config_form",
)


@pytest.mark.parametrize("module", _MODULES)
def test_a_panel_can_be_imported_first_and_brings_neither_torch_nor_napari(module: str) -> None:
    heavy = "{'torch', 'napari', 'vispy'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
