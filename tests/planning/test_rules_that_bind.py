"""What rules count where VMs are fixed, on unknown nodes, or on hosts outside every domain: solver and check agree."""

from __future__ import annotations

from typing import Any

from placer.check.check import check
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import PinPolicy
from placer.planner import solve_fleet

AFFINITY, APART = RuleKind.AFFINITY, RuleKind.ANTI_AFFINITY
APP = {"app": "web"}


def value(plan: Plan, goal: str) -> tuple[float | None, float | None, str]:
    """Return a goal's value, bound and status."""
    found = next(one for one in plan.goals if one.name == goal)
    return found.value, found.bound, found.status


def test_a_fixed_member_holds_its_node(build: Any) -> None:
    """An immovable VM fills its node: a VM that is to be with it has no place, though the other node is free."""
    host = build.host(topology=build.topology(2, 2))
    fixed = build.vm("fixed", build.spec(2, 1, labels=APP), current=build.now("a", (0,)), movable=build.NO)
    more = build.vm("more", build.spec(2, 1, labels=APP))
    fleet = build.fleet([host], [fixed, more], [Rule(kind=AFFINITY, members=APP, scope="node")])
    for engine in ("auto", "exact", "greedy"):
        plan = solve_fleet(fleet, goals="placed,rules", engine=engine)
        assert [vm.name for vm in plan.vms] == ["fixed"] and value(plan, "rules")[0] == 0
    assert value(solve_fleet(fleet, goals="placed,rules"), "placed") == (2, 2, "optimal")


def test_fixed_members_broken_already_may_stay_so(build: Any) -> None:
    """Two immovable VMs are on two nodes; a third joins one of them, and a third node is one too many."""
    host = build.host(topology=build.topology(3, 4))
    spec = build.spec(2, 1, labels=APP)
    vms = [build.vm(f"v{n}", spec, current=build.now("a", (n,)), movable=build.NO) for n in (0, 1)]
    fleet = build.fleet([host], [*vms, build.vm("more", spec)], [Rule(kind=AFFINITY, members=APP, scope="node")])
    for engine in ("auto", "exact", "states", "greedy"):
        plan = solve_fleet(fleet, goals="placed,rules", engine=engine)
        assert value(plan, "rules")[0] == 1
    assert value(solve_fleet(fleet, goals="rules,placed"), "placed") == (0, 0, "optimal")


def test_unknown_nodes_are_each_node_of_the_host_once(build: Any) -> None:
    """A VM on no known node of two counts on both, so that two such VMs are in two domains, and not in four."""
    hosts = [build.host("a", build.topology(2, 2)), build.host("b", build.topology(2, 2))]
    spec = build.spec(2, 1, labels=APP)
    now = [build.vm(f"v{n}", spec, current=build.now("a", None)) for n in (0, 1)]
    fleet = build.fleet(hosts, [*now, build.vm("more", spec)], [Rule(kind=AFFINITY, members=APP, scope="node")])
    for engine in ("auto", "exact", "greedy"):
        plan = solve_fleet(fleet, goals="placed,rules", engine=engine)
        assert check(fleet, plan).ok and [left.name for left in plan.unplaced] == ["more"]


def test_an_anti_affinity_over_nodes_that_unknown_nodes_may_break(build: Any) -> None:
    """A VM over all nodes and one on no known node may be together now: bound they are at an excess of one."""
    host = build.host(topology=build.topology(2, 4))
    now = build.now("a", None)
    wide = build.vm("wide", build.spec(4, 1, cells=2, labels=APP), current=now, pin=PinPolicy.MUST)
    small = build.vm("small", build.spec(1, 1, labels=APP), current=now, pin=PinPolicy.MUST)
    fleet = build.fleet([host], [wide, small], [Rule(kind=APART, members=APP, scope="node")])
    plan = solve_fleet(fleet, goals="rules,remote,moves")
    assert value(plan, "rules") == (1, 1, "optimal") and value(plan, "moves")[0] == 0


def test_a_host_without_the_label_is_in_no_domain(build: Any) -> None:
    """An affinity over racks says nothing of a host without a rack, in the solver as in the check."""
    hosts = [build.host("a", build.topology(1, 2)), build.host("b", build.topology(1, 2), labels={"rack": "r"})]
    spec = build.spec(2, 1, labels=APP)
    fleet = build.fleet(
        hosts, [build.vm("v0", spec), build.vm("v1", spec)], [Rule(kind=AFFINITY, members=APP, scope="rack")]
    )
    for engine in ("auto", "exact", "states", "greedy"):
        plan = solve_fleet(fleet, goals="placed,rules", engine=engine)
        assert not plan.unplaced and value(plan, "rules")[0] == 0


def test_a_fleet_in_which_nothing_fits_anywhere(build: Any) -> None:
    """No VM has any placement: every engine leaves all out and proves what there is to prove."""
    fleet = build.fleet([build.host()], [build.vm(spec=build.spec(99, 1))])
    for engine in ("auto", "exact", "states", "greedy"):
        plan = solve_fleet(fleet, goals="placed,hosts", engine=engine)
        assert [left.name for left in plan.unplaced] == ["v"]
        assert engine == "greedy" or value(plan, "hosts") == (0, 0, "optimal")


def test_an_even_spread_where_every_host_has_failed(build: Any) -> None:
    """There is no domain to be compared, and the members that were there are lost: that is an answer."""
    rule = Rule(kind=RuleKind.EVEN, members={"app": "x"}, scope="host", skew=1)
    guest = build.vm("v", build.spec(1, 1, labels={"app": "x"}), current=build.now("a", (0,)))
    plan = solve_fleet(build.fleet([build.host("a", failed=True)], [guest], [rule]), goals=("rules", "moves"), rounds=1)
    assert (plan.goal("rules").value, plan.status) == (0, "optimal")


def test_interleaved_memory_lies_on_as_many_nodes_as_asked(build: Any) -> None:
    """Memory of two nodes on one is refused; where the VM is so already, it may stay."""
    spec = build.spec(4, 2, interleave=2)
    new = build.vm(spec=spec)
    pins, both = [0, 1, 4, 5], {0: build.GIB, 1: build.GIB}
    fleet = build.fleet([build.host()], [new])
    assert check(fleet, build.plan(build.placed(new, pins, [both]))).ok
    one = build.placed(new, pins, [0])
    one = build.replace(one, cells=(build.replace(one.cells[0], mode="interleave"),))
    faults = check(fleet, build.plan(one)).faults
    assert ["its memory lies on 1 nodes, and 2 were asked for" in fault.message for fault in faults] == [True]
    there = build.vm(spec=spec, current=build.now("a", (0, 1), memory_nodes=(0, 0)))
    fleet = build.fleet([build.host()], [there])
    assert check(fleet, build.replace(build.plan(one), vms=(build.replace(one, change=build.Change.REPIN),))).ok
