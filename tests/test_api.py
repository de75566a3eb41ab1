"""The public API: what the README shows, imported only when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import placer

HEAVY = {"ortools", "pandas", "networkx", "numpy", "pydantic", "lxml", "yaml", "rich", "typer"}


def test_import_is_cheap() -> None:
    """``import placer`` brings in nothing that takes time."""
    script = "import sys, placer; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=1800)
    assert {name.partition(".")[0] for name in run.stdout.split()}.isdisjoint(HEAVY)


def test_everything_offered_is_there() -> None:
    """Every name of ``__all__`` can be had, ``dir`` lists them, and others raise as on any module."""
    assert sorted(dir(placer)) == sorted(placer.__all__)
    for name in placer.__all__:
        assert getattr(placer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        placer.nope  # noqa: B018


def test_main_job_from_python(repository: Path, tmp_path: Path) -> None:
    """Read, solve, check, write and read again: the lines of the README."""
    fleet = placer.read_fleet(repository / "data" / "two-node.yaml")
    plan = placer.solve(fleet, time_limit_s=30)
    assert not plan.unplaced
    assert placer.check(fleet, plan).ok
    placer.write_plan(plan, tmp_path / "plan.json")
    assert placer.read_plan(tmp_path / "plan.json").vms == plan.vms
    frame = plan.to_frame()
    assert len(frame) == sum(vm.spec.vcpus for vm in fleet.vms)
    assert set(frame["affinity"]) == {"hard", "floating"}
