"""VMs that are bound to sets of nodes or to nothing, hosts that are over, and plans that stand still."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.measure.shortage import short_of
from placer.model.host import Reserve
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Bound, CpuPolicy
from placer.planner import solve_fleet
from placer.planning.compile.loose import families, unions_of

GIB = 1024**2


def unchanged(fleet: Any, **options: Any) -> Any:
    """Return the plan that may change nothing, having seen that it does not and that the checker agrees."""
    plan = solve_fleet(fleet, max_moves=0, max_repins=0, time_limit_s=20, **options)
    assert [vm.name for vm in plan.vms if vm.change.value != "none" or vm.from_host] == []
    assert check(fleet, plan).ok
    return plan


def value(plan: Any, goal: str) -> tuple[float | None, float | None]:
    """Return value and bound of a goal."""
    found = plan.goal(goal)
    return found.value, found.bound


def test_a_vm_wider_and_larger_than_a_node_floats_and_stays(build: Any) -> None:
    """It runs, so it is planned: over its whole host, counted in no remote access, and left as it is by default."""
    hosts = [build.host("a", build.topology(2, 8)), build.host("b", build.topology(2, 8))]
    big = build.vm("big", build.spec(12, 24), current=build.now("a", None))
    fleet = build.fleet(hosts, [big, build.vm("small", build.spec(2, 2), current=build.now("b", None))])
    plan = solve_fleet(fleet, time_limit_s=20)
    planned = plan.vm_by_name["big"]
    assert planned.bound == (Bound(),) and planned.cells[0].mode == "floats" and planned.host == "a"
    assert {vm.change.value for vm in plan.vms} == {"none"} and plan.status == "optimal"
    assert value(plan, "excess") == (0, 0) and value(plan, "remote")[0] == 0
    unchanged(fleet)


def test_a_floating_vm_that_moves_floats_where_it_comes(build: Any) -> None:
    """A drain takes it to another host, with nothing bound there."""
    hosts = [build.host("a", build.topology(2, 8)), build.host("b", build.topology(2, 8))]
    vm = build.vm("v", build.spec(12, 24), current=build.now("a", None))
    fleet = build.fleet(hosts, [vm], [Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})])
    planned = solve_fleet(fleet, max_moves=1, time_limit_s=20).vm_by_name["v"]
    assert (planned.host, planned.bound, planned.change.value) == ("b", (Bound(),), "migrate")


def test_sets_that_overlap_keep_each_other_out(build: Any) -> None:
    """On four nodes of 16 GiB sets that overlap hold 60 GiB together: 4 GiB more fit, 5 do not."""
    host = build.host(topology=build.topology(4, 4))
    sets = {"p": (0, 1), "q": (2, 3), "r": (1, 2)}
    spec = build.spec(1, 20, cpu_policy=CpuPolicy.SHARED)
    vms = [
        build.vm(name, spec, current=replace(build.now("a", None), bound=(Bound(memory=frozenset(nodes)),)))
        for name, nodes in sets.items()
    ]
    for size, placed in ((4, True), (5, False)):
        new = build.vm("new", build.spec(1, size, cpu_policy=CpuPolicy.SHARED))
        plan = solve_fleet(build.fleet([host], [*vms, new]), time_limit_s=20)
        assert ("new" in plan.vm_by_name) is placed and value(plan, "excess") == (0, 0)


@pytest.mark.parametrize("engine", ["exact", "columns"])
def test_what_is_over_is_mended_as_far_as_moves_allow(build: Any, engine: Any) -> None:
    """Three of six hosts hold 20 of 16 GiB: each move that is allowed takes 4 GiB off, proven."""
    hosts = [build.host(f"h{n}", build.topology(1, 8)) for n in range(6)]
    spec = build.spec(1, 5, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(f"v{n}", spec, current=build.now(f"h{n // 4}", (0,))) for n in range(12)]
    fleet = build.fleet(hosts, vms)
    for moves in range(4):
        plan = solve_fleet(fleet, max_moves=moves, engine=engine, time_limit_s=600)
        assert value(plan, "excess") == ((3 - moves) * 4 * GIB,) * 2
        assert value(plan, "moves")[0] == moves


def test_nobody_comes_to_a_place_that_is_over(build: Any) -> None:
    """Node 0 holds 20 of 16 GiB: one VM leaves it, and the one that would be local there may not come."""
    hosts = [build.host("a", build.topology(2, 8)), build.host("b", build.topology(2, 8))]
    spec = build.spec(1, 10, cpu_policy=CpuPolicy.SHARED)
    other = build.spec(1, 9, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(f"o{n}", spec, current=build.now("a", (0,))) for n in (0, 1)]
    vms.append(build.vm("far", other, current=build.now("a", (0,), memory_nodes=(1,))))
    fleet = build.fleet(hosts, vms)
    plan = unchanged(fleet)
    assert value(plan, "excess") == (4 * GIB, 4 * GIB)
    here = {vm.name: vm for vm in plan.vms}
    cell = here["far"].cells[0]
    bad = replace(here["far"], cells=(replace(cell, nodes={0: cell.memory_kib}),))
    report = check(fleet, replace(plan, vms=tuple(bad if vm.name == "far" else vm for vm in plan.vms)))
    assert any("take more of it than now" in str(fault) for fault in report.faults)


def test_cpus_held_twice_are_excess_and_stay(build: Any) -> None:
    """Two VMs copied with their pins: with no re-pin both stay and two CPUs count, with re-pins one gets others."""
    pins = {n: frozenset({n}) for n in range(2)}
    vms = [build.vm(name, build.spec(2, 1), current=build.now("a", (0,), pins=pins)) for name in "vw"]
    fleet = build.fleet([build.host(topology=build.topology(1, 4))], vms)
    assert value(unchanged(fleet), "excess") == (2, 0)
    plan = solve_fleet(fleet, time_limit_s=20)
    assert value(plan, "excess") == (0, 0) and sorted(vm.change.value for vm in plan.vms) == ["none", "repin"]


def test_more_vcpus_than_cpus_are_excess_whatever_the_ratio(build: Any) -> None:
    """A VM of 20 vCPUs on 16 CPUs has 4 too many at overcommit 1 and 4; none comes to be so."""
    for ratio in (1.0, 4.0):
        host = build.host(topology=build.topology(2, 8), cpu_ratio=ratio)
        vm = build.vm("v", build.spec(20, 2, cpu_policy=CpuPolicy.SHARED), current=build.now("a", None))
        assert value(unchanged(build.fleet([host], [vm])), "excess") == (4, 4)


def test_a_fleet_alone_tells_what_is_over_worst_first(build: Any) -> None:
    """check without a plan names the places, the fullest memory first, and refuses nothing."""
    hosts = [build.host(name, build.topology(1, 8)) for name in "ab"]
    spec = build.spec(1, 9, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm(f"v{n}", spec, current=build.now("a" if n < 2 else "b", (0,))) for n in range(5)]
    report = check(build.fleet(hosts, vms), excess=True)
    told = [text for text in report.warnings if "have no place now" in text]
    assert report.ok and [text.split(":")[0] for text in told] == ["host 'b', nodes 0", "host 'a', nodes 0"]
    assert "11GiB" in told[0] and "2GiB" in told[1]


def test_what_floats_stands_beside_remote(build: Any) -> None:
    """Four vCPUs over two nodes of distance 2.1 expect half of their accesses to leave."""
    vm = build.vm("v", build.spec(4, 4), current=build.now("a", None))
    fleet = build.fleet([build.host(topology=build.topology(2, 8))], [vm])
    measured = check(fleet, unchanged(fleet)).measured
    assert (measured["floating_vms"], measured["floating_memory_kib"]) == (1, 4 * GIB)
    assert measured["floating_remote_expected"] == pytest.approx(4 * 0.5 * 1.1)
    known = replace(vm, current=replace(vm.current, memory_on={0: 3 * GIB, 1: GIB}))
    half = check(replace(fleet, vms=(known,)), unchanged(replace(fleet, vms=(known,)))).measured
    assert half["floating_remote_expected"] == pytest.approx(4 * 0.5 * 1.1)
    assert measured["remote_access"] == 0


def test_a_plan_that_widens_or_narrows_sets_is_refused(build: Any) -> None:
    """On its own host a VM keeps what it is bound to."""
    now = replace(build.now("a", None), bound=(Bound(cpus=frozenset({0, 1})),))
    vm = build.vm("v", build.spec(2, 2, cpu_policy=CpuPolicy.SHARED), current=now)
    fleet = build.fleet([build.host(topology=build.topology(4, 4))], [vm])
    plan = unchanged(fleet)
    wider = replace(plan.vms[0], bound=(Bound(),))
    assert not check(fleet, replace(plan, vms=(wider,))).ok


def test_rows_over_connected_unions_are_the_flow() -> None:
    """On random hosts what has no place by flow is the most that families of rows are over, and the least slack."""
    rng = random.Random(5)
    for _ in range(400):
        nodes = range(rng.randint(1, 4))
        room = {node: rng.randint(0, 4) for node in nodes}
        items = [
            (tuple(sorted(rng.sample(nodes, rng.randint(1, len(nodes))))), rng.randint(1, 4))
            for _ in range(rng.randint(1, 6))
        ]
        wanted: dict[frozenset[int], int] = {}
        for where, units in items:
            wanted[frozenset(where)] = wanted.get(frozenset(where), 0) + units
        short, _ = short_of(wanted, room)
        unions, complete = unions_of(where for where, _ in items)
        rows = [(node,) for node in nodes] + list(unions)
        over = [
            sum(units for where, units in items if set(where) <= set(row)) - sum(room[node] for node in row)
            for row in rows
        ]
        found = families(list(enumerate(rows)))
        assert complete
        assert short == max(sum(max(0, over[row]) for row in family) for family in found)
        subsets = [set(one) for size in nodes for one in itertools.combinations(nodes, size + 1)]
        worst = max(
            sum(units for where, units in items if set(where) <= one) - sum(room[node] for node in one)
            for one in subsets
        )
        assert (short == 0) == (worst <= 0)


def test_one_cpu_to_float_over_is_nobodys_own(build: Any) -> None:
    """A dedicated vCPU that is pinned nowhere floats over the one CPU that its new host has for VMs, beside another."""
    reserve = Reserve(cpus=frozenset({1}))
    hosts = [build.host("a", build.topology(1, 4)), build.host("b", build.topology(1, 2), reserve=reserve, cpu_ratio=2)]
    own = build.spec(1, 1, cpu_policy=CpuPolicy.DEDICATED)
    shared = build.spec(1, 1, cpu_policy=CpuPolicy.SHARED)
    vms = [build.vm("v", own, current=build.now("a", None)), build.vm("w", shared, current=build.now("b", None))]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})])
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    assert plan.vm_by_name["v"].host == "b" and check(fleet, plan).ok and value(plan, "excess") == (0, 0)


def test_a_vm_that_floats_over_a_host_of_one_cpu_has_none_of_its_own(build: Any) -> None:
    """It shares the only CPU at the overcommit, though its pins name one CPU alone."""
    hosts = [build.host("a", build.topology(1, 4)), build.host("b", build.topology(1, 1, threads=1), cpu_ratio=2)]
    own = build.spec(1, 1, cpu_policy=CpuPolicy.DEDICATED)
    vms = [build.vm(name, own, current=build.now(at, None)) for name, at in (("v", "a"), ("w", "b"))]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})])
    plan = solve_fleet(fleet, max_moves=1, time_limit_s=20)
    assert plan.vm_by_name["v"].host == "b" and check(fleet, plan).ok and value(plan, "excess") == (0, 0)
