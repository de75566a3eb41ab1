"""VMs whose vCPUs share the threads of a core two by two, as SAP's guide has it, keep these to themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.model.core_pairs import core_pairs, one_each
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Bound
from placer.planner import solve_fleet

DRAIN = Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})


def in_pairs(build: Any, topology: Any, *, bound: bool = True) -> Any:
    """Return a VM on host a whose four vCPUs have the second and the third core of its first node."""
    pins = {vcpu: topology.cores[1 + vcpu // 2] for vcpu in range(4)}
    now = build.now("a", (0,)) if bound else replace(build.now("a", None), bound=(Bound(),))
    return build.vm("hana", build.spec(4, 2), current=replace(now, pins=pins))


def fleet_of(build: Any, vms: Any, topology: Any, rules: Any = ()) -> Any:
    """Return two hosts alike."""
    return build.fleet([build.host("a", topology), build.host("b", topology)], vms, rules)


def test_groups_are_told_from_plain_sets() -> None:
    """As many vCPUs as CPUs, at least two such groups, and no CPU in another set."""
    pins = {0: frozenset({1, 5}), 1: frozenset({1, 5}), 2: frozenset({2, 6}), 3: frozenset({2, 6})}
    assert core_pairs(pins) == {0, 1, 2, 3}
    assert [min(cpus) for cpus in one_each(pins).values()] == [1, 5, 2, 6]
    assert not core_pairs({0: pins[0], 1: pins[1]})
    assert not core_pairs({**pins, 4: frozenset({6})})


@pytest.mark.parametrize("bound", [True, False])
def test_nobody_comes_to_their_cores(build: Any, bound: bool) -> None:
    """New VMs have the CPUs beside them, and a plan that gives them one of theirs is refused."""
    topology = build.topology(1, 8, threads=2)
    vms = [in_pairs(build, topology, bound=bound), *(build.vm(f"n{n}", build.spec(2, 1)) for n in range(2))]
    fleet = fleet_of(build, vms, topology)
    plan = solve_fleet(fleet, goals="placed,moves,hosts,repins", max_moves=0, time_limit_s=20)
    hana, other = plan.vm_by_name["hana"], plan.vm_by_name["n0"]
    assert {vm.host for vm in plan.vms} == {"a"}
    assert dict(hana.pins) == dict(fleet.vm_by_name["hana"].current.pins)
    theirs = frozenset().union(*hana.pins.values())
    assert not theirs & frozenset().union(*(cpus for vm in plan.vms[1:] for cpus in vm.pins.values()))
    taken = replace(other, pins={**other.pins, 0: frozenset({min(theirs)})})
    damaged = replace(plan, vms=tuple(taken if vm is other else vm for vm in plan.vms))
    assert any("is also pinned for" in str(fault) for fault in check(fleet, damaged).faults)


@pytest.mark.parametrize("bound", [True, False])
def test_groups_come_along(build: Any, bound: bool) -> None:
    """On another host each group has the threads of one core again."""
    topology = build.topology(1, 8, threads=2)
    fleet = fleet_of(build, [in_pairs(build, topology, bound=bound)], topology, [DRAIN])
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (vm,) = plan.vms
    assert vm.host == "b" and [str(fault) for fault in check(fleet, plan).faults] == []
    assert core_pairs(vm.pins) == {0, 1, 2, 3} and set(vm.pins.values()) <= set(topology.cores)


def test_without_whole_cores_each_has_a_cpu(build: Any) -> None:
    """Where siblings are reserved no core is left whole: then each vCPU has one CPU."""
    topology = build.topology(1, 8, threads=2)
    fleet = fleet_of(build, [in_pairs(build, topology)], topology, [DRAIN])
    kept = replace(fleet.hosts[1].reserve, cpus=frozenset(min(core) for core in topology.cores))
    fleet = replace(fleet, hosts=(fleet.hosts[0], replace(fleet.hosts[1], reserve=kept)))
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    (vm,) = plan.vms
    assert vm.host == "b" and all(len(cpus) == 1 for cpus in vm.pins.values())
    assert [str(fault) for fault in check(fleet, plan).faults] == []
