"""Explain: verdicts on other places agree with solves that force the VM there; prices and costs add up."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import pytest
from small_fleets import small_fleet, small_live_fleet

from placer.errors import ImpossibleError, InputError
from placer.explain.alternatives import Alternative, Verdict, alternatives
from placer.explain.explain import explain_fleet, explain_vm
from placer.measure.moved import is_present
from placer.measure.score import PlanValues
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Movable
from placer.planner import solve_fleet
from placer.planning.after import fleet_after

Build = Any
MOVES = 200
GOALS = ("placed", "rules", "remote", "hosts", "moves")


def forced(fleet: Fleet, plan: Plan, name: str, host: str) -> Plan | None:
    """Return the best plan with the VM on this host and all others where the plan has them; None: there is none."""
    planned = plan.vm_by_name
    vms = tuple(
        fleet.vm_by_name[vm.name] if vm.name == name else dataclasses.replace(vm, movable=Movable.NO)
        for vm in fleet_after(fleet, plan).vms
        if vm.name in planned or vm.name == name
    )
    rule = Rule(kind=RuleKind.WITHIN, members={"name": name}, hosts={"name": host}, name="forced")
    left = tuple(r for r in fleet.rules if any(r.covers(vm.name, vm.spec.labels) for vm in vms))
    alone = dataclasses.replace(fleet, vms=vms, rules=(*left, rule))
    try:
        found = solve_fleet(alone, goals=("rules", "placed", "remote", "hosts", "moves"), max_moves=1, time_limit_s=20)
    except ImpossibleError:
        return None
    at = found.vm_by_name.get(name)
    if at is None or at.host != host:
        return None
    assert found.status == "optimal"
    return dataclasses.replace(plan, vms=found.vms, unplaced=tuple(u for u in plan.unplaced if u.name != name))


def change(fleet: Fleet, plan: Plan, other: Plan) -> tuple[str, float] | None:
    """Return the first goal in which two plans differ, and by how much; tiers of `placed` and `moves` in order."""
    was, now = PlanValues(fleet, plan), PlanValues(fleet, other)
    for goal in GOALS:
        tiers = list(zip(was.tiers(goal), now.tiers(goal), strict=True)) or [
            ((goal, was.value(goal) or 0.0), (goal, now.value(goal) or 0.0))
        ]
        for (_, before), (_, after) in tiers:
            if abs(after - before) > 1e-5:
                return goal, after - before
    return None


def best_on(places: Sequence[Alternative], host: str) -> Alternative:
    """Return the first (best) place on a host, a planned one aside."""
    return next(place for place in places if host in place.hosts)


def fleet_of(seed: int) -> tuple[Fleet, Plan]:
    """Return a small fleet, every other one live, and a plan of it."""
    fleet = small_live_fleet(seed) if seed % 2 else small_fleet(seed)
    goals = ",".join(GOALS)
    return fleet, solve_fleet(fleet, goals=goals, max_moves=9 if seed % 2 else None, time_limit_s=20)


@pytest.mark.slow
def test_verdicts_agree_with_forced_solves() -> None:
    """On 200 random moves: BLOCKED where no plan exists with the VM there, else the same first goal by as much."""
    rng = random.Random(8)
    looked = seed = 0
    seen: set[Verdict] = set()
    while looked < MOVES:
        seed += 1
        fleet, plan = fleet_of(seed)
        free = [vm for vm in fleet.vms if not (is_present(fleet, vm) and vm.movable is Movable.NO)]
        for vm in rng.sample(free, min(3, len(free))):
            host = rng.choice(fleet.hosts).name
            planned = plan.vm_by_name.get(vm.name)
            if planned is not None and planned.host == host:
                continue
            looked += 1
            place = best_on(alternatives(fleet, plan, vm.name).places, host)
            seen.add(place.verdict)
            other = forced(fleet, plan, vm.name, host)
            where = f"seed {seed}, {vm.name} to {host}: {place}"
            assert (other is None) == (place.verdict is Verdict.BLOCKED), where
            if other is None or planned is None:
                continue
            differs = change(fleet, plan, other)
            if differs is None:
                assert place.verdict is Verdict.SAFE and place.goal is None, where
                continue
            goal, by = differs
            assert place.goal is not None and place.goal.partition(" ")[0] == goal, (where, differs)
            assert place.by == pytest.approx(by, abs=1e-5), (where, differs)
            assert place.verdict is (Verdict.WORSE if by > 0 else Verdict.SAFE), where
    assert seen == set(Verdict)


def test_blocked_names_who_holds_the_place(build: Build) -> None:
    """A full node is blocked by the VMs on it, a rule by its other members, a drained host by its rule."""
    hosts = [build.host("a"), build.host("b"), build.host("c")]
    apart = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, name="apart")
    drain = Rule(kind=RuleKind.DRAIN, hosts={"name": "c"}, name="empty c")
    labels = {"app": "x"}
    vms = [
        build.vm("big", build.spec(4, 2, labels=labels), current=build.now("a", (0,))),
        build.vm("full", build.spec(4, 2), current=build.now("a", (1,))),
        build.vm("other", build.spec(4, 2, labels=labels), current=build.now("b", (0,))),
    ]
    fleet = build.fleet(hosts, vms, [apart, drain])
    plan = solve_fleet(fleet, goals="placed,rules,remote,moves", max_moves=3)
    places = {place.hosts[0]: place for place in alternatives(fleet, plan, "big").places if not place.planned}
    assert places["a"].verdict is Verdict.BLOCKED
    assert (places["a"].cpu_nodes, places["a"].whom) == ((1,), ("full",))
    assert "apart" in str(places["b"].constraint) and places["b"].whom == ("other",)
    assert "empty c" in str(places["c"].constraint)


def test_immovable_vm_is_blocked_everywhere(build: Build) -> None:
    """A VM that must not move says so, with its reason."""
    vm = build.vm("v", current=build.now("a"), movable=Movable.NO, movable_why=("hostdev",))
    fleet = build.fleet([build.host("a"), build.host("b")], [vm])
    (place,) = alternatives(fleet, solve_fleet(fleet), "v").places
    assert place.verdict is Verdict.BLOCKED and "hostdev" in str(place.constraint) and place.hosts == ("b",)


def test_what_moved_a_vm(build: Build) -> None:
    """A VM whose memory is far moves for the goal ``remote``, and the explanation says by how much staying is worse."""
    far = build.vm("v", build.spec(2, 2), current=build.now("a", (0,), memory_nodes=(1,)))
    fleet = build.fleet([build.host("a")], [far])
    plan = solve_fleet(fleet, max_moves=1)
    told = explain_vm(fleet, plan, "v")
    assert told.moved_by is not None and "remote" in told.moved_by and "2.2" in told.moved_by
    assert told.cpu_nodes == told.memory_nodes and told.remote_access == 0


def test_unplaced_vm_has_its_reason(build: Build) -> None:
    """A VM without a place is explained by the plan's reason and by what blocks each host."""
    vms = [build.vm("v1", build.spec(4, 2)), build.vm("v2", build.spec(4, 2)), build.vm("v3", build.spec(4, 2))]
    fleet = build.fleet([build.host("a")], vms)
    plan = solve_fleet(fleet)
    (left,) = plan.unplaced
    told = explain_vm(fleet, plan, left.name)
    assert told.host is None and told.reason == left.reason
    assert {place.verdict for place in told.alternatives.places} == {Verdict.BLOCKED}


