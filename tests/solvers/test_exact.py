"""Engine A against enumeration, with its bounds, limits and determinism."""

from __future__ import annotations

import pytest
from small_problems import answers, small_problem

from solvers.evaluate import evaluate, violations
from solvers.exact import solve_exact
from solvers.result import Limits


@pytest.mark.parametrize("block", range(20))
def test_every_value_and_bound_is_that_of_enumeration(block: int) -> None:
    """On random small problems of every feature all values and bounds are those of the lexicographic optimum."""
    for seed in range(15 * block, 15 * block + 15):
        problem = small_problem(seed)
        known = answers(problem)
        for symmetry in (True, False):
            result = solve_exact(problem, limits=Limits(time_limit_s=60), symmetry=symmetry)
            if not known:
                assert result.status == "infeasible", seed
                assert all(row.bound is None for row in result.objectives), seed
                continue
            best = min(known)
            assert result.status == "optimal", seed
            assert not violations(problem, result.patterns, result.unplaced), seed
            assert evaluate(problem, result.patterns, result.unplaced) == best, seed
            assert tuple(row.value for row in result.objectives) == best, seed
            assert tuple(row.bound for row in result.objectives) == best, seed
