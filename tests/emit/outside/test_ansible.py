"""The Ansible project, read by ansible-playbook and by ansible-lint."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from placer.emit.ansible import INVENTORY, PLAYBOOK, ansible_files
from tests.emit.drained import grown

pytestmark = pytest.mark.platforms


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a project."""
    for name, data in ansible_files(*grown("{}")).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("ansible-playbook", "--syntax-check", "-i", INVENTORY, PLAYBOOK),
        ("ansible-inventory", "-i", INVENTORY, "--list"),
        ("ansible-lint", "--offline", "--strict", "--profile", "production", PLAYBOOK),
    ],
    ids=lambda words: words[0],
)
def test_is_taken(words: tuple[str, ...], project: Path, tool: Callable[[str], Path]) -> None:
    """Nothing is found fault with, at the strictest profile."""
    program = tool(f"bin/{words[0]}")
    home = {**os.environ, "HOME": str(project), "ANSIBLE_HOME": str(project / "home"), "LC_ALL": "C.UTF-8"}
    home["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run([program, *words[1:]], cwd=project, env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
