"""Hosts that have to be full: triplets made to fill their bins are put together again, and nothing is ever worse."""

from __future__ import annotations

import random

import pytest
from small_problems import small_case

from benchmarks.vector_packing import Record, packing_problem, triplets
from solvers.evaluate import evaluate, violations
from solvers.result import Interrupt, Limits
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.full_hosts import full_hosts

Items = list[tuple[int, ...]]


def _cut(bins: int, parts: int, resources: int, *, seed: int, most: int = 1000) -> Items:
    draw = random.Random(seed)
    items: Items = []
    for _ in range(bins):
        cuts = [sorted(draw.sample(range(1, most), parts - 1)) for _ in range(resources)]
        edges = [[0, *cut, most] for cut in cuts]
        items += [tuple(edge[n + 1] - edge[n] for edge in edges) for n in range(parts)]
    draw.shuffle(items)
    return items


@pytest.mark.parametrize(("bins", "parts", "most"), [(30, 3, 1000), (12, 4, 1000), (20, 3, 12)])
def test_bins_cut_up_are_filled_again(bins: int, parts: int, most: int) -> None:
    """Every bin is full again, whether all items differ or some are alike, where best fit needs more bins."""
    items = _cut(bins, parts, 3, seed=bins, most=most)
    problem, _ = packing_problem(Record(name="cut", capacity=(most,) * 3, items=tuple(items)), len(items))
    first = solve_greedy(problem)
    found, searched = full_hosts(problem, first, seed=0, time_limit_s=1e6, interrupt=Interrupt())
    unit = problem.objectives[1].unit
    assert searched
    assert evaluate(problem, first.patterns, first.unplaced)[1] > bins * unit
    assert evaluate(problem, found.patterns, found.unplaced) == (0, bins * unit)
    assert not violations(problem, found.patterns, found.unplaced)


def test_the_door_proves_it() -> None:
    """Twenty-five bins cut in three each come out proven."""
    items = _cut(25, 3, 3, seed=4)
    problem, _ = packing_problem(Record(name="cut", capacity=(1000,) * 3, items=tuple(items)), len(items))
    found = solve(problem, limits=Limits(time_limit_s=600))
    assert found.status == "optimal"
    assert found.objectives[1].value == 25 * problem.objectives[1].unit


def test_the_door_looks_for_full_hosts_first() -> None:
    """Thirty bins of three items each are full after one round, which no other engine's first round does."""
    record = triplets(random.Random(5), "triplets", 30, 3)
    problem, _ = packing_problem(record, 40)
    found = solve(problem, limits=Limits(time_limit_s=600, rounds=1))
    assert found.objectives[1].value == 30 * problem.objectives[1].unit


def test_nothing_is_sought_where_room_may_stay_free() -> None:
    """Two items that could share a bin with much to spare, and fleets with other features, are left to others."""
    problem, _ = packing_problem(Record(name="loose", capacity=(10, 10), items=((3, 3), (3, 2), (2, 3))), 3)
    first = solve_greedy(problem)
    assert full_hosts(problem, first, seed=0, time_limit_s=1e6, interrupt=Interrupt()) == (first, False)
    for seed in range(30):
        small, _ = small_case(seed)
        first = solve_greedy(small)
        if first.patterns:
            found, _ = full_hosts(small, first, seed=0, time_limit_s=1e6, interrupt=Interrupt())
            assert not violations(small, found.patterns, found.unplaced)
