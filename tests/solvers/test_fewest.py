"""Few hosts: prices of resources prove a bound that holds, and hosts filled at these prices make an answer."""

from __future__ import annotations

import random

import numpy as np
import pytest

from solvers.evaluate import evaluate, violations
from solvers.exact import solve_exact
from solvers.fewest import solve_fewest
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Objective, Problem, Shape
from solvers.result import Limits
from solvers.states import solve_states
from solvers.states_model import StateModel
from solvers.states_resources import resource_prices

HOSTS = 3
"""Number of the objective that counts hosts."""


def packing(seed: int, *, flavors: int = 6, hosts: tuple[int, ...] = (4, 6, 8)) -> Problem:
    """Return an empty fleet of hosts of three sizes with two resources, and VMs for about half of it."""
    draw = random.Random(seed)
    sizes = [(draw.randint(1, 8), draw.randint(1, 8)) for _ in range(flavors)]
    use = np.array(sizes, dtype=np.int64)
    shape = Shape(
        name="one node",
        nodes=1,
        row_names=((0, "cpus"), (0, "memory")),
        flavor=np.arange(flavors, dtype=np.int64),
        use=use,
        cost={},
        touches=np.ones((flavors, 1), dtype=np.bool_),
        stay_only=np.zeros(flavors, dtype=np.bool_),
    )
    nothing = np.zeros(flavors, dtype=np.int64)
    classes = tuple(
        HostClass(
            shape=0,
            count=count,
            capacity=np.array(room, dtype=np.int64),
            fixed=np.zeros(2, dtype=np.int64),
            allowed=np.ones(flavors, dtype=np.bool_),
            stay_penalty=nothing,
            members=tuple(range(sum(hosts[:number]), sum(hosts[: number + 1]))),
        )
        for number, (count, room) in enumerate(zip(hosts, ((16, 20), (12, 12), (8, 16)), strict=True))
    )
    many = tuple(Flavor(name=f"f{n}", vcpus=cpus, arriving=draw.randint(1, 4)) for n, (cpus, _) in enumerate(sizes))
    vcpus = np.array([flavor.vcpus for flavor in many], dtype=np.int64)
    return Problem(
        flavors=many,
        shapes=(shape,),
        classes=classes,
        objectives=(
            Objective(goal="placed", part="vCPUs", unplaced=vcpus),
            Objective(goal="placed", part="VMs", unplaced=np.ones(flavors, dtype=np.int64)),
            Objective(goal="rules", stay_penalty=True, cross_rules=True),
            Objective(goal="hosts", host_cost=True, unit=COST_UNIT),
        ),
    )


@pytest.mark.parametrize("seed", range(12))
def test_an_answer_on_few_hosts_places_all_and_is_near_the_optimum(seed: int) -> None:
    """Everything has a place, nothing is broken, and at most two hosts more are used than proven necessary."""
    problem = packing(seed)
    found = solve_fewest(problem)
    assert found is not None and not any(found.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []
    best = solve_exact(problem, limits=Limits(time_limit_s=20)).objectives[HOSTS]
    value = evaluate(problem, found.patterns, found.unplaced)[HOSTS]
    assert best.bound is not None and best.bound <= value <= best.bound + 2 * COST_UNIT


@pytest.mark.parametrize("seed", range(12))
def test_prices_of_resources_are_worth_no_more_than_the_fewest_hosts(seed: int) -> None:
    """No host can hold VMs worth more than it costs and what it is short of; the bound that follows holds."""
    problem = packing(seed)
    prices = resource_prices(StateModel(problem=problem), HOSTS, (0, 0, 0))
    assert prices is not None
    found = solve_states(problem, limits=Limits(time_limit_s=10))
    best = solve_exact(problem, limits=Limits(time_limit_s=20))
    value, bound = best.objectives[HOSTS].value, found.objectives[HOSTS].bound
    assert value is not None and bound is not None
    assert 0 < prices.used.sum() * COST_UNIT <= value + 1
    assert prices.used.sum() * COST_UNIT - 1 <= bound <= value


def test_fleets_with_vms_or_rules_or_without_the_goal_have_no_such_answer() -> None:
    """Only an empty fleet without rules over hosts, and a goal that counts hosts, is filled so."""
    problem = packing(0)
    lead = problem.classes[0]
    live = Problem(
        flavors=problem.flavors,
        shapes=problem.shapes,
        classes=(
            HostClass(
                shape=0,
                count=lead.count,
                capacity=lead.capacity,
                fixed=lead.fixed,
                content=((0, 1),),
                allowed=lead.allowed,
                stay_penalty=lead.stay_penalty,
            ),
        ),
        objectives=problem.objectives,
    )
    rule = CrossRule(name="apart", kind="spread", members=(0,), scope="rack")
    ruled = Problem(
        flavors=problem.flavors,
        shapes=problem.shapes,
        classes=problem.classes,
        objectives=problem.objectives,
        rules=(rule,),
    )
    short = Problem(
        flavors=problem.flavors, shapes=problem.shapes, classes=problem.classes, objectives=problem.objectives[:HOSTS]
    )
    assert [solve_fewest(each) for each in (live, ruled, short)] == [None, None, None]
