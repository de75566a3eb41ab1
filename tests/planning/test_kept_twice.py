"""VMs that keep the same CPUs: what shares a CPU in any plan is in the bound of what has no place."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.check.check import check
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.planning.decode.certificate import check_certificate
from placer.read.inventory.inventory import read_fleet

FLEET = """schema: placer.inventory/v1
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}, {id: 1, cpus: "8-15", memory: 16GiB}]}]
vms:
  - {name: a, vcpus: 3, memory: 2GiB, cells: none, host: h, pins: {0: "1", 1: "2", 2: "9"}%s}
  - {name: b, vcpus: 3, memory: 2GiB, cells: none, host: h, pins: {0: "2", 1: "10", 2: "9"}%s}
"""


def solved(tmp_path: Path, *more: str, moves: int = 0) -> Plan:
    """Return the plan of two VMs over two nodes that have CPUs 2 and 9 both, which `check` accepts."""
    path = tmp_path / "f.yaml"
    path.write_text(FLEET % more)
    fleet = read_fleet(path)
    plan = solve_fleet(fleet, goals="placed,excess", max_moves=moves, time_limit_s=20)
    assert check(fleet, plan).ok and not check_certificate(fleet, plan)[0]
    return plan


def test_cpus_that_two_keep_are_proven_to_be_short(tmp_path: Path) -> None:
    """No VM may leave, and what spans nodes keeps its pins: two vCPUs share, whatever a plan does."""
    goal = solved(tmp_path, "", "").goal("excess")
    assert (goal.value, goal.bound, goal.status) == (2, 2, "optimal")
    assert goal.source == "VMs that keep the same CPUs"


@pytest.mark.parametrize(("first", "least"), [("", 0), (", movable: false", 0)])
def test_who_may_leave_is_not_counted(tmp_path: Path, first: str, least: int) -> None:
    """One that may go elsewhere takes its CPUs along, so nothing is proven of those that it shares."""
    assert solved(tmp_path, first, "", moves=2).goal("excess").bound == least


def test_two_that_may_not_move_keep_theirs_whatever_others_may(tmp_path: Path) -> None:
    """A limit on moves of others changes nothing of them."""
    plan = solved(tmp_path, ", movable: false", ", movable: false", moves=2)
    assert (plan.goal("excess").value, plan.goal("excess").bound) == (2, 2)