def test_price_of_rules(build: Build) -> None:
    """A rule that forces a second host costs one host, proven; a rule that binds nothing costs nothing."""
    apart = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, name="apart")
    idle = Rule(kind=RuleKind.WITHIN, members={"app": "x"}, hosts={"name": "a"}, name="idle")
    spec = build.spec(2, 2, labels={"app": "x"})
    hosts = [build.host("a", labels={}), build.host("b")]
    fleet = build.fleet(hosts, [build.vm("v1", spec), build.vm("v2", spec)], [apart])
    (price,) = explain_fleet(fleet, solve_fleet(fleet)).prices
    assert dict(price.costs) == {"hosts": 1} and "hosts" in price.proven
    fleet = build.fleet(hosts, [build.vm("v1", spec)], [idle])
    (price,) = explain_fleet(fleet, solve_fleet(fleet)).prices
    assert price.costs == () and price.failed is None


def test_locality_now_planned_and_bound(build: Build) -> None:
    """The remote access of where VMs are is known before, of the plan after, with the bound between."""
    far = build.vm("v", build.spec(2, 2, weight=2.0), current=build.now("a", (0,), memory_nodes=(1,)))
    fleet = build.fleet([build.host("a")], [far])
    told = explain_fleet(fleet, solve_fleet(fleet, max_moves=1)).locality
    assert told.remote_access_now == pytest.approx(2 * 2 * 1.1) and told.locality_now == 0
    assert (told.remote_access_planned, told.remote_access_bound, told.locality_planned) == (0, 0, 100)
    stuck = explain_fleet(fleet, solve_fleet(fleet, max_moves=0))
    assert [vm.name for vm in stuck.costly] == ["v"] and stuck.costly[0].remote_share == 1


def test_unknown_vm(build: Build) -> None:
    """A name that the fleet has not is bad input."""
    fleet = build.fleet([build.host("a")], [build.vm("v")])
    with pytest.raises(InputError, match="no VM 'w'"):
        alternatives(fleet, solve_fleet(fleet), "w")


def test_no_remote_access_is_as_little_as_there_is(build: Build) -> None:
    """A plan made for hosts alone, all VMs beside their memory: no other has less, though none was asked for less."""
    fleet = build.fleet([build.host("a")], [build.vm("v", build.spec(1, 1))])
    plan = solve_fleet(fleet, goals=("placed", "hosts"), rounds=1)
    at = explain_fleet(fleet, plan, time_limit_s=1).locality
    assert (at.remote_access_planned, at.remote_access_bound) == (0, 0)
