"""What has no place where it is goes first: to another node of its host, to another host, and it stays mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from placer.model.goals import parse_goals
from placer.model.vm import CpuPolicy, PinPolicy
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate, violations
from solvers.objective import Changes, Objective, Shortages
from solvers.problem import Flavor, HostClass, MoveBudget, Problem, Shape, Shortage
from solvers.result import Limits
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.mend import firm, mended

FLOOR = frozenset({0, 1, 2, 3})


def overfull(build: Any, moves: int | None, migrations: int | None = None, nodes: int = 2) -> Problem:
    """Return two hosts, of which the first has three VMs of two shared vCPUs on four CPUs of one node."""
    spec = build.spec(2, 1, cpu_policy=CpuPolicy.SHARED)
    now = build.now(pins=dict.fromkeys(range(2), FLOOR))
    hosts = [build.host(name, topology=build.topology(nodes=nodes)) for name in "ab"]
    fleet = build.fleet(hosts, [build.vm(name, spec, current=now) for name in "uvw"])
    goals = parse_goals("placed,excess,moves", fleet)
    return compile_fleet(fleet, goals, MoveBudget(moves=moves, migrations=migrations)).problem


def values(problem: Problem, **limits: Any) -> dict[str, int]:
    """Return what the mended first answer is worth, by goal and part."""
    found = mended(problem, solve_greedy(problem))
    assert violations(problem, found.patterns, found.unplaced) == []
    worth = evaluate(problem, found.patterns, found.unplaced)
    return {f"{o.goal} {o.part}".strip(): value for o, value in zip(problem.objectives, worth, strict=True)}


@pytest.mark.parametrize(("nodes", "host"), [(2, 0), (1, 1)])
def test_one_move_mends_what_one_move_can(build: Any, nodes: int, host: int) -> None:
    """To the other node of the host where there is one, else to the other host."""
    found = values(overfull(build, moves=1, nodes=nodes))
    assert found["excess CPUs for shared vCPUs"] == 0
    assert found["moves VMs that change host"] == host
    assert found["moves VMs that change host or node"] == 1


def test_of_few_moves_those_that_mend_most(build: Any) -> None:
    """One move for two hosts that lack one GiB and five: the second one's, though the first one comes first."""
    hosts = [build.host(name, topology=build.topology(nodes=1, memory_gib=16)) for name in "abc"]
    spec = build.spec(1, 5.5, cpu_policy=CpuPolicy.SHARED)
    large = build.spec(1, 7, cpu_policy=CpuPolicy.SHARED)
    there = [("a", spec)] * 3 + [("b", large)] * 3
    vms = [build.vm(f"v{n}", one, current=build.now(host=host)) for n, (host, one) in enumerate(there)]
    fleet = build.fleet(hosts, vms)
    problem = compile_fleet(fleet, parse_goals("placed,excess,moves", fleet), MoveBudget(moves=1)).problem
    found = values(problem)
    assert (found["excess KiB of memory"], found["moves VMs that change host"]) == (512 * 1024, 1)


def test_limits_are_kept(build: Any) -> None:
    """Without a move, or with no host to go to within the limit, all stays as it is."""
    assert values(overfull(build, moves=0))["excess CPUs for shared vCPUs"] > 0
    assert values(overfull(build, moves=1, migrations=0, nodes=1))["excess CPUs for shared vCPUs"] > 0


def test_what_was_mended_stays_mended(build: Any) -> None:
    """Rows within their room have that as their capacity; the search ends with the excess gone."""
    problem = overfull(build, moves=1)
    found = mended(problem, solve_greedy(problem))
    tight = firm(problem, found)
    for one, other in zip(problem.classes, tight.classes, strict=True):
        assert (other.capacity <= one.capacity).all()
        if one.room is not None:
            assert np.array_equal(other.capacity, np.minimum(one.room, one.capacity))
    best = solve(problem, limits=Limits(time_limit_s=20))
    assert best.status == "optimal"
    assert [row.value for row in best.objectives if row.goal == "excess"] == [0]


@pytest.mark.parametrize(("pin", "excess", "moves"), [(PinPolicy.ALLOWED, 2, 0), (PinPolicy.NEVER, 0, 1)])
def test_newcomers_take_no_room_that_they_need_not(build: Any, pin: PinPolicy, excess: int, moves: int) -> None:
    """One that may float leaves the node to whom it mends; one that is to be bound needs it, and placed comes first."""
    spec, small = (build.spec(vcpus, 1, cpu_policy=CpuPolicy.SHARED) for vcpus in (3, 2))
    now = build.now(pins=dict.fromkeys(range(3), FLOOR))
    vms = [*(build.vm(name, spec, current=now) for name in "uv"), build.vm("new", small, pin=pin)]
    fleet = build.fleet([build.host("a", topology=build.topology(nodes=2))], vms)
    goals = parse_goals("placed,excess,moves", fleet)
    best = solve(compile_fleet(fleet, goals, MoveBudget(moves=1)).problem, limits=Limits(time_limit_s=20))
    assert best.status == "optimal"
    found = {goal: sum(row.value for row in best.objectives if row.goal == goal) for goal in ("placed", "excess")}
    assert found == {"placed": 0, "excess": excess}
    assert [row.value for row in best.objectives if row.goal == "moves"][-1] == moves


def test_a_place_that_may_hold_no_more_is_not_taken() -> None:
    """A VM that is bound to a node of its host floats nowhere over it: another one is moved instead."""
    shape = Shape(
        name="s",
        nodes=2,
        row_names=((0, "memory"), (None, "memory of nodes 0, 1")),
        flavor=np.array([0, 0, 1, 1]),
        use=np.array([[4, 4], [0, 4], [4, 4], [0, 4]]),
        cost={},
        touches=np.ones((4, 2), dtype=np.bool_),
        stay_only=np.array([True, False, False, False]),
        shortages=(Shortage(part="memory", apart=(((0, 1),), ((1, 1),))),),
        inside={1: ((0,),)},
    )
    anywhere, free = np.ones(2, dtype=np.bool_), np.zeros(2, dtype=np.int64)
    host = HostClass(
        shape=0,
        count=1,
        capacity=np.array([8, 16]),
        room=np.array([4, 16]),
        fixed=free,
        content=((0, 1), (2, 1)),
        at_most={1: 0},
        allowed=anywhere,
        stay_penalty=free,
    )
    other = HostClass(shape=0, count=1, capacity=np.array([4, 16]), fixed=free, allowed=anywhere, stay_penalty=free)
    problem = Problem(
        flavors=(Flavor(name="a", vcpus=1), Flavor(name="b", vcpus=1)),
        shapes=(shape,),
        classes=(host, other),
        objectives=(
            Objective(goal="excess", terms=(Shortages("memory"),)),
            Objective(goal="moves", terms=(Changes(moves=1),)),
        ),
    )
    found = mended(problem, solve_greedy(problem))
    assert violations(problem, found.patterns, found.unplaced) == []
    assert evaluate(problem, found.patterns, found.unplaced) == (0, 1)


def test_mending_ends_when_it_is_told_to(build: Any) -> None:
    """What was mended till then counts."""
    problem = overfull(build, moves=1)
    first = solve_greedy(problem)
    assert mended(problem, first, lambda: True).patterns == first.patterns
