"""A VM that comes together with its memory goes to the memory where that has room: new pins, no restart, no copy."""

from __future__ import annotations

from typing import Any

import pytest

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.planner import solve_fleet
from tests.building import Build


def _apart(build: Build, vcpus: int = 2) -> Any:
    """Return a VM with its vCPUs on node 0 and its memory on node 1."""
    pins = {vcpu: frozenset({vcpu}) for vcpu in range(vcpus)}
    now = build.now("a", (0,), memory_nodes=(1,), pins=pins)
    return build.vm("apart", build.spec(vcpus=vcpus, memory_gib=4), current=now, running=True)


def _plan(fleet: Fleet) -> Plan:
    plan = solve_fleet(fleet, goals="placed,remote,moves", max_moves=1, time_limit_s=20)
    assert check(fleet, plan).ok
    assert (plan.status, plan.goal("remote").value) == ("optimal", 0)
    return plan


def _memory(plan: Plan) -> set[int]:
    (apart,) = [vm for vm in plan.vms if vm.name == "apart"]
    return {node for cell in apart.cells for node in cell.nodes}


@pytest.mark.parametrize(
    "busy", [0, 1], ids=["beside others on the old node", "beside others on the node of the memory"]
)
def test_the_memory_stays_where_its_node_has_cpus(build: Build, busy: int) -> None:
    """Wherever the engines put it, CPUs of node 1 are free, and the memory is there."""
    other = {vcpu: frozenset({8 * busy + 4 + vcpu}) for vcpu in range(2)}
    stays = build.vm("stays", build.spec(memory_gib=1), current=build.now("a", (busy,), pins=other))
    plan = _plan(build.fleet([build.host("a", build.topology(nodes=2, cpus=8))], [_apart(build), stays]))
    assert _memory(plan) == {1}
    assert {vm.name: vm.change for vm in plan.vms} == {"apart": Change.RENODE, "stays": Change.NONE}


def test_the_memory_moves_where_its_node_has_no_cpus(build: Build) -> None:
    """Node 1 is taken by a VM that nobody may move: the plan is as good, and the memory comes to the vCPUs."""
    pins = {vcpu: frozenset({8 + vcpu}) for vcpu in range(8)}
    held = build.vm("held", build.spec(vcpus=8, memory_gib=1), current=build.now("a", (1,), pins=pins))
    plan = _plan(build.fleet([build.host("a", build.topology(nodes=2, cpus=8))], [_apart(build), held]))
    assert _memory(plan) == {0}
