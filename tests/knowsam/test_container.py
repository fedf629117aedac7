"""What can be known of the container without building it: that its recipe agrees with the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "container" / "Containerfile"
TEXT = re.sub(r"\\\n\s*", "", RECIPE.read_text(encoding="utf-8"))
COPIED = [name for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", TEXT) for name in line.split()[:-1]]


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_is_there_and_not_left_out_of_the_build(name: str) -> None:
    assert (ROOT / name).exists()
    sent = RECIPE.with_name(f"{RECIPE.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    assert f"!{name}" in sent


def test_all_that_the_wheel_takes_from_the_repository_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["force-include"], project["project"]["readme"]]
    assert {Path(name).parts[0] for name in needed} <= {Path(name).parts[0] for name in COPIED}


def test_the_extras_that_are_installed_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (extras,) = re.findall(r"'\.\[(.+)\]' -c constraints\.txt", TEXT)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_what_is_started_is_a_command_of_the_project_and_not_by_root() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (entry,) = re.findall(r'(?m)^ENTRYPOINT \["(.+)"\]$', TEXT)
    assert entry in project["project"]["scripts"]
    assert TEXT.index("USER knowsam") > TEXT.index("useradd")


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
@pytest.mark.parametrize("command", re.findall(r"(?m)^RUN (.+)$", TEXT))
def test_a_shell_understands_each_command(command: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
