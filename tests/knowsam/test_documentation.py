"""What the documentation points to is there; `make lint` builds the site as well."""

from __future__ import annotations

import re
from pathlib import Path
from pydoc import locate

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_the_reference_to_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    names = re.findall(r"(?m)^::: (\S+)", text)
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [name for name in names if locate(name) is None]
