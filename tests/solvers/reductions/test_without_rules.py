"""Rules over several hosts by ties and a relaxation: what is found keeps them, what is claimed holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest
from small_problems import small_problem

from solvers.evaluate import evaluate, violations
from solvers.exact.search import solve_exact
from solvers.problem import Problem
from solvers.reductions.without_rules import solve_ruled
from solvers.result import Limits, ObjectiveResult, Result

# Sought no further than needed: every worker collects this file.
SEEDS = list(
    islice(
        (
            seed
            for seed in range(400)
            if (rules := small_problem(seed).rules)
            and not any(rule.kind == "spread" and rule.scope in ("host", "node") for rule in rules)
        ),
        60,
    )
)


def exact(
    problem: Problem, limits: Limits, start: Result | None = None, proven: Sequence[ObjectiveResult] = ()
) -> Result:
    """Solve a part exactly."""
    return solve_exact(problem, limits=limits, warm_start=start)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_keep_the_rules_and_bounds_hold(seed: int) -> None:
    """No rule is broken, and no bound is above the proven optimum of the whole problem."""
    problem = small_problem(seed)
    found = solve_ruled(problem, exact, Limits(time_limit_s=20))
    whole = solve_exact(problem, limits=Limits(time_limit_s=20))
    if not found.patterns:
        assert found.status == "unknown"
        return
    assert violations(problem, found.patterns, found.unplaced) == []
    values = evaluate(problem, found.patterns, found.unplaced)
    assert values == tuple(row.value for row in found.objectives)
    assert values >= tuple(row.value for row in whole.objectives if row.value is not None)
    for row, best in zip(found.objectives, whole.objectives, strict=True):
        assert row.bound is None or best.value is None or row.bound <= best.value
        if row.value != best.value:
            break
