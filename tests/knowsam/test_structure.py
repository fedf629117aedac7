"""Who may import whom, checked from outside: a fresh interpreter shows what an import really loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIGHT = (
    "knowsam.config",
    "knowsam.cli",
    "knowsam.document.annotation_document",
    "knowsam.inference.metrics",
    "napari_knowsam",
)
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


def test_a_light_module_loads_no_torch_no_qt_and_no_napari() -> None:
    assert modules_loaded_by(f"import {', '.join(LIGHT)}").isdisjoint(HEAVY)


def test_the_table_of_teachers_loads_no_package_that_only_some_of_them_need() -> None:
    assert modules_loaded_by("import knowsam.models.teachers").isdisjoint({"transformers", "huggingface_hub"})
