"""First answers that fill one host after the other: fewer hosts where best fit wastes room, never a worse answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instances import synthetic_fleet
from small_problems import small_case

from benchmarks.vector_packing import Record, packing_problem
from solvers.evaluate import evaluate, violations
from solvers.problem import CrossRule
from solvers.result import Limits
from solvers.solve import solve
from solvers.starts.best_fit import solve_greedy
from solvers.starts.host_by_host import fewer_hosts


@pytest.mark.parametrize(
    ("items", "greedy", "filled"),
    [
        (((2, 5), (5, 4), (4, 4), (1, 6), (4, 7)), 4, 3),
        (((2, 7), (8, 2), (5, 4), (5, 5), (6, 7), (2, 3), (4, 5), (2, 6)), 5, 4),
    ],
)
def test_two_resources_that_run_short_by_turns(items: tuple[tuple[int, int], ...], greedy: int, filled: int) -> None:
    """Bins of (10, 10) that best fit closes too early are filled with what suits the room left in them."""
    problem, _ = packing_problem(Record(name="by turns", capacity=(10, 10), items=items), len(items))
    first = solve_greedy(problem)
    found = fewer_hosts(problem, first)
    unit = problem.objectives[1].unit
    assert evaluate(problem, first.patterns, first.unplaced) == (0, greedy * unit)
    assert evaluate(problem, found.patterns, found.unplaced) == (0, filled * unit)
    assert not violations(problem, found.patterns, found.unplaced)
    door = solve(problem, limits=Limits(rounds=0))
    assert [row.value for row in door.objectives] == [0, filled * unit]


def test_never_worse_and_always_valid() -> None:
    """On empty fleets the answer breaks nothing and is as good as the greedy one at least."""
    for seed in range(60):
        problem, _ = small_case(seed)
        first = solve_greedy(problem, seed=seed)
        found = fewer_hosts(problem, first, seed=seed)
        if first.patterns:
            assert not violations(problem, found.patterns, found.unplaced), seed
            mine, known = (evaluate(problem, one.patterns, one.unplaced) for one in (found, first))
            assert mine <= known, seed
    problem = synthetic_fleet(10, 140)
    first = solve_greedy(problem)
    found = fewer_hosts(problem, first)
    assert not violations(problem, found.patterns, found.unplaced)


def test_live_fleets_and_rules_are_left_alone() -> None:
    """Where VMs are somewhere already, or rules hold over hosts, the answer given comes back as it is."""
    problem, _ = packing_problem(Record(name="r", capacity=(10, 10), items=((2, 5), (5, 4), (4, 4), (1, 6), (4, 7))), 5)
    first = solve_greedy(problem)
    ruled = replace(problem, rules=(CrossRule(name="r", kind="spread", members=(0,), scope="host"),))
    live = replace(problem, classes=(replace(problem.classes[0], content=((0, 1),)),))
    assert fewer_hosts(ruled, first) is first
    assert fewer_hosts(live, first) is first
