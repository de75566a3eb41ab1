"""Thread policies as the checker reads them: whole cores a cell, and `require` on hosts with SMT only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.check.fits import impossible_vms
from placer.model.plan import PlanCell
from placer.model.vm import ThreadPolicy
from placer.planner import solve_fleet


def one(cpu: int) -> frozenset[int]:
    """Return the cpuset of one CPU."""
    return frozenset({cpu})


def faults(build: Any, policy: ThreadPolicy, pins: list[int], cells: int) -> list[str]:
    """Return what is wrong with a VM of so many cells on one node, pinned so: nodes are of the CPUs 0-3 and 4-7."""
    spec = build.spec(len(pins), 1, cells, thread_policy=policy, share_node=True)
    fleet = build.fleet([build.host()], [build.vm("v", spec)])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
    each = len(pins) // cells
    made = tuple(
        PlanCell(
            id=n,
            vcpus=frozenset(range(n * each, n * each + each)),
            memory_kib=spec.memory_kib // cells,
            mode="strict",
            nodes={0: spec.memory_kib // cells},
        )
        for n in range(cells)
    )
    planned = replace(
        plan.vms[0],
        cells=made,
        pins={vcpu: one(cpu) for vcpu, cpu in enumerate(pins)},
        emulator=frozenset(pins),
    )
    return [str(fault) for fault in check(fleet, replace(plan, vms=(planned,))).faults if "policy" in str(fault)]


@pytest.mark.parametrize("policy", [ThreadPolicy.REQUIRE, ThreadPolicy.PAIRS])
def test_cells_fill_cores_of_their_own(build: Any, policy: ThreadPolicy) -> None:
    """Two cells of one vCPU take a core each; together on one they share it, and one cell may leave one core partly
    empty, not two.
    """
    assert not faults(build, policy, [0, 2], 2)
    assert "cells 0 and 1 are on the core of CPUs 0-1" in faults(build, policy, [0, 1], 2)[0]
    assert not faults(build, policy, [0, 1, 2], 1)
    assert "leaves 2 cores of node 0 partly empty" in faults(build, policy, [0, 2], 1)[0]


def test_require_goes_to_no_host_without_smt(build: Any) -> None:
    """As in OpenStack `require` needs a host with siblings; `pairs` does not, and what runs there may stay."""
    plain = build.topology(threads=1)
    require = build.spec(2, 1, thread_policy=ThreadPolicy.REQUIRE)
    fleet = build.fleet([build.host(topology=plain)], [build.vm("v", require)])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
    assert [unplaced.name for unplaced in plan.unplaced] == ["v"]
    assert "thread siblings" in impossible_vms(fleet)["v"]
    pairs = build.spec(2, 1, thread_policy=ThreadPolicy.PAIRS)
    other = build.fleet(fleet.hosts, [build.vm("v", pairs)])
    placed = solve_fleet(other, goals="placed", time_limit_s=20)
    assert not placed.unplaced
    assert not impossible_vms(other)
    forged = replace(placed, fleet_digest=fleet.digest)
    assert any("no core of the host has a sibling" in str(fault) for fault in check(fleet, forged).faults)
    here = build.vm("v", require, current=build.now("a", (0,), pins={0: one(0), 1: one(1)}))
    stays = build.fleet(fleet.hosts, [here])
    assert check(stays, solve_fleet(stays, goals="placed,moves", time_limit_s=20)).ok
