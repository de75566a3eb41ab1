"""The family of first answers holds every simple heuristic, so none of them is better; what runs stays where it is."""

from __future__ import annotations

import pytest
from small_problems import small_problem

from benchmarks.small_fleets import KINDS, simple_answers, small_fleet
from solvers.evaluate import evaluate, violations
from solvers.starts.best_fit import solve_greedy
from solvers.starts.family import best_of_family


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_no_simple_heuristic_is_better(kind: int) -> None:
    """On small fleets of every kind the first answer is as good as the best simple heuristic by all goals in order."""
    for number in (kind + 10, kind + 30):
        name, problem = small_fleet(number, 2, 6)
        first = best_of_family(problem, solve_greedy(problem))
        assert not violations(problem, first.patterns, first.unplaced), name
        best = min(answer.values for _, answer in simple_answers(problem))
        assert evaluate(problem, first.patterns, first.unplaced) <= best, name


def test_what_is_there_already_stays_and_nothing_is_broken() -> None:
    """With content, budgets, rules and limited places the answer breaks nothing and is never worse than best fit."""
    better = 0
    for seed in range(60):
        problem = small_problem(seed)
        greedy = solve_greedy(problem)
        first = best_of_family(problem, greedy)
        if not greedy.patterns:
            assert first is greedy
            continue
        assert not violations(problem, first.patterns, first.unplaced), seed
        mine, known = (evaluate(problem, one.patterns, one.unplaced) for one in (first, greedy))
        assert mine <= known, seed
        better += mine < known
    assert better


def test_whoever_does_not_want_to_wait_has_the_answer_that_was_there() -> None:
    """Where the time is up the answer is what there was, or one that is as good."""
    _, problem = small_fleet(30, 2, 6)
    greedy = solve_greedy(problem)
    found = best_of_family(problem, greedy, lambda: True)
    values = [evaluate(problem, one.patterns, one.unplaced) for one in (found, greedy)]
    assert values[0] <= values[1]
