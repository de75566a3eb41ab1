"""What runs stays as it is where nothing may change, whatever it is and whatever rules and goals there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer.check.check import check
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet

HOSTS = """
schema: placer.inventory/v1
hosts:
  - {name: a, labels: {rack: r1}, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, memory: 4GiB}]}
  - {name: b, labels: {rack: r2}, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, memory: 4GiB}]}
"""
BESIDE_CXL = (
    HOSTS
    + """
vms:
  - {name: v, vcpus: 2, memory: 2GiB, cells: none, interleave: 2, memory_tier: any, host: a, nodes: [0, 0],
     memory_nodes: [1, 0]}
"""
)
SOFT = (
    HOSTS
    + """
rules:
  - {even: {app: x}, scope: rack, soft: true}
  - {anti_affinity: {app: x}, scope: rack}
vms:
  - {name: v, vcpus: 1, memory: 1GiB, labels: {app: x}, host: a, nodes: [0]}
  - {name: w, vcpus: 1, memory: 1GiB, labels: {app: x}, host: a, nodes: [0]}
"""
)
ALL_FIXED = """
schema: placer.inventory/v1
rules:
  - {share: {app: x}, scope: host, max_vcpus: 5}
hosts:
  - {name: a, nodes: [{id: 0, cpus: "0-5", memory: 2GiB}, {id: 1, cpus: "6-8", memory: 8GiB}]}
vms:
  - {name: v, vcpus: 1, memory: 3GiB, labels: {app: x}, host: a, nodes: [1], pins: {0: "7"}, movable: "false"}
"""
ODD_CORES = """
schema: placer.inventory/v1
hosts:
  - {name: a, nodes: [{id: 0, cpus: "0-10", memory: 8GiB}], siblings: ["0-2", "3-6", "7-10"], reserve: {cpus: "6"}}
vms:
  - {name: v, vcpus: 6, memory: 1GiB, thread_policy: require, host: a, nodes: [0], movable: "false"}
"""


@pytest.mark.parametrize(
    ("text", "goals"),
    [
        (BESIDE_CXL, "placed,remote,moves"),
        (SOFT, "placed,rules,soft,moves"),
        (ALL_FIXED, "placed,excess,rules,remote,moves"),
        (ODD_CORES, "placed,excess,moves"),
    ],
    ids=[
        "interleaved over DRAM and CXL",
        "a soft rule beside a broken one",
        "nothing that may move",
        "cores of three and four",
    ],
)
def test_nothing_changes(tmp_path: Path, text: str, goals: str) -> None:
    """The plan is the fleet as it stands, and the checker agrees."""
    (tmp_path / "fleet.yaml").write_text(text)
    fleet = read_fleet(tmp_path / "fleet.yaml")
    plan = solve_fleet(fleet, goals=goals, max_moves=0, max_repins=0, time_limit_s=600, workers=1)
    assert [vm.change.value for vm in plan.vms] == ["none"] * len(fleet.vms) and check(fleet, plan).ok


def test_a_soft_rule_beside_one_that_moves_mend(tmp_path: Path) -> None:
    """Mending a broken rule looks at hard ones alone: an even spread that is soft has no domains counted."""
    (tmp_path / "fleet.yaml").write_text(SOFT)
    plan = solve_fleet(read_fleet(tmp_path / "fleet.yaml"), goals="placed,rules,soft,moves", max_moves=1)
    assert plan.goal("rules").value == 0
