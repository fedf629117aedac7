"""Who may import whom, checked from outside: a fresh interpreter shows what an import really loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6")


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_import_contracts_of_pyproject_hold() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "module", ["knowsam", "knowsam.config", "knowsam.cli", "knowsam.document.annotation_document", "napari_knowsam"]
)
def test_a_light_module_loads_no_torch_no_qt_and_no_napari(module: str) -> None:
    assert modules_loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_the_numbers_of_a_result_load_no_torch_before_they_are_asked_for() -> None:
    assert modules_loaded_by("import knowsam.inference.metrics").isdisjoint(HEAVY)
