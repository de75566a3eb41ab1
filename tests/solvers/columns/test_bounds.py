"""The columns engine's bounds on 200 small problems with every answer known: bound <= optimum <= value."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ortools.sat.python import cp_model
from small_problems import answers, small_problem

from solvers.backends.cpsat import run_model
from solvers.clock import Clock
from solvers.columns.duals import Duals, bound_of
from solvers.columns.engine import solve_columns
from solvers.columns.generate import Generator
from solvers.columns.lattice import lattice_of
from solvers.columns.model import StateModel
from solvers.columns.pricing.exact import row_bound
from solvers.columns.run import Kit
from solvers.exact.search import solve_exact
from solvers.objective import Objective, PlacementCosts, Unplaced
from solvers.problem import Flavor, HostClass, Problem, Shape
from solvers.proofs.duals_by_highs import recheck
from solvers.result import Interrupt, Limits

CASES = range(200)


@cache
def known(seed: int) -> tuple[Problem, tuple[tuple[int, ...], ...]]:
    """Return a small problem without rules over hosts, and the values of all its answers, the best first."""
    problem = replace(small_problem(seed), rules=())
    return problem, tuple(sorted(answers(problem)))


def kit_of(problem: Problem, rounds: int = 1_000) -> Kit:
    """Return the parts of a run."""
    clock = Clock(limits=Limits(time_limit_s=600, rounds=rounds), interrupt=Interrupt())
    return Kit(StateModel(problem=problem), clock, 0, None, None)


def generator_of(kit: Kit, objective: int, held: tuple[int, ...]) -> Generator:
    """Return column generation for one objective, without a column."""
    return Generator(
        pool=kit.pool,
        layouts=kit.layouts,
        exact=kit.exact,
        objective=objective,
        held=held,
        penalty=np.zeros(kit.model.objectives),
        scale=64,
        step_size=1,
        packer=kit.packer,
        enumerator=kit.enumerator,
        batches=kit.batches,
        clock=kit.clock,
        seed=0,
    )


def drawn(rng: random.Random, problem: Problem, objective: int, top: int) -> Duals:
    """Return duals of the right signs with entries up to `top`."""
    budget = problem.budget
    return Duals(
        objective=objective,
        scale=rng.choice((1, 64)),
        flavor=np.array([rng.randint(0, top) for _ in problem.flavors], dtype=np.int64),
        hold=np.array([rng.randint(0, top) if g < objective else 0 for g in range(len(problem.objectives))]),
        moves=0 if budget.moves is None else rng.randint(0, top),
        migrations=0 if budget.migrations is None else rng.randint(0, top),
    )


def test_every_pricer_bounds_the_optimum_under_any_duals() -> None:
    """Zero, random and adversarial duals, priced by tables, lists, single rows and CP-SAT: never above the optimum."""
    tight = 0
    for seed in CASES:
        problem, values = known(seed)
        if not values:
            continue
        rng = random.Random(seed)
        kit = kit_of(problem)
        for top in (0, 100, 10**7):
            number = rng.randrange(len(problem.objectives))
            held, optimum = values[0][:number], values[0][number]
            duals = drawn(rng, problem, number, top)
            least = generator_of(kit, number, held)._offers(duals).least
            bound = bound_of(kit.model, duals, held, least)
            assert bound is not None and bound <= optimum, (seed, top)
            tight += bound == optimum
            rows = [row_bound(kit.model, state, duals) for state in kit.model.states]
            if not any(shape.hinges for shape in problem.shapes):
                assert (bound_of(kit.model, duals, held, rows) or 0) <= max(optimum, 0), (seed, top)
    assert tight > 50


@pytest.mark.parametrize("budget", [0.0, 1e-6, 1.0])
def test_exact_pricing_that_is_stopped_bounds_the_optimum_or_nothing(budget: float) -> None:
    """CP-SAT's bound after any deterministic time gives a bound that holds, or none at all."""
    some = 0
    for seed in CASES[:: 1 if budget < 1 else 4]:
        problem, values = known(seed)
        if not values:
            continue
        rng = random.Random(seed)
        model = kit_of(problem).model
        number = rng.randrange(len(problem.objectives))
        held = values[0][:number]
        duals = drawn(rng, problem, number, 100)
        nothing = [None] * len(model.states)
        priced = kit_of(problem).exact.price(model.states, duals, nothing, nothing, budget=budget, seed=seed)
        if priced is None:
            continue
        bound = bound_of(model, duals, held, [one.least for one in priced])
        assert bound is None or bound <= values[0][number], seed
        some += bound is not None
    assert some > 0 or budget < 1


