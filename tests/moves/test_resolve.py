"""Circles of moves: a second solve without them, taken only where no goal is worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Change, Plan
from placer.moves import resolve as moves_resolve
from placer.moves.schedule import cyclic_moves, schedule_moves
from placer.planner import solve_fleet
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.decode.plan import plan_from_result
from solvers.problem import Problem
from solvers.result import HostPattern, Limits, Result
from solvers.solve import solve


def swapped(build: Any, hosts: str, goals: str) -> tuple[Fleet, Compiled, Result, Plan]:
    """Return two unlike VMs on full hosts a and b, and an answer that makes them change places."""
    topology = build.topology(nodes=1)
    specs = [build.spec(4, 10), build.spec(4, 12)]
    vms = [
        build.vm(name, spec, current=build.now(at, pins={n: frozenset({n}) for n in range(4)}))
        for name, spec, at in zip(("one", "two"), specs, "ab", strict=True)
    ]
    fleet = build.fleet([build.host(name, topology) for name in hosts], vms)
    compiled = compile_fleet(fleet, parse_goals(goals, fleet), move_budget(fleet, 10, None))
    result = solve(compiled.problem, limits=Limits(time_limit_s=10))
    class_of = {member: number for number, cls in enumerate(compiled.problem.classes) for member in cls.members}
    content = {class_of[n]: compiled.problem.classes[class_of[n]].content for n in (0, 1)}
    there = {class_of[0]: content[class_of[1]], class_of[1]: content[class_of[0]]}
    patterns = tuple(
        HostPattern(host_class=number, count=cls.count, placements=there.get(number, ()))
        for number, cls in enumerate(compiled.problem.classes)
    )
    result = replace(result, patterns=patterns, unplaced=(0,) * len(compiled.problem.flavors))
    return fleet, compiled, result, plan_from_result(compiled, result, seed=0)


def test_a_circle_is_solved_again_without_its_arrivals(build: Any) -> None:
    """Two VMs that change places for nothing: the second plan has no circle, keeps every goal and says so."""
    fleet, compiled, result, plan = swapped(build, "ab", "placed")
    assert [cycle.vms for cycle in cyclic_moves(fleet, plan)] == [("one", "two")]
    asked: list[Problem] = []

    def again(problem: Problem) -> Result:
        asked.append(problem)
        return solve(problem, limits=Limits(time_limit_s=10))

    found = moves_resolve.without_cycles(compiled, result, plan, again, lambda r: plan_from_result(compiled, r, seed=0))
    assert not any(cls.allowed.all() for cls in asked[0].classes)
    assert cyclic_moves(fleet, found) == () and schedule_moves(fleet, found).parking_moves == 0
    assert found.summary["cycles"] == {
        "found": 1,
        "fewest_put_aside_before": 1,
        "left": 0,
        "fewest_put_aside": 0,
        "outcome": "solved again without them: no goal is worse",
    }
    assert [(goal.name, goal.value, goal.bound) for goal in found.goals] == [
        (goal.name, goal.value, goal.bound) for goal in plan.goals
    ]


def test_a_worse_second_plan_is_not_taken(build: Any) -> None:
    """Where the answer without the circle leaves a VM out or there is none, the plan stays and says why."""
    fleet, compiled, result, plan = swapped(build, "ab", "placed")

    def worse(problem: Problem) -> Result:
        found = solve(problem, limits=Limits(time_limit_s=10))
        return replace(found, patterns=found.patterns[:1])

    for again, outcome in (
        (worse, "solved again: without them a goal gets worse"),
        (lambda _: None, "no time was left to solve again"),
        (lambda _: result, "solved again: no plan with fewer is as good"),
    ):
        found = moves_resolve.without_cycles(
            compiled, result, plan, again, lambda r: plan_from_result(compiled, r, seed=0)
        )
        assert found.vms == plan.vms and found.summary["cycles"]["outcome"] == outcome
        assert found.summary["cycles"]["fewest_put_aside"] == 1
    assert cyclic_moves(fleet, plan)


def test_plans_without_circles_are_left_alone(build: Any) -> None:
    """A live fleet whose plan needs no VM put aside has no word on circles, and the same plan again by its rounds."""
    topology = build.topology(nodes=1)
    vm = build.vm("one", build.spec(2, 2), current=build.now("a"))
    fleet = build.fleet([build.host("a", topology), build.host("b", topology)], [vm])
    plan = solve_fleet(fleet, goals="placed,moves", max_moves=3, time_limit_s=5)
    assert "cycles" not in plan.summary
    assert all(placed.change in (Change.NONE, Change.REPIN) for placed in plan.vms)


@pytest.mark.parametrize("seed", range(3))
def test_live_plans_solved_again_replay_by_their_rounds(build: Any, seed: int) -> None:
    """The rounds that a plan records give the same plan, a second solve included."""
    topology = build.topology(nodes=2)
    hosts = [build.host(name, topology) for name in "abcd"]
    sizes = [(4, 9), (4, 10), (2, 4), (3, 8), (4, 12), (2, 6)]
    vms = []
    for number, name in enumerate("stuvwxyz"):
        vcpus, memory = sizes[(number + seed) % len(sizes)]
        where = build.now("abcd"[number // 2], nodes=(number % 2,))
        vms.append(build.vm(name, build.spec(vcpus, memory), current=where))
    fleet = build.fleet(hosts, vms)
    first = solve_fleet(fleet, goals="placed,headroom:4x8GiB", max_moves=8, time_limit_s=600)
    again = solve_fleet(fleet, goals="placed,headroom:4x8GiB", max_moves=8, time_limit_s=600, rounds=first.rounds)
    assert (again.vms, again.rounds, again.summary) == (first.vms, first.rounds, first.summary)
