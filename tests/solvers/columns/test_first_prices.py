"""Few hosts: prices of all resources together prove a bound that holds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from solvers.columns.engine import solve_columns
from solvers.columns.first_prices import resource_prices
from solvers.columns.model import StateModel
from solvers.exact.search import solve_exact
from solvers.objective import HostCosts, Objective, RuleExcess, StayPenalties, Unplaced
from solvers.problem import COST_UNIT, Flavor, HostClass, Problem, Shape
from solvers.result import Limits

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
            Objective(goal="placed", part="vCPUs", terms=(Unplaced(vcpus),)),
            Objective(goal="placed", part="VMs", terms=(Unplaced(np.ones(flavors, dtype=np.int64)),)),
            Objective(
                goal="rules",
                terms=(
                    StayPenalties(),
                    RuleExcess(),
                ),
            ),
            Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
        ),
    )


@pytest.mark.parametrize("seed", range(12))
def test_prices_of_resources_prove_no_more_than_the_fewest_hosts(seed: int) -> None:
    """What all VMs cost at these prices, less what hosts hold beyond their own cost, is at most the optimum."""
    problem = packing(seed)
    prices = resource_prices(StateModel(problem=problem), HOSTS, (0, 0, 0))
    assert prices is not None and (prices >= 0).all()
    best = solve_exact(problem, limits=Limits(time_limit_s=20)).objectives[HOSTS]
    assert best.value is not None and best.status == "optimal"
    demand = problem.demand()
    proven = float(prices @ demand)
    for host_class in problem.classes:
        # The most that a host's VMs are worth, by a table over what is left of both resources.
        most = np.zeros(tuple(host_class.capacity + 1))
        for flavor, (cpus, memory) in enumerate(problem.shapes[0].use.tolist()):
            for _ in range(int(demand[flavor])):
                most[cpus:, memory:] = np.maximum(
                    most[cpus:, memory:], most[: most.shape[0] - cpus, : most.shape[1] - memory] + prices[flavor]
                )
        proven -= host_class.count * max(0.0, float(most[-1, -1]) - host_class.cost)
    assert 0 < proven <= best.value + 1
    found = solve_columns(problem, limits=Limits(time_limit_s=10)).objectives[HOSTS]
    assert found.bound is not None and proven - 1 <= found.bound <= best.value


def test_no_prices_for_programs_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit on entries the program is not solved, and the engine goes on without it."""
    monkeypatch.setattr("solvers.columns.first_prices.LARGEST", 3)
    problem = packing(0)
    assert resource_prices(StateModel(problem=problem), HOSTS, (0, 0, 0)) is None
    assert solve_columns(problem, limits=Limits(time_limit_s=10)).objectives[HOSTS].value is not None
