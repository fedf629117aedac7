"""The examples in docstrings are right."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "src" / "knowsam", ROOT / "napari_knowsam")
FILES = sorted(
    file.relative_to(package.parent)
    for package in PACKAGES
    for file in package.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_examples_of_a_module_are_right(file: Path) -> None:
    results = doctest.testmod(import_module(".".join(file.with_suffix("").parts)))
    assert results.attempted > 0
    assert results.failed == 0
