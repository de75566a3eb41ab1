"""Isolated emulator threads of VMs that stay: CPUs of their own are kept, and where they get some it is a re-pin."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.check.check import check
from placer.model.plan import Change
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet

HOST = """schema: placer.inventory/v1
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 8GiB}], reserve: {cpus: "0"}}]
vms:
  - {name: a, vcpus: 2, memory: 1GiB, emulator_threads: isolate, host: h, nodes: [0], pins: {0: "2", 1: "3"},
     emulator: "%s"}
"""


@pytest.mark.parametrize(
    ("now", "then", "change", "repins"),
    [("4", {4}, Change.NONE, 0), ("4-5", {4, 5}, Change.NONE, 0), ("0-7", {1}, Change.REPIN, 1)],
)
def test_what_they_have_stays_or_counts(tmp_path: Path, now: str, then: set[int], change: Change, repins: int) -> None:
    """CPUs of their own stay, be they two; of a set that holds others' CPUs they get one, and the goal says so."""
    path = tmp_path / "fleet.yaml"
    path.write_text(HOST % now, encoding="utf-8")
    fleet = read_fleet(path)
    plan = solve_fleet(fleet, goals="placed,remote,repins", time_limit_s=20)
    (vm,) = plan.vms
    assert vm.pins == {0: frozenset((2,)), 1: frozenset((3,))}
    assert vm.emulator == frozenset(then)
    assert vm.change is change
    assert plan.goal("repins").value == repins
    assert check(fleet, plan).ok
    assert not [text for text in plan.warnings if "fault" in text]