def test_a_search_that_ends_with_nothing_has_no_bound() -> None:
    """CP-SAT reports a bound of 0 when it is stopped before it knows anything: that is not passed on."""
    model = cp_model.CpModel()
    numbers = [model.new_int_var(0, 1000, "") for _ in range(60)]
    for first in range(30):
        model.add(sum((7 * first + 3 * n) % 11 * x for n, x in enumerate(numbers)) == 5000 + first)
    model.maximize(-sum(numbers))
    answer = run_model(model, budget=0.0, seed=0)
    assert (answer.values, answer.bound, answer.optimal, answer.infeasible) == (None, None, False, False)


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_a_run_stopped_at_any_round_claims_no_more_than_is_true(rounds: int) -> None:
    """After no round, one and a few: bound <= optimum <= value, for objectives as good as the optimum before them."""
    for seed in CASES[rounds::4]:
        problem, values = known(seed)
        result = solve_columns(problem, limits=Limits(time_limit_s=600, rounds=rounds))
        if not values:
            assert result.status == "unknown"
            continue
        found = tuple(row.value for row in result.objectives)
        for number, row in enumerate(result.objectives):
            if found[:number] != values[0][:number]:
                break
            assert row.bound is None or row.bound <= values[0][number], (seed, row)
            assert row.value is None or values[0][number] <= row.value, (seed, row)


def test_no_answer_has_a_value_between_the_steps() -> None:
    """The values below any given one are those that the lattice names, so rounding a bound up to them cuts nothing."""
    coarse = 0
    for seed in CASES:
        problem, values = known(seed)
        model = StateModel(problem=problem)
        for number in range(len(problem.objectives)):
            for held in {answer[:number] for answer in values[:: max(1, len(values) // 5)]}:
                reached = {a[number] for a in values if all(v <= h for v, h in zip(a, held, strict=False))}
                for below in sorted(reached):
                    lattice = lattice_of(model, number, held, below)
                    if lattice is None:
                        continue
                    coarse += lattice.step > 1
                    for value in reached:
                        assert lattice.rounded(value) == value if value < below else lattice.rounded(value) <= value
                        assert lattice.rounded(value - 1) <= value and lattice.firm(value - 1) <= value
    assert coarse > 10


def packed(seed: int) -> Problem:
    """Return three hosts of two nodes, almost full; VMs lie on one node, or in halves on both at a cost."""
    draw = random.Random(seed)
    room, hosts = draw.randint(11, 15), 3
    sizes = sorted(draw.sample((3, 4, 5, 6, 7, 8, 9, 10), 3))
    use, cost = [], []
    for size in sizes:
        half = (size + 1) // 2
        use += [[size, 0], [0, size], [half, half]]
        cost += [0, 0, draw.randint(2, 9) * size]
    left, count = hosts * 2 * room, [0, 0, 0]
    while (size := sizes[chosen := draw.randrange(3)]) <= left - 1:
        count[chosen] += 1
        left -= size
    shape = Shape(
        name="two",
        nodes=2,
        row_names=((0, "cpu"), (1, "cpu")),
        flavor=np.repeat(np.arange(3), 3),
        use=np.array(use, dtype=np.int64),
        cost={"remote": np.array(cost, dtype=np.int64)},
        touches=np.array(use) > 0,
        stay_only=np.zeros(9, dtype=np.bool_),
    )
    host_class = HostClass(
        shape=0,
        count=hosts,
        capacity=np.array([room, room]),
        fixed=np.zeros(2, dtype=np.int64),
        allowed=np.ones(3, dtype=np.bool_),
        stay_penalty=np.zeros(3, dtype=np.int64),
    )
    return Problem(
        flavors=tuple(Flavor(name=str(n), vcpus=n, arriving=many) for n, many in zip(sizes, count, strict=True)),
        shapes=(shape,),
        classes=(host_class,),
        objectives=(
            Objective(goal="placed", terms=(Unplaced(np.array(sizes)),)),
            Objective(goal="remote", terms=(PlacementCosts("remote"),)),
        ),
    )


@pytest.mark.parametrize("seed", [64, 70, 78, 118])
def test_branches_close_what_prices_leave_open_and_are_confirmed(seed: int) -> None:
    """The bound of a tree is the optimum; HiGHS confirms it, refutes a raised claim, and takes no tree out of place."""
    problem = packed(seed)
    result = solve_columns(problem, limits=Limits(time_limit_s=600, rounds=60))
    best = solve_exact(problem, limits=Limits(time_limit_s=20))
    assert best.status == result.status == "optimal"
    assert [row.value for row in result.objectives] == [row.bound for row in best.objectives]
    assert result.certificate is not None
    entry = result.certificate["objectives"][1]
    assert "tree" in entry and "split" in entry["tree"]
    faults, remarks = recheck(problem, result.certificate)
    assert not faults and "branches" in remarks[-1]
    for harm in ("bound", "placements", "flavor", "pruned"):
        changed = copy.deepcopy(entry)
        if harm == "bound":
            changed["bound"] += 5
        elif harm == "pruned":
            # Without its split the root alone does not reach the bound.
            few = changed["tree"]["few"]
            while "leaf" not in few:
                few = few["few"]
            leaf = few["leaf"]
            held, added = leaf["held"][:1], leaf["objective"] - 1
            leaf |= {"objective": 1, "held": held, "hold": [leaf["hold"][0], leaf["hold"][1 + added]]}
            changed["tree"] = {"leaf": leaf}
        elif harm == "placements":
            changed["tree"]["split"]["placements"][0].append(9)
        else:
            changed["tree"]["split"]["flavor"] = 3
        assert recheck(problem, {"objectives": [None, changed]})[0], harm
