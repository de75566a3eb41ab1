"""Bounds where few moves are allowed, by what the last of them can save: without a column."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.columns.engine import solve_columns
from solvers.objective import Objective, PlacementCosts, StayPenalties
from solvers.problem import Flavor, HostClass, MoveBudget, Problem, Shape
from solvers.proofs.floors import move_prices
from solvers.result import HostPattern, Limits, Result

RULES = Objective(goal="rules", terms=(StayPenalties(),))
REMOTE = Objective(goal="remote", terms=(PlacementCosts("remote"),))
HERE, APART = 0, 1
"""Placements of each VM: on one node, or away from its memory."""


def fleet(costs: tuple[int, ...], *, drained: int, moves: int, room: int = 2) -> Problem:
    """Return hosts of `room` VMs that hold one each, away from its memory at these costs; the first ones are drained,
    and one more host is empty.
    """
    vms = len(costs)
    shape = Shape(
        name="one",
        nodes=1,
        row_names=((0, "cpu"),),
        flavor=np.repeat(np.arange(vms), 2),
        use=np.ones((2 * vms, 1), dtype=np.int64),
        cost={"remote": np.array([cost for each in costs for cost in (0, each)], dtype=np.int64)},
        touches=np.ones((2 * vms, 1), dtype=np.bool_),
        stay_only=np.array([False, True] * vms),
    )
    classes = [
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([room]),
            fixed=np.zeros(1, dtype=np.int64),
            content=((2 * host + APART, 1),) if host < vms else (),
            allowed=np.full(vms, host >= drained),
            stay_penalty=np.full(vms, int(host < drained)),
        )
        for host in range(vms + 1)
    ]
    flavors = tuple(Flavor(name=f"v{n}", vcpus=1, arriving=0) for n in range(vms))
    return Problem(
        flavors=flavors,
        shapes=(shape,),
        classes=tuple(classes),
        objectives=(RULES, REMOTE),
        budget=MoveBudget(moves=moves),
    )


def answer(problem: Problem, places: dict[int, int]) -> Result:
    """Return an answer: VM -> the host that it is on, near its memory; others as they are."""
    vms = len(problem.flavors)
    held: list[list[tuple[int, int]]] = [[] for _ in problem.classes]
    for vm in range(vms):
        placement = 2 * vm + (HERE if vm in places else APART)
        held[places.get(vm, vm)].append((placement, 1))
    patterns = [HostPattern(host_class=n, count=1, placements=tuple(sorted(own))) for n, own in enumerate(held)]
    return Result(status="feasible", objectives=(), patterns=tuple(patterns), unplaced=(0,) * vms)


def test_a_move_that_an_earlier_goal_takes_saves_nothing() -> None:
    """Of two moves one empties the drained host: the other one saves three at most, and so the two stay."""
    problem = fleet((0, 3, 2), drained=1, moves=2)
    found = solve_columns(problem, limits=Limits(time_limit_s=60, rounds=0), warm_start=answer(problem, {0: 3, 1: 1}))
    rules, remote = found.objectives
    assert (rules.value, remote.value, remote.bound) == (0, 2, 2)


def test_hosts_that_cost_more_than_their_best_pattern_take_it() -> None:
    """An answer that spends its moves on the smallest savings is better at once, with as many moves."""
    problem = fleet((9, 8, 7, 1, 1, 1), drained=0, moves=3)
    start = answer(problem, {3: 3, 4: 4, 5: 5})
    found = solve_columns(problem, limits=Limits(time_limit_s=60, rounds=0), warm_start=start)
    assert found.objectives[1].bound == 3
    assert found.objectives[1].value < 24


def test_moves_that_are_left_are_made() -> None:
    """Three VMs save as much and two may move: the bound leaves one, and so does the answer."""
    problem = fleet((10, 10, 10), drained=0, moves=2)
    found = solve_columns(problem, limits=Limits(time_limit_s=60, rounds=0), warm_start=answer(problem, {}))
    assert (found.objectives[1].value, found.objectives[1].bound) == (10, 10)


@pytest.mark.parametrize(("moves", "prices"), [(0, []), (1, [9]), (3, [8, 9]), (4, [1, 8, 9]), (5, [])])
def test_a_move_is_worth_what_the_last_one_saves(moves: int, prices: list[int]) -> None:
    """The saving of the last VM that has a move, then the larger ones; none where moves are not short."""
    assert move_prices(fleet((9, 8, 8, 1, 0), drained=0, moves=moves), REMOTE) == prices
