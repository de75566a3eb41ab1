"""VMs that float are bound to nodes where that is asked for: those that must, those that gain, or all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.explain.explain import explain_vm
from placer.model.fleet import Fleet
from placer.model.goals import UNBOUND
from placer.model.host import Reserve
from placer.model.plan import Plan
from placer.model.sets import pages_in_eighths
from placer.model.vm import Bound, CpuPolicy, PinPolicy
from placer.planner import solve_fleet

ENGINES = ("exact", "columns")


def solved(fleet: Fleet, **options: Any) -> Plan:
    """Return a plan that the checker accepts."""
    plan = solve_fleet(fleet, time_limit_s=20, **options)
    assert check(fleet, plan).ok
    return plan


def floats(build: Any, sizes: tuple[int, ...], *, nodes: int = 2, pin: PinPolicy = PinPolicy.ALLOWED) -> Fleet:
    """Return a host with VMs of 2 vCPUs and so much memory (GiB) that float over it."""
    spec = [build.spec(2, size, cpu_policy=CpuPolicy.SHARED) for size in sizes]
    vms = [build.vm(f"v{n}", one, current=build.now("a", None), pin=pin) for n, one in enumerate(spec)]
    fleet: Fleet = build.fleet([build.host("a", build.topology(nodes, 8))], vms)
    return fleet


def left(plan: Plan) -> tuple[float | None, float | None]:
    """Return how many VMs shall be bound and are not, value and bound."""
    first = plan.goal("remote").tiers[0]
    assert first["part"] == UNBOUND
    return first["value"], first["bound"]


def test_nothing_is_bound_unless_asked(build: Any) -> None:
    """By default VMs that float stay so, and the goal ``remote`` has no parts."""
    plan = solved(floats(build, (4, 4)))
    assert plan.status == "optimal" and not plan.goal("remote").tiers
    assert {vm.change.value for vm in plan.vms} == {"none"} and all(vm.bound for vm in plan.vms)


@pytest.mark.parametrize("engine", ENGINES)
def test_all_are_bound_as_far_as_there_is_room(build: Any, engine: Any) -> None:
    """Of three VMs of 10 GiB on two nodes of 16 two are bound, proven; the third floats, which refuses nothing."""
    plan = solved(floats(build, (10, 10, 10)), pin="all", engine=engine)
    assert left(plan) == (1, 1) and plan.status == "optimal"
    assert sorted(vm.change.value for vm in plan.vms) == ["none", "repin", "repin"]
    assert plan.goal("moves").value == 0 and plan.goal("moves").tiers[-1]["value"] == 0
    assert (plan.goal("repins").value, plan.goal("repins").bound) == (2, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_vm_that_must_is_bound_and_one_that_never_may_is_not(build: Any, engine: Any) -> None:
    """What the VM says goes before the option, on a host that is over too: there nobody takes more than now."""
    must = floats(build, (4,), pin=PinPolicy.MUST)
    assert left(solved(must, engine=engine)) == (0, 0)
    never = solved(floats(build, (4,), pin=PinPolicy.NEVER), pin="all", engine=engine)
    assert {vm.change.value for vm in never.vms} == {"none"}
    over = solved(floats(build, (20, 20), pin=PinPolicy.MUST), engine=engine)
    assert left(over) == (2, 2) and over.goal("excess").value == over.goal("excess").bound == 8 * 1024**2


@pytest.mark.parametrize("engine", ENGINES)
def test_what_gains_is_bound_and_its_sum_is_proven(build: Any, engine: Any) -> None:
    """Where it is worth it, ``remote`` is that of bound VMs and the expectation of those that still float: 2 vCPUs ×
    0.55 for the one that no node holds; on a host of one node nothing gains, and nothing changes.
    """
    plan = solved(floats(build, (10, 10, 10)), pin="worth", engine=engine)
    assert plan.goal("remote").value == pytest.approx(1.1) == plan.goal("remote").bound
    assert sorted(vm.change.value for vm in plan.vms) == ["none", "repin", "repin"]
    alone = solved(floats(build, (4, 4), nodes=1), pin="worth", engine=engine)
    assert {vm.change.value for vm in alone.vms} == {"none"}


def test_vms_bound_anew_are_evened_out(build: Any) -> None:
    """Four VMs of which each node would hold all go two and two, for no goal gets worse."""
    plan = solved(floats(build, (2, 2, 2, 2)), pin="all")
    nodes = sorted(node for vm in plan.vms for cell in vm.cells for node in cell.nodes)
    assert nodes == [0, 0, 1, 1]


def test_a_limit_on_repins_keeps_them_floating(build: Any) -> None:
    """With no re-pin nothing is bound, and with fewer than it takes nothing either, which is said."""
    fleet = floats(build, (4, 4), pin=PinPolicy.MUST)
    for most in (0, 1):
        plan = solved(fleet, max_repins=most)
        assert {vm.change.value for vm in plan.vms} == {"none"}
        assert any("none is bound" in one for one in plan.warnings) is (most == 1)
    assert {vm.change.value for vm in solved(fleet, max_repins=2).vms} == {"repin"}


def test_a_second_solve_of_what_was_bound_changes_nothing(build: Any) -> None:
    """Bound VMs are where they are known to be, and stay."""
    from placer.planning.after import fleet_after

    fleet = floats(build, (6, 6, 2))
    done = fleet_after(fleet, solved(fleet, pin="all"))
    assert {vm.change.value for vm in solved(done, pin="all").vms} == {"none"}


def test_a_value_that_is_not_so_is_refused(build: Any) -> None:
    """The checker counts itself who floats and shall not, and what those reach over."""
    for pin in ("all", "worth"):
        fleet = floats(build, (10, 10, 10))
        plan = solved(fleet, pin=pin)
        remote = plan.goal("remote")
        tiers = tuple({**tier, "value": 0, "bound": 0} for tier in remote.tiers)
        forged = replace(remote, value=0, bound=0, gap=0.0, tiers=tiers)
        goals = tuple(forged if goal is remote else goal for goal in plan.goals)
        assert not check(fleet, replace(plan, goals=goals)).ok


def test_what_is_bound_to_some_nodes_stays_so(build: Any) -> None:
    """A VM whose memory or CPUs are bound to some nodes keeps them, whatever is asked: elsewhere it would move."""
    spec = build.spec(2, 4, cpu_policy=CpuPolicy.SHARED)
    now = build.now("a", None)
    sets = [Bound(memory=frozenset({0})), Bound(cpus=frozenset({1})), Bound(cpus=frozenset({0, 1}))]
    vms = [
        build.vm(f"v{n}", spec, current=replace(now, bound=(one,)), pin=PinPolicy.MUST) for n, one in enumerate(sets)
    ]
    plan = solved(build.fleet([build.host("a", build.topology(4, 8))], vms), pin="all")
    assert {vm.change.value for vm in plan.vms} == {"none"} and plan.status == "optimal"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_newcomer_floats_where_it_would_keep_a_node_over(build: Any, engine: Any) -> None:
    """Two VMs of 10 GiB on a node of 16 and one to come: one goes to the other node, and the newcomer floats over what
    is left of both; where nothing is over, it is bound.
    """
    spec = build.spec(2, 10, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(name, spec, current=build.now()) for name in "uv"]
    new = build.vm("new", spec)
    plan = solved(build.fleet([build.host()], [*vms, new]), max_moves=1, engine=engine)
    assert plan.goal("excess").value == 0 and left(plan) == (1, 1) and plan.vm_by_name["new"].bound
    calm = solved(build.fleet([build.host()], [vms[0], new]), max_moves=1, engine=engine)
    assert not calm.vm_by_name["new"].bound and not calm.goal("remote").tiers


def test_what_binding_gains_is_told_before_it_is_done(build: Any) -> None:
    """4 vCPUs whose pages lie on node 1 reach over half of the way to it: bound there they save that at once, too; a VM
    that no node holds gains nothing that could be told.
    """
    spec = build.spec(4, 4, cpu_policy=CpuPolicy.SHARED)
    now = replace(build.now("a", None), memory_on={1: 4 * 1024**2})
    vms = [build.vm("v", spec, current=now), build.vm("big", build.spec(12, 8), current=build.now("a", None))]
    fleet = build.fleet([build.host("a", build.topology(2, 8))], vms)
    plan = solved(fleet)
    assert explain_vm(fleet, plan, "v").binding == pytest.approx((2.2, 2.2))
    assert explain_vm(fleet, plan, "big").binding is None


@pytest.mark.parametrize("engine", ENGINES)
def test_what_binding_is_worth_counts_where_pages_lie(build: Any, engine: Any) -> None:
    """Two of three VMs of 10 GiB find room on nodes of 16. On 8 and 2 CPUs pages on node 1 are reached over by 8 of 10
    accesses, on node 0 by 2: whose pages lie there floats on, and counts that much, not half.
    """
    topology, page = build.topology(2, 8), 1024**2
    host = build.host("a", topology, reserve=Reserve(cpus=frozenset(sorted(topology.nodes[1].cpus)[:6])))
    spec = build.spec(2, 10, cpu_policy=CpuPolicy.SHARED)
    lying = ({1: 10 * page}, {0: 10 * page}, {0: 5 * page, 1: 5 * page})
    vms = [build.vm(f"v{n}", spec, current=replace(build.now("a", None), memory_on=on)) for n, on in enumerate(lying)]
    fleet = build.fleet([host], vms)
    goal = (plan := solved(fleet, pin="worth", engine=engine)).goal("remote")
    assert [vm.name for vm in plan.vms if vm.bound] == ["v1"] and goal.status == "optimal"
    assert goal.value == pytest.approx(2 * 1.1 * 0.2) and goal.bound == pytest.approx(goal.value)


def test_pages_are_told_in_eighths_of_the_whole() -> None:
    """Eight in all, the largest remainders rounded up, of equal ones that of the lower node; of nothing none."""
    assert pages_in_eighths({}) == pages_in_eighths({0: 0}) == ()
    assert pages_in_eighths({1: 54, 0: 10}) == ((0, 1), (1, 7))
    assert pages_in_eighths({0: 1, 1: 1, 2: 1}) == ((0, 3), (1, 3), (2, 2))
    assert pages_in_eighths({3: 1, 2: 1000}) == ((2, 8),)
