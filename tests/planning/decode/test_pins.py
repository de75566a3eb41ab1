"""Pins under rules over L3 domains: what is broken may stay, fixed pins count, untold domains are one a node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.check.check import check
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, ThreadPolicy
from placer.planner import solve_fleet

TOGETHER = Rule(kind=RuleKind.AFFINITY, members={"app": "x"}, scope="l3")
APART = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, scope="l3")
MEMBER = {"labels": {"app": "x"}}


def test_an_affinity_broken_now_may_stay(build: Any) -> None:
    """A VM alone on its cores is in two L3 domains of each node, and its pins are not known: it stays, as it may."""
    host = build.host(topology=build.topology(l3_cpus=2))
    spec = build.spec(4, 2, 2, thread_policy=ThreadPolicy.ISOLATE, **MEMBER)
    fleet = build.fleet([host], [build.vm("v", spec, current=build.now("a", (0, 1)))], [TOGETHER])
    plan = solve_fleet(fleet, goals="rules,moves", max_moves=1, time_limit_s=20)
    assert len(plan.vms) == 1
    assert check(fleet, plan).ok


def test_fixed_pins_say_in_which_domain_an_affinity_is(build: Any) -> None:
    """A member pinned for good is in the second L3 domain: the new one goes there, and with anti-affinity does not."""
    host = build.host(topology=build.topology(nodes=1, cpus=8, l3_cpus=4))
    pins = {0: frozenset({6})}
    fixed = build.vm("fixed", build.spec(1, 1, **MEMBER), current=build.now("a", (0,), pins=pins), pins_fixed=True)
    for rule, domain in ((TOGETHER, {4, 5, 7}), (APART, {0, 1, 2, 3})):
        fleet = build.fleet([host], [fixed, build.vm("new", build.spec(1, 1, **MEMBER))], [rule])
        plan = solve_fleet(fleet, goals="placed,rules", time_limit_s=20)
        assert plan.vm_by_name["new"].pins[0] <= domain
        assert check(fleet, plan).ok


def test_untold_domains_are_one_a_node(build: Any) -> None:
    """On a host that tells no L3 two members lie on one node, or with anti-affinity on two; the checker counts so."""
    host = build.host(topology=replace(build.topology(), l3=()))
    for rule, nodes in ((TOGETHER, 1), (APART, 2)):
        spec = build.spec(2, 1, **MEMBER)
        fleet = build.fleet([host], [build.vm("v", spec), build.vm("w", spec)], [rule])
        plan = solve_fleet(fleet, goals="placed,rules", time_limit_s=20)
        assert len({node for vm in plan.vms for node in vm.cells[0].nodes}) == nodes
        other = build.fleet(fleet.hosts, fleet.vms, [APART if rule is TOGETHER else TOGETHER])
        assert not check(other, replace(plan, fleet_digest=other.digest)).ok


def test_what_shared_vcpus_float_over_is_no_proof(build: Any) -> None:
    """Whether a floating member is in one L3 domain depends on who takes the others: if left out, nothing says it must
    be.
    """
    host = build.host(topology=build.topology(nodes=1, cpus=2, threads=1, l3_cpus=1))
    floats = build.vm("floats", build.spec(1, 1, cpu_policy=CpuPolicy.SHARED, **MEMBER))
    fleet = build.fleet([host], [floats, build.vm("pinned", build.spec(1, 1))], [TOGETHER])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
    assert plan.goals[0].bound == 0
    assert check(fleet, plan).ok


def test_an_affinity_broken_now_is_no_proof(build: Any) -> None:
    """A member is in two L3 domains of a full node now, and may be in one of them: then the other member may be on
    another host, so nothing says that it has no place.
    """
    host = build.host(topology=build.topology(nodes=1, cpus=8, l3_cpus=4))
    other = build.host("b", build.topology(nodes=1, cpus=4))
    pins = {vcpu: frozenset({cpu}) for vcpu, cpu in enumerate((0, 1, 4, 5))}
    member = build.vm("m", build.spec(4, 1, **MEMBER), current=build.now("a", (0,), pins=pins))
    full = build.vm("full", build.spec(4, 1), current=build.now("a", (0,)))
    new = build.vm("new", build.spec(2, 1, **MEMBER))
    fleet = build.fleet([host, other], [member, full, new], [TOGETHER])
    plan = solve_fleet(fleet, goals="placed", time_limit_s=20)
    assert plan.goals[0].bound == 0
    assert check(fleet, plan).ok
