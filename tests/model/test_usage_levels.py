"""``balance:usage``: levels of measured use, the goal's value, and plans that follow use in place of requests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from placer.check.check import check
from placer.errors import InputError
from placer.measure.score import goal_values
from placer.model.goals import parse_goals
from placer.model.usage_levels import MOST_LEVELS, usage_known, usage_levels
from placer.model.vm import Cell, CellMode, CpuPolicy, EmulatorPolicy, Usage, Vm, VmSpec
from placer.planner import solve_fleet

Build = Any
GOALS = "placed,balance:usage"


def busy(build: Build, name: str, share: float | None, spec: VmSpec | None = None) -> Vm:
    """Return a VM of 2 vCPUs that uses this share of them."""
    vm: Vm = build.vm(name, spec or build.spec(2, 1))
    return dataclasses.replace(vm, usage=None if share is None else Usage(cpu_p95=share))


def test_levels_are_rounded_down_and_few(build: Build) -> None:
    """Few different shares stay as they are in thousandths; many are put on a coarser grid, never above themselves."""
    fleet = build.fleet([build.host("a")], [busy(build, "v", 0.29), busy(build, "w", None), busy(build, "x", 1.0)])
    assert usage_levels(fleet) == (290, None, 1000) and usage_known(fleet.vms) == 2
    shares = [number / 777 for number in range(500)]
    many = build.fleet([build.host("a")], [busy(build, f"v{n}", share) for n, share in enumerate(shares)])
    levels = [level for level in usage_levels(many) if level is not None]
    assert len(set(levels)) <= MOST_LEVELS and len(levels) == 500
    assert all(level <= 1000 * share for level, share in zip(levels, shares, strict=True))


def test_value_counts_use_where_it_is_known(build: Build) -> None:
    """Ten steps, a fifth of the mean share wide, each cost what is above them: of 2 CPUs, or of half a CPU by use."""
    host = build.host("a")
    for share, value in ((1.0, 11.0), (0.25, sum(0.5 - 4 * 0.012 * k for k in range(10))), (None, 11.0)):
        fleet = build.fleet([host], [busy(build, "v", share)])
        plan = solve_fleet(fleet, goals="placed")
        assert goal_values(fleet, plan, ["balance:usage"])["balance:usage"] == pytest.approx(value)
        assert goal_values(fleet, plan, ["balance:cpus"])["balance:cpus"] == pytest.approx(11.0)


def test_busy_vms_are_spread_and_idle_ones_are_not(build: Build) -> None:
    """By requests all pairs of VMs are alike; by use the two busy ones go to nodes of their own, proven."""
    vms = [busy(build, "hot-1", 0.9), busy(build, "hot-2", 0.9), busy(build, "idle-1", 0.1), busy(build, "idle-2", 0.1)]
    fleet = build.fleet([build.host("a")], vms)
    plan = solve_fleet(fleet, goals=GOALS)
    nodes = {vm.name: next(iter(vm.cells[0].nodes)) for vm in plan.vms}
    assert nodes["hot-1"] != nodes["hot-2"] and nodes["idle-1"] != nodes["idle-2"]
    goal = plan.goal("balance:usage")
    assert goal.status == "optimal" and goal.gap == 0 and check(fleet, plan, bound=True).ok


def test_requests_rule_capacity(build: Build) -> None:
    """VMs that use nothing take the CPUs that they ask for all the same."""
    fleet = build.fleet([build.host("a")], [busy(build, f"v{n}", 0.0) for n in range(5)])
    plan = solve_fleet(fleet, goals=GOALS)
    assert len(plan.vms) == 4 and len(plan.unplaced) == 1
    assert plan.goal("balance:usage").value == 0


@pytest.mark.parametrize("seed", range(6))
def test_counts_bound_what_is_measured(build: Build, seed: int) -> None:
    """With shared, isolated and unknown VMs on uneven hosts the proven bound is never above the measured value."""
    specs = [
        build.spec(2, 1),
        build.spec(3, 1, cpu_policy=CpuPolicy.SHARED),
        build.spec(1, 1, emulator_threads=EmulatorPolicy.ISOLATE),
        VmSpec(
            vcpus=2,
            memory_kib=2 << 20,
            cell_mode=CellMode.GIVEN,
            cells=(Cell(vcpus=frozenset({0}), memory_kib=1 << 20), Cell(vcpus=frozenset({1}), memory_kib=1 << 20)),
            overhead_kib=0,
        ),
    ]
    shares = (0.123456, None, 0.5, 0.987, 0.3141592)
    vms = [busy(build, f"v{n}", shares[(n * (seed + 1)) % 5], specs[(n + seed) % 4]) for n in range(4)]
    hosts = [build.host("a", cpu_ratio=1.3), build.host("b", cpu_ratio=2.0)]
    fleet = build.fleet(hosts, vms)
    plan = solve_fleet(fleet, goals=GOALS, time_limit_s=20)
    goal = plan.goal("balance:usage")
    assert goal.value is not None and goal.bound is not None
    # Use is rounded down to thousandths, in ten steps on nodes of four CPUs.
    assert goal.bound <= goal.value + 1e-9 and goal.value - goal.bound < 0.02 * 4
    assert check(fleet, plan, bound=True).ok
    unknown = sum(vm.usage is None for vm in vms)
    assert any(f"of {unknown} of 4 VMs is not known" in text for text in plan.warnings) == bool(unknown)


def test_usage_of_nobody_is_refused(build: Build) -> None:
    """Without any usage the goal would be ``balance``: the message says how to join one; other arguments are none."""
    fleet = build.fleet([build.host("a")], [busy(build, "v", None)])
    with pytest.raises(InputError, match="CPU use of no VM is known") as caught:
        parse_goals(GOALS, fleet)
    assert "placer usage" in str(caught.value.faults[0].cure)
    with pytest.raises(InputError, match="no host has the label 'disk'"):
        parse_goals("balance:disk", fleet)
