"""What given prices prove of loads and moves: below every answer whatever they are, and as much as who found them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from small_problems import small_case

from solvers.objective import Changes, Hinges, HostCosts, Objective, PlacementCosts
from solvers.problem import MoveBudget, Problem
from solvers.proofs.load_prices import priced
from solvers.proofs.loads_by_prices import bound_by_prices
from solvers.proofs.price_lists import price_lists


def any_prices(rng: random.Random, problem: Problem, of: int) -> dict[str, Any]:
    """Return prices of an objective's rows that nobody looked for."""
    goal = problem.objectives[of].hinge
    rows = [len({hinge.row for hinge in shape.hinges if hinge.goal == goal}) for shape in problem.shapes]
    drawn = [[rng.randrange(60) for _ in range(rows[one.shape])] for one in problem.classes]
    return {"of": of, "free": rng.random() < 0.5, "scale": 16, "rows": drawn}


def test_no_answer_is_below_what_prices_prove() -> None:
    """Prices that were looked for and any others hold of all answers of small fleets, and are not all 0."""
    rng, compared, above = random.Random(1), 0, 0
    for seed in range(200):
        problem, answers = small_case(seed)
        if not answers:
            continue
        objectives = problem.objectives
        hinged = [number for number, one in enumerate(objectives) if one.hinge is not None]
        for number, objective in enumerate(objectives):
            own = min(answers)
            lists = price_lists(problem, own, number)
            of = [n for n in hinged if n == number or (n < number and objective.term(Changes))]
            lists += [any_prices(rng, problem, n) for n in of for _ in range(4)]
            bound = bound_by_prices(problem, own, number, lists)
            under = [one for one in answers if all(a <= b for a, b in zip(one[:number], own, strict=False))]
            if bound is not None:
                assert bound <= min(one[number] for one in under), (seed, number)
                compared, above = compared + 1, above + (bound > 0)
    assert compared > 100 and above > 30, (compared, above)


def test_they_prove_as_much_as_who_found_them_says() -> None:
    """Another way to add up comes to the same number."""
    above = 0
    for seed in range(200):
        problem, _ = small_case(seed)
        for number, objective in enumerate(problem.objectives):
            negative = objective.cost and any((s.cost.get(objective.cost, s.flavor) < 0).any() for s in problem.shapes)
            found = () if negative else priced(problem, objective)
            if found:
                bound = bound_by_prices(problem, [], number, price_lists(problem, [], number))
                assert bound is not None and bound >= max(one.floor for one in found), (seed, number)
                above += bound > 0
    assert above > 20


def live_and_even() -> tuple[Problem, int]:
    """Return a small problem and the number of an objective of loads that prices bound above 0."""
    for seed in range(200):
        problem, answers = small_case(seed)
        for number, objective in enumerate(problem.objectives):
            lists = price_lists(problem, [], number) if answers and objective.terms == (objective.term(Hinges),) else []
            if (bound_by_prices(problem, [], number, lists) or 0) > 0:
                return problem, number
    raise AssertionError("no such problem")


@pytest.mark.parametrize("wrong", ["places not listed", "costs below nothing", "prices of fewer rows", "too large"])
def test_nothing_is_said_where_a_premise_does_not_hold(wrong: str) -> None:
    """Prices that do not fit the problem, and problems in which they are no proof, leave no bound."""
    problem, number = live_and_even()
    lists = price_lists(problem, [], number)
    assert bound_by_prices(problem, [], number, lists)
    if wrong == "places not listed":
        problem = replace(problem, shapes=tuple(replace(one, complete=False) for one in problem.shapes))
    elif wrong == "costs below nothing":
        terms = (*problem.objectives[number].terms, HostCosts())
        problem = replace(
            problem,
            classes=tuple(replace(one, cost=-1) for one in problem.classes),
            objectives=(Objective(goal="hosts", terms=terms),),
        )
        lists = [{**one, "of": 0} for one in lists]
        number = 0
    elif wrong == "prices of fewer rows":
        lists = [{**one, "rows": [rows[1:] for rows in one["rows"]]} for one in lists]
    else:
        lists = [{**one, "rows": [[2**62 for _ in rows] for rows in one["rows"]]} for one in lists]
    assert bound_by_prices(problem, [], number, lists) is None


def test_any_number_of_moves_has_prices_too() -> None:
    """Without a limit on moves all that is proven is what even loads cost."""
    problem, number = live_and_even()
    free = replace(problem, budget=MoveBudget())
    limited = bound_by_prices(problem, [], number, price_lists(problem, [], number))
    whole = bound_by_prices(free, [], number, price_lists(free, [], number))
    assert whole is not None and limited is not None and whole <= limited
    assert free.objectives[number].term(PlacementCosts) is None
