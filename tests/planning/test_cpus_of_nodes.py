"""CPUs of a node that are not alike: isolated ones, cores of other widths or cut by sets, CPUs of fixed pins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.model.cpuset import parse_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.read.inventory.inventory import read_fleet

Solve = Callable[..., Plan]


@pytest.fixture
def fleet_of(tmp_path: Path) -> Callable[[str], Fleet]:
    """Return a reader of inventories, written without their first line."""

    def read(text: str) -> Fleet:
        path = tmp_path / "fleet.yaml"
        path.write_text("schema: placer.inventory/v1\n" + text, encoding="utf-8")
        return read_fleet(path)

    return read


@pytest.fixture
def solved(fleet_of: Callable[[str], Fleet]) -> Solve:
    """Return a solver of inventories; every plan passes the checker."""

    def solve(text: str, goals: str = "placed", **options: object) -> Plan:
        fleet = fleet_of(text)
        plan = solve_fleet(fleet, goals=goals, time_limit_s=20, **options)  # type: ignore[arg-type]
        assert check(fleet, plan).ok
        return plan

    return solve


def pins_of(plan: Plan, name: str) -> set[frozenset[int]]:
    """Return the cpusets of a VM's vCPUs."""
    return set(plan.vm_by_name[name].pins.values())


def test_dedicated_vcpus_leave_shared_ones_the_cpus_that_are_not_isolated(solved: Solve) -> None:
    """Two dedicated vCPUs take the isolated CPUs 4 and 5, which stand last, and three shared ones float over 0-3."""
    plan = solved("""
hosts: [{name: h, nodes: [{id: 0, cpus: "0-5", memory: 8GiB}], siblings: ["0-1", "2-3", "4-5"], isolated_cpus: "4-5"}]
vms:
  - {name: pinned, vcpus: 2, memory: 1GiB, overhead: 0MiB}
  - {name: floats, vcpus: 4, memory: 1GiB, cpu_policy: shared, overhead: 0MiB}
""")
    assert plan.goals[0].value == 0
    assert pins_of(plan, "pinned") == {frozenset({4}), frozenset({5})}
    assert pins_of(plan, "floats") == {parse_cpuset("0-3")}


def test_isolated_siblings_of_half_cores_are_used_one_by_one(solved: Solve) -> None:
    """One thread of each core is isolated: dedicated vCPUs take those, and both others are left to float over."""
    plan = solved("""
hosts: [{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}], siblings: ["0-1", "2-3"], isolated_cpus: "1,3"}]
vms:
  - {name: pinned, count: 2, vcpus: 1, memory: 1GiB, overhead: 0MiB}
  - {name: floats, vcpus: 2, memory: 1GiB, cpu_policy: shared, overhead: 0MiB}
""")
    assert plan.goals[0].value == 0
    assert pins_of(plan, "pinned-1") | pins_of(plan, "pinned-2") == {frozenset({1}), frozenset({3})}


@pytest.mark.parametrize(
    ("policy", "vcpus", "floats", "left_out"),
    [("isolate", 2, 3, 0), ("isolate", 2, 5, 5), ("isolate", 3, 1, 0), ("require", 3, 3, 0), ("require", 6, 0, 0)],
)
def test_cores_of_one_thread_beside_cores_of_two(
    solved: Solve, policy: str, vcpus: int, floats: int, left_out: int
) -> None:
    """Performance cores 0-1 and 2-3 and efficiency cores 4 and 5: isolated vCPUs and odd ones take the narrow cores."""
    shared = f"\n  - {{name: s, vcpus: {floats}, memory: 1GiB, cpu_policy: shared, priority: -1, overhead: 0MiB}}"
    plan = solved(f"""
hosts: [{{name: h, nodes: [{{id: 0, cpus: "0-5", memory: 8GiB}}], siblings: ["0-1", "2-3"]}}]
vms:
  - {{name: d, vcpus: {vcpus}, memory: 1GiB, thread_policy: {policy}, overhead: 0MiB}}{shared if floats else ""}
""")
    assert sum(int(unplaced.name == "s") for unplaced in plan.unplaced) == (left_out > 0)
    assert not any(unplaced.name == "d" for unplaced in plan.unplaced)
    assert plan.status == "optimal"


