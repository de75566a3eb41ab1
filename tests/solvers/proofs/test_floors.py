"""What every plan costs at least: never above the best of all answers, and reached where moves alone decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_problems import small_case

from solvers.objective import Changes, Hinges, HostCosts, Objective, PlacementCosts
from solvers.problem import COST_UNIT, Flavor, Hinge, HostClass, MoveBudget, Problem, Shape
from solvers.proofs.floors import arrivals_floor, emptying_floor, least_moves, load_floor, saving_floor
from solvers.result import Limits
from solvers.solve import solve


def test_no_answer_is_below_a_floor() -> None:
    """Of every objective of small fleets with every feature, the least value of all answers is at least its floor."""
    compared = above = 0
    for seed in range(150):
        problem, answers = small_case(seed)
        if not answers:
            continue
        for number, objective in enumerate(problem.objectives):
            negative = any(
                objective.cost in shape.cost and (shape.cost[objective.cost] < 0).any() for shape in problem.shapes
            )
            if negative:
                assert saving_floor(problem, objective) == 0
                continue
            floor = saving_floor(problem, objective) + load_floor(problem, objective)
            floor += emptying_floor(problem, objective)
            assert floor <= min(value[number] for value in answers), (seed, number)
            compared += 1
            above += floor > 0
    assert compared > 150 and above > 10


def test_no_answer_moves_less_than_what_it_saves_takes() -> None:
    """Every answer of small fleets with every feature has at least as many moves as its other values take."""
    above = 0
    for seed in range(150):
        problem, answers = small_case(seed)
        counted = [n for n, objective in enumerate(problem.objectives) if objective.moves]
        for number, objective in enumerate(problem.objectives):
            if any(objective.cost in s.cost and (s.cost[objective.cost] < 0).any() for s in problem.shapes):
                continue
            floors = {most: least_moves(problem, objective, most) for most in {value[number] for value in answers}}
            for value in answers:
                floor = floors[value[number]]
                assert all(problem.objectives[n].moves * floor <= value[n] for n in counted), (seed, number)
                above += floor > 0
    assert above > 100


def _fleet(budget: MoveBudget, *, floating: bool) -> Problem:
    """Hosts of one row and 8, 4 and 4 units with 24 units on the first; the load costs more with every eighth."""
    sizes = (1, 2)
    hinges = [
        tuple(Hinge(goal="balance", row=0, offset=8 * n, slope=8 // capacity, scale=8 // capacity) for n in range(16))
        for capacity in (8, 4)
    ]
    shapes = tuple(
        Shape(
            name=f"s{number}",
            nodes=1,
            row_names=((0, "cpu"),),
            flavor=np.arange(2),
            use=np.array(sizes, dtype=np.int64)[:, None],
            cost={},
            touches=np.ones((2, 1), dtype=np.bool_),
            stay_only=np.zeros(2, dtype=np.bool_),
            hinges=own,
        )
        for number, own in enumerate(hinges)
    )
    there = ((0, 8), (1, 8))
    classes = (
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([1000]),
            fixed=np.array([0]),
            content=() if floating else there,
            floating=there if floating else (),
            allowed=np.ones(2, dtype=np.bool_),
            stay_penalty=np.zeros(2, dtype=np.int64),
        ),
        HostClass(
            shape=1,
            count=2,
            capacity=np.array([1000]),
            fixed=np.array([2]),
            allowed=np.ones(2, dtype=np.bool_),
            stay_penalty=np.zeros(2, dtype=np.int64),
        ),
    )
    return Problem(
        flavors=(Flavor(name="a", vcpus=1), Flavor(name="b", vcpus=2)),
        shapes=shapes,
        classes=classes,
        objectives=(
            Objective(goal="balance", terms=(Hinges("balance"),)),
            Objective(goal="moves", terms=(Changes(migrations=1, moves=1),)),
        ),
        budget=budget,
    )


def test_balance_is_proven_by_its_floor() -> None:
    """With any number of moves, of VMs on known nodes or not, the floor is the optimum where VMs fill it exactly."""
    for floating in (False, True):
        for moves in (0, 1, 3, 5, None):
            problem = _fleet(MoveBudget(moves=moves), floating=floating)
            best = solve(problem, limits=Limits(time_limit_s=600), engine="exact").objectives[0]
            assert best.status == "optimal" and best.value is not None
            floor = load_floor(problem, problem.objectives[0])
            assert floor <= best.value
            if moves is not None and moves <= 3:
                assert floor == best.value


def test_loads_that_differ_from_place_to_place_prove_nothing() -> None:
    """A VM that takes more in one shape than in another could lower the load by moving: there is no floor then."""
    problem = _fleet(MoveBudget(moves=1), floating=False)
    other = replace(problem.shapes[1], use=np.array([[1], [1]]))
    problem = replace(problem, shapes=(problem.shapes[0], other))
    immovable = sum(max(0, hinge.scale * 2 - hinge.offset) * hinge.slope for hinge in other.hinges) * 2
    assert load_floor(problem, problem.objectives[0]) == immovable


def _fleet_of_places(budget: MoveBudget) -> Problem:
    """One host of a flavor whose places cost 0, 1, 3 and 5, with two, one and one VMs on the last three."""
    shape = Shape(
        name="s",
        nodes=1,
        row_names=((0, "cpu"),),
        flavor=np.array([0, 0, 0, 0]),
        use=np.ones((4, 1), dtype=np.int64),
        cost={"remote": np.array([0, 1, 3, 5])},
        touches=np.ones((4, 1), dtype=np.bool_),
        stay_only=np.array([False, True, True, True]),
    )
    host = HostClass(
        shape=0,
        count=1,
        capacity=np.array([10]),
        fixed=np.array([0]),
        content=((1, 2), (2, 1), (3, 1)),
        allowed=np.ones(1, dtype=np.bool_),
        stay_penalty=np.zeros(1, dtype=np.int64),
    )
    return Problem(
        flavors=(Flavor(name="a", vcpus=1),),
        shapes=(shape,),
        classes=(host,),
        objectives=(Objective(goal="remote", terms=(PlacementCosts("remote"),)),),
        budget=budget,
    )


def test_a_saving_for_every_move() -> None:
    """Of places that cost 5, 3 and 1 more than the least, two moves save 8 at most."""
    problem = _fleet_of_places(MoveBudget(moves=2))
    assert saving_floor(problem, problem.objectives[0]) == 2
    assert saving_floor(replace(problem, budget=MoveBudget()), problem.objectives[0]) == 0
    assert [least_moves(problem, problem.objectives[0], most) for most in (10, 9, 5, 4, 2, 1, 0)] == [
        0,
        1,
        1,
        2,
        2,
        3,
        4,
    ]


def test_moves_are_proven_by_what_each_can_save() -> None:
    """Held at what two moves save at most, the columns engine knows without columns that it takes two."""
    problem = _fleet_of_places(MoveBudget(moves=2))
    goals = (*problem.objectives, Objective(goal="moves", terms=(Changes(migrations=0, moves=1),)))
    found = solve(replace(problem, objectives=goals), limits=Limits(time_limit_s=600), engine="columns")
    assert found.status == "optimal"
    assert [row.value for row in found.objectives] == [2, 2]
    assert found.objectives[1].source == "what each move can save at most"


def _in_use(*vms: int, moves: int, arriving: int = 0, migrations: int | None = None) -> Problem:
    """Return hosts of one row and sixteen units that hold so many VMs of one unit each, and an empty one."""
    shape = Shape(
        name="s",
        nodes=1,
        row_names=((0, "cpus"),),
        flavor=np.array([0]),
        use=np.array([[1]]),
        cost={},
        touches=np.array([[True]]),
        stay_only=np.array([False]),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([16]),
            fixed=np.array([0]),
            content=((0, many),) if many else (),
            allowed=np.array([True]),
            stay_penalty=np.array([0]),
        )
        for many in (*vms, 0)
    )
    return Problem(
        flavors=(Flavor(name="f", vcpus=1, arriving=arriving),),
        shapes=(shape,),
        classes=classes,
        objectives=(Objective(goal="hosts", terms=(HostCosts(),)), Objective(goal="moves", terms=(Changes(1, 0),))),
        budget=MoveBudget(moves=moves, migrations=migrations),
    )


def test_few_moves_empty_few_hosts() -> None:
    """Hosts of 1, 2, 3 and 5 VMs: with so many moves so many are emptied and no more, which needs no search; a VM that
    comes has to be on one of those that are left.
    """
    for moves, emptied in ((0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (10, 3)):
        problem = _in_use(1, 2, 3, 5, moves=moves)
        (hosts, _), floor = problem.objectives, 4 - emptied
        assert emptying_floor(problem, hosts) == floor * COST_UNIT, moves
        found = solve(problem, limits=Limits(time_limit_s=600, rounds=40))
        assert (found.objectives[0].value, found.objectives[0].bound) == (floor * COST_UNIT,) * 2
    few = _in_use(1, 2, 3, 5, moves=10, migrations=3, arriving=1)
    assert emptying_floor(few, few.objectives[0]) == 2 * COST_UNIT and arrivals_floor(few, few.objectives[0]) == 0
    assert emptying_floor(replace(few, budget=MoveBudget()), few.objectives[0]) == 0
    assert arrivals_floor(replace(few, budget=MoveBudget()), few.objectives[0]) == COST_UNIT
