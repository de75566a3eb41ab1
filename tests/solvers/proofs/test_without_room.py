"""What placements cost at least where every place has room: below every answer, and as much as the savings leave."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from small_problems import answers, small_problem

from solvers.objective import HostCosts, Objective
from solvers.problem import MoveBudget
from solvers.proofs.floors import saving_floor
from solvers.proofs.without_room import bound_without_room


def test_no_answer_is_below_it() -> None:
    """Of small fleets no answer costs less, with no, one or two moves; savings prove no more."""
    above_nothing = 0
    for seed, moves in itertools.product(range(60), (0, 1, 2)):
        problem = replace(small_problem(seed), budget=MoveBudget(moves=moves))
        found = answers(problem)
        for number, objective in enumerate(problem.objectives):
            for own in sorted(found)[:3]:
                bound = bound_without_room(problem, own, number)
                if bound is None:
                    continue
                under = [
                    values[number]
                    for values in found
                    if all(a <= b for a, b in zip(values[:number], own, strict=False))
                ]
                assert bound <= min(under), (seed, number)
                if objective.cost is not None:
                    assert bound >= saving_floor(problem, objective), (seed, number)
                    above_nothing += bound > 0
    assert above_nothing > 5


@pytest.mark.parametrize("wrong", ["a host that pays", "places not listed"])
def test_nothing_is_said_where_a_cost_is_below_nothing_or_unknown(wrong: str) -> None:
    """A host that pays to be used, and VMs that may be now in a place that was not listed, leave no bound."""
    live = (one for one in map(small_problem, range(50)) if any(own.content for own in one.classes))
    problem, objective = next((one, o) for one in live for o in one.objectives if o.cost is not None)
    if wrong == "a host that pays":
        objective = Objective(goal="hosts", terms=(HostCosts(),))
        problem = replace(problem, classes=tuple(replace(one, cost=-1) for one in problem.classes))
    else:
        problem = replace(problem, shapes=tuple(replace(one, complete=False) for one in problem.shapes))
    assert bound_without_room(replace(problem, objectives=(objective,)), [], 0) is None