def test_a_core_cut_by_novas_sets_is_whole(solved: Solve) -> None:
    """The one dedicated thread of a core serves an isolated vCPU; its sibling among the shared CPUs stays idle."""
    plan = solved("""
hosts:
  - {name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}], siblings: ["0-1", "2-3"], dedicated_cpus: "1"}
vms:
  - {name: d, vcpus: 1, memory: 1GiB, thread_policy: isolate, overhead: 0MiB}
  - {name: s, vcpus: 2, memory: 1GiB, cpu_policy: shared, overhead: 0MiB}
""")
    assert plan.goals[0].value == 0
    assert pins_of(plan, "s") == {parse_cpuset("2-3")}


def test_what_no_rows_of_counts_say_is_proven_by_prices_of_cores(solved: Solve) -> None:
    """Three required vCPUs fit a core of four threads or one and a half of two: of three VMs one is left out."""
    plan = solved("""
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 8GiB}], siblings: ["0-1", "2-3", "4-7"]}]
vms: [{name: d, count: 3, vcpus: 3, memory: 1GiB, thread_policy: require, overhead: 0MiB}]
""")
    assert plan.goals[0].value == plan.goals[0].bound == 3
    assert plan.goals[0].status == "optimal"


def test_the_emulator_cpu_of_fixed_pins_is_held(solved: Solve) -> None:
    """The CPU that fixed emulator threads have for themselves is nobody else's: neither pinned nor floated over."""
    plan = solved("""
hosts: [{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]}]
vms:
  - {name: here, vcpus: 1, memory: 1GiB, emulator_threads: isolate, host: h, nodes: [0], pins: {0: "0"}, emulator: "3",
     pins_fixed: true, overhead: 0MiB}
  - {name: two, vcpus: 3, memory: 1GiB, overhead: 0MiB}
  - {name: floats, vcpus: 1, memory: 1GiB, cpu_policy: shared, overhead: 0MiB}
""")
    assert plan.goals[0].value == 3
    assert pins_of(plan, "floats") == {parse_cpuset("1-2")}


def test_emulator_threads_share_the_pins_that_are_fixed(solved: Solve) -> None:
    """A VM with fixed pins has its emulator threads on just these, not on what its shared vCPUs would float over."""
    plan = solved("""
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 8GiB}]}]
vms:
  - {name: here, vcpus: 2, memory: 1GiB, cpu_policy: mixed, dedicated_vcpus: "0", host: h, nodes: [0],
     pins: {0: "2", 1: "4-5"}, pins_fixed: true, iothreads: 1, overhead: 0MiB}
""")
    here = plan.vm_by_name["here"]
    assert here.emulator == {2, 4, 5}
    assert set(here.iothreads.values()) == {frozenset({2, 4, 5})}


def test_emulator_threads_keep_off_real_time_vcpus(build: Any) -> None:
    """Emulator threads and IOThreads share the CPUs of other vCPUs; on those of a real-time one they would starve."""
    spec = build.spec(4, 4, real_time=frozenset({2, 3}), iothreads=(1,))
    fleet = build.fleet([build.host()], [build.vm("rt", spec)])
    plan = solve_fleet(fleet)
    (planned,) = plan.vms
    assert planned.emulator is not None
    assert planned.emulator == planned.iothreads[1] == planned.pins[0] | planned.pins[1]
    assert check(fleet, plan).ok
    everywhere = planned.emulator | planned.pins[2] | planned.pins[3]
    starving = replace(planned, emulator=everywhere, iothreads={1: everywhere})
    assert any("emulator threads" in str(fault) for fault in check(fleet, replace(plan, vms=(starving,))).faults)
    ruled = build.spec(2, 2, real_time=frozenset({0, 1}))
    assert solve_fleet(build.fleet([build.host()], [build.vm("rt", ruled)])).vms[0].emulator
