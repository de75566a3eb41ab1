"""With no move and no re-pin allowed nothing changes, whatever else a fleet has."""

from __future__ import annotations

from typing import Any

from placer.check.check import check
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import ThreadPolicy
from placer.planner import solve_fleet


def unchanged(fleet: Fleet) -> Plan:
    """Return the plan that may change nothing, having seen that it does not and that the checker agrees."""
    plan = solve_fleet(fleet, max_moves=0, max_repins=0, time_limit_s=20)
    running = {vm.name for vm in fleet.vms if is_present(fleet, vm)}
    assert [vm.name for vm in plan.vms if vm.name in running and vm.change.value != "none"] == []
    assert check(fleet, plan).ok
    return plan


def test_siblings_left_idle_are_nobody_elses(build: Any) -> None:
    """A VM that is alone on its cores and stays there leaves their siblings idle: a newcomer goes elsewhere."""
    host = build.host(topology=build.topology(1, 8))
    alone = build.spec(2, 2, thread_policy=ThreadPolicy.ISOLATE)
    pins = {0: frozenset({1}), 1: frozenset({2})}
    stays = build.vm("stays", alone, current=build.now(pins=pins))
    plan = unchanged(build.fleet([host], [stays, build.vm("new", build.spec(1, 2))]))
    assert plan.vm_by_name["new"].pins[0] <= {4, 5, 6, 7}


def test_a_reserve_changes_no_pins(build: Any) -> None:
    """CPUs that are not known stay so in the plan that keeps room for a failure, too."""
    hosts = [build.host(name) for name in "abc"]
    vms = [build.vm(f"v{n}", build.spec(2, 2), current=build.now(name)) for n, name in enumerate("ab")]
    unchanged(build.fleet(hosts, vms, [Rule(kind=RuleKind.RESERVE, fail=1)]))


def test_a_repin_takes_a_goal_that_gets_better_by_it(build: Any) -> None:
    """Of two VMs on the same CPU one gets another where excess counts; where nothing does both keep theirs."""
    now = build.now(pins={0: frozenset({0})})
    vms = [build.vm(name, build.spec(1, 1), current=now) for name in "uv"]
    fleet = build.fleet([build.host()], vms)
    plan = solve_fleet(fleet, time_limit_s=20)
    assert [(goal.name, goal.value) for goal in plan.goals][1::4] == [("excess", 0), ("repins", 1)]
    assert plan.goal("repins").status == "feasible" and check(fleet, plan).ok
    kept = solve_fleet(fleet, goals="placed,remote,repins", time_limit_s=20)
    assert kept.goal("repins").value == 0 and kept.status == "optimal"
    assert {vm.change.value for vm in kept.vms} == {"none"}
