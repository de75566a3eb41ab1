"""What loads cost at least by prices: below every answer of small fleets, and near the best one where moves are few."""

from __future__ import annotations

import numpy as np
from small_problems import small_case

from solvers.objective import Changes, Hinges, Objective
from solvers.problem import Flavor, Hinge, HostClass, MoveBudget, Problem, Shape
from solvers.proofs.floors import changes_floor, load_floor
from solvers.proofs.load_prices import priced
from solvers.result import Limits
from solvers.solve import solve


def test_no_answer_is_below_a_floor_by_prices() -> None:
    """Of small fleets with every feature no answer's loads cost less."""
    compared = above = 0
    for seed in range(300):
        problem, answers = small_case(seed)
        for number, objective in enumerate(problem.objectives):
            key = objective.cost
            if key is not None and any(key in shape.cost and (shape.cost[key] < 0).any() for shape in problem.shapes):
                continue
            for one in priced(problem, objective) if answers else ():
                assert one.floor <= min(value[number] for value in answers), (seed, number)
                compared += 1
                above += one.floor > 0
    assert compared > 80 and above > 40


def test_no_answer_changes_less_than_its_loads_take() -> None:
    """Every answer of small fleets has at least as many moves and migrations as what its loads cost takes."""
    above = 0
    for seed in range(300):
        problem, answers = small_case(seed)
        counted = [n for n, one in enumerate(problem.objectives) if one.moves or one.migrations]
        hinged = [n for n, one in enumerate(problem.objectives) if one.hinge is not None and one.cost is None]
        for number in hinged:
            for most in {value[number] for value in answers}:
                earlier = [(problem.objectives[number], most)]
                fewest = {n: changes_floor(problem, problem.objectives[n], earlier) for n in counted}
                above += any(fewest.values())
                reached = [value for value in answers if value[number] <= most]
                assert all(many <= value[n] for n, many in fewest.items() for value in reached), seed
    assert above > 5, above


def _two_resources(moves: int) -> Problem:
    """A host full of VMs that are large in one of two resources each, and a host with nothing."""
    hinges = tuple(Hinge(goal="balance", row=row, offset=4 * n) for row in (0, 1) for n in range(10))
    shape = Shape(
        name="s",
        nodes=1,
        row_names=((0, "cpu"), (0, "memory")),
        flavor=np.arange(2),
        use=np.array([[4, 1], [1, 4]], dtype=np.int64),
        cost={},
        touches=np.ones((2, 1), dtype=np.bool_),
        stay_only=np.zeros(2, dtype=np.bool_),
        hinges=hinges,
    )
    full, empty = (
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([100, 100]),
            fixed=np.array([0, 0]),
            content=content,
            allowed=np.ones(2, dtype=np.bool_),
            stay_penalty=np.zeros(2, dtype=np.int64),
        )
        for content in (((0, 6), (1, 6)), ())
    )
    return Problem(
        flavors=(Flavor(name="a", vcpus=4), Flavor(name="b", vcpus=1)),
        shapes=(shape,),
        classes=(full, empty),
        objectives=(
            Objective(goal="balance", terms=(Hinges("balance"),)),
            Objective(goal="moves", terms=(Changes(migrations=0, moves=1),)),
        ),
        budget=MoveBudget(moves=moves),
    )


def test_a_move_takes_of_one_budget_for_all_resources() -> None:
    """The largest VMs of each resource are not the same: that both go with one move is no floor by prices."""
    for moves in (1, 2, 4):
        problem = _two_resources(moves)
        best = solve(problem, limits=Limits(time_limit_s=600), engine="exact").objectives[0]
        assert best.status == "optimal" and best.value is not None
        (found,) = priced(problem, problem.objectives[0])
        assert load_floor(problem, problem.objectives[0]) < found.floor <= best.value
        assert best.value - found.floor <= best.value // 20
        assert found.moves(best.value) == moves
        changes = problem.objectives[1]
        assert changes_floor(problem, changes, [(problem.objectives[0], best.value)]) == moves


def test_moves_in_no_time_are_the_best_and_proven() -> None:
    """Where no engine comes to its first round the obvious moves are made, and prices prove them."""
    found = solve(_two_resources(4), limits=Limits(time_limit_s=0.0))
    assert [(row.value, row.bound, row.status) for row in found.objectives] == [
        (156, 156, "optimal"),
        (4, 4, "optimal"),
    ]


def test_without_a_limit_on_moves_there_are_no_prices() -> None:
    """Where any VM may move no budget is to be priced."""
    problem = _two_resources(1)
    free = Problem(
        flavors=problem.flavors, shapes=problem.shapes, classes=problem.classes, objectives=problem.objectives
    )
    assert priced(free, free.objectives[0]) == ()
    assert priced(problem, problem.objectives[1]) == ()
