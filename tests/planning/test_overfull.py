"""Hosts that run more than their CPUs carry are a fact: what is there may stay, and bounds are bounds of that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from placer.check.check import check
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy
from placer.planner import solve_fleet
from solvers.columns.engine import solve_columns
from solvers.objective import Changes, Objective
from solvers.problem import Flavor, HostClass, Problem, Shape
from solvers.result import Limits


def test_more_shared_vcpus_than_a_node_carries_may_stay(build: Any) -> None:
    """Six shared vCPUs run on four CPUs; the one move allowed goes to the VM that is away from its memory."""
    floor = frozenset({0, 1, 2, 3})
    shared = build.spec(3, 1, cpu_policy=CpuPolicy.SHARED)
    full = [build.vm(name, shared, current=build.now(pins=dict.fromkeys(range(3), floor))) for name in "vw"]
    away = build.vm("away", build.spec(1, 1), current=build.now("b", (0,), memory_nodes=(1,), pins={0: frozenset({0})}))
    fleet = build.fleet([build.host(), build.host("b")], [*full, away])
    for engine in ("auto", "exact", "states"):
        plan = solve_fleet(fleet, goals="placed,remote,moves", max_moves=1, engine=engine, time_limit_s=20)
        values = {goal.name: (goal.value, goal.bound) for goal in plan.goals}
        assert plan.status == "optimal", engine
        assert values["remote"] == (0, 0), engine
        assert {vm.host for vm in plan.vms if vm.name in "vw"} == {"a"}, engine


def test_the_columns_start_from_no_answer_that_breaks_a_row() -> None:
    """A host that holds two VMs where one fits is no first answer: what it costs would be below what is proven."""
    shape = Shape(
        name="s",
        nodes=1,
        row_names=((0, "memory"),),
        flavor=np.zeros(1, dtype=np.int64),
        use=np.ones((1, 1), dtype=np.int64),
        cost={},
        touches=np.ones((1, 1), dtype=np.bool_),
        stay_only=np.zeros(1, dtype=np.bool_),
    )
    host = HostClass(
        shape=0,
        count=1,
        capacity=np.ones(1, dtype=np.int64),
        fixed=np.zeros(1, dtype=np.int64),
        content=((0, 2),),
        allowed=np.ones(1, dtype=np.bool_),
        stay_penalty=np.zeros(1, dtype=np.int64),
    )
    free = replace(host, content=())
    goals = (Objective(goal="moves", terms=(Changes(migrations=1),)),)
    problem = Problem(flavors=(Flavor(name="f", vcpus=1),), shapes=(shape,), classes=(host, free), objectives=goals)
    found = solve_columns(problem, limits=Limits(time_limit_s=5))
    assert not found.patterns
    assert found.status == "unknown"


def test_emulators_that_take_all_cpus_of_shared_vcpus_are_a_plan(build: Any) -> None:
    """Two shared VMs with isolated emulators on a node of two CPUs: their vCPUs float over what the emulators have."""
    alone = build.spec(1, 1, cpu_policy=CpuPolicy.SHARED, emulator_threads=EmulatorPolicy.ISOLATE)
    host = build.host("a", build.topology(nodes=1, cpus=2))
    fleet = build.fleet([host], [build.vm(name, alone, current=build.now("a", (0,))) for name in "vw"])
    plan = solve_fleet(fleet, goals="excess", max_moves=0, time_limit_s=20)
    assert check(fleet, plan).ok
    assert {min(vm.emulator or ()) for vm in plan.vms} == {0, 1}


def test_siblings_of_unknown_cpus_count_where_a_node_is_over(build: Any) -> None:
    """A vCPU with a core of its own takes two threads though nobody knows which, beside five of six CPUs."""
    alone = build.spec(1, 1, cpu_policy=CpuPolicy.DEDICATED, thread_policy=ThreadPolicy.REQUIRE)
    vms = [build.vm("v", alone, current=build.now()), build.vm("w", build.spec(5, 1), current=build.now())]
    fleet = build.fleet([build.host(topology=build.topology(1, 6))], vms)
    plan = solve_fleet(fleet, max_moves=0, max_repins=0, time_limit_s=20)
    assert check(fleet, plan).ok and not any("fault of placer" in text for text in plan.warnings)
    goal = plan.goal("excess")
    assert goal.value == goal.bound == 0.5


def test_emulator_threads_of_unknown_cpus_stay_so_where_cpus_are_too_few(build: Any) -> None:
    """Two guests that see one node run on both: their parts on the other one get CPUs of their own, and on this one are
    too few.
    """
    spec = build.spec(4, 2, interleave=2, emulator_threads=EmulatorPolicy.ISOLATE)
    vms = [build.vm(name, spec, current=build.now(nodes=(0, 1))) for name in "vw"]
    fleet = build.fleet([build.host()], vms)
    plan = solve_fleet(fleet, goals="placed,remote", time_limit_s=20)
    assert not check(fleet, plan).faults
    assert all(vm.emulator is None for vm in plan.vms)
