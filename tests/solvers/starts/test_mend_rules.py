"""Rules that are broken at the start: mended by few moves, and never at the cost of another one."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.live_rules import GOALS, broken_fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate, violations
from solvers.problem import MoveBudget, Problem
from solvers.proofs.first_claims import proven_first
from solvers.starts.best_fit import solve_greedy
from solvers.starts.mend_rules import rules_mended


def _problem(seed: int, moves: int) -> Problem:
    fleet = broken_fleet(seed=seed, hosts=48, racks=6, groups=9, broken=6)
    return compile_fleet(fleet, parse_goals(GOALS, fleet), MoveBudget(moves=moves)).problem


def test_breaks_that_one_move_each_mends_are_mended_and_proven() -> None:
    """With a move for each break none is left, with fewer moves as many as those cannot mend; both are proven."""
    for moves in (6, 2):
        problem = _problem(0, moves)
        found = proven_first(problem, rules_mended(problem, solve_greedy(problem)))
        assert not violations(problem, found.patterns, found.unplaced)
        assert next(row.value for row in found.objectives if row.goal == "rules") == 6 - moves
        assert found.status == "optimal"


def test_nothing_is_mended_without_moves() -> None:
    """A limit of no moves leaves the answer as it is, and so does the end of the time."""
    problem = _problem(0, 0)
    start = solve_greedy(problem)
    assert rules_mended(problem, start) is start
    problem = replace(problem, budget=MoveBudget(moves=6))
    assert rules_mended(problem, start, lambda: True) is start
    assert evaluate(problem, start.patterns, start.unplaced)[-1] == 0
