"""The cpusets of shared vCPUs that follow moves: each vCPU over its own nodes, and what is pinned nowhere over none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.emit.moves.script import schedule_script
from placer.model.plan import Change
from placer.model.vm import Bound, Cell, CellMode, CpuPolicy, VmSpec
from placer.moves.schedule import schedule_moves

PINS = {0: frozenset({0}), 1: frozenset({1})}


def waves_of(build: Any, floating: Any, pins: Any) -> Any:
    """Return fleet and schedule in which a VM with two CPUs of node 0 comes to the host where another one floats."""
    topology = build.topology(nodes=2)
    comes = build.vm("comes", build.spec(2, 1), current=build.now("b", pins=PINS))
    plan = build.plan(pins, build.placed(comes, [0, 1], [0], "a", change=Change.MIGRATE, from_host="b"))
    hosts = [build.host("a", topology, cpu_ratio=4.0), build.host("b", topology)]
    fleet = build.fleet(hosts, [floating, comes])
    return fleet, schedule_moves(fleet, plan)


def shared(build: Any, *cells: set[int]) -> VmSpec:
    """Return a spec of shared vCPUs in such cells."""
    given = tuple(Cell(vcpus=frozenset(vcpus), memory_kib=1 << 20) for vcpus in cells)
    spec: VmSpec = build.spec(sum(map(len, cells)), len(cells), cpu_policy=CpuPolicy.SHARED)
    return replace(spec, cell_mode=CellMode.GIVEN, cells=given)


def test_a_cell_follows_on_its_own_node(build: Any) -> None:
    """Only the vCPU of the cell on the node where CPUs are taken gets another cpuset."""
    floating = build.vm("floating", shared(build, {0}, {1}), current=build.now("a", (0, 1)))
    fleet, schedule = waves_of(build, floating, build.placed(floating, [{2, 3}, {4, 5, 6, 7}], [0, 1], "a"))
    (entry,) = schedule.waves[0].before
    assert (entry.nodes, entry.cpus, dict(entry.vcpus)) == ((0,), frozenset({2, 3}), {"floating": frozenset({0})})
    script = schedule_script(schedule, fleet)
    assert script.count("vcpupin floating --vcpu 0 --cpulist 2-3") == 1 and "vcpupin floating --vcpu 1" not in script


def test_a_cpuset_over_two_nodes_stays_on_both(build: Any) -> None:
    """It loses the CPUs that are taken of one node, and no others."""
    wide = frozenset(range(8))
    now = replace(build.now("a", None, pins={0: wide}), bound=(Bound(cpus=frozenset({0, 1})),))
    floating = build.vm("floating", build.spec(1, 1, cpu_policy=CpuPolicy.SHARED), current=now)
    placed = replace(build.placed(floating, [wide - {0, 1}], [0], "a"), bound=now.bound)
    _, schedule = waves_of(build, floating, placed)
    (entry,) = schedule.waves[0].before
    assert (entry.nodes, entry.cpus) == ((0, 1), wide - {0, 1})


def test_what_is_pinned_nowhere_is_given_no_cpuset(build: Any) -> None:
    """It floats over all CPUs of its host, held ones too, before and after."""
    floating = build.vm(
        "floating", build.spec(1, 1, cpu_policy=CpuPolicy.SHARED), current=replace(build.now("a", None), bound=())
    )
    placed = replace(build.placed(floating, [set(range(8))], [0], "a"), bound=(Bound(),))
    fleet, schedule = waves_of(build, floating, placed)
    assert "vcpupin floating" not in schedule_script(schedule, fleet)
