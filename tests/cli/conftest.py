"""The command in process: arguments in, exit code and both streams out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from placer.cli.app import main

INVENTORY = """\
schema: placer.inventory/v1
hosts:
  - name: kvm-a
    nodes:
      - {id: 0, cpus: "0-3", memory: 16GiB}
      - {id: 1, cpus: "4-7", memory: 16GiB}
    distances: [[10, 21], [21, 10]]
    reserve: {cpus: "0,4", memory: 1GiB}
vms:
  - {name: db, vcpus: 2, memory: 4GiB, cells: none}
  - {name: web, count: 2, vcpus: 1, memory: 1GiB}
"""


@dataclass(frozen=True)
class Run:
    """What a run of placer gave."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """Standard output as the one JSON envelope that it must be."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def placer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Return a function that runs placer with the given arguments."""

    def run(*arguments: str | Path) -> Run:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        streams = capsys.readouterr()
        return Run(code=code, out=streams.out, err=streams.err)

    return run


@pytest.fixture
def fleet_file(tmp_path: Path) -> Path:
    """Return a small inventory that can be planned at once."""
    path = tmp_path / "fleet.yaml"
    path.write_text(INVENTORY)
    return path


@pytest.fixture
def plan_file(placer: Callable[..., Run], fleet_file: Path) -> Path:
    """Return a plan of the small inventory, beside it."""
    path = fleet_file.with_name("plan.json")
    assert placer("solve", fleet_file, "-o", path, "-q").code == 0
    return path
