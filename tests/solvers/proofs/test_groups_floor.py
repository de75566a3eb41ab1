"""Hosts that groups under rules take at least: never more than the best plan has, and what it has where rules cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from solvers.exact.search import solve_exact
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.proofs.first_claims import proven_first
from solvers.proofs.groups_floor import groups_floor
from solvers.result import Limits

Rules = Sequence[CrossRule]


def fleet(groups: Sequence[tuple[int, int]], rules: Rules, *, racks: int, hosts: int, units: int = 8) -> Problem:
    """Return empty hosts in racks, and VMs: (how many, units each) a group, which are a flavor."""
    size = np.array([each for _, each in groups], dtype=np.int64)
    number = len(size)
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(number, dtype=np.int64),
        use=size[:, None],
        cost={},
        touches=np.ones((number, 1), dtype=np.bool_),
        stay_only=np.zeros(number, dtype=np.bool_),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=hosts,
            capacity=np.array([units], dtype=np.int64),
            fixed=np.zeros(1, dtype=np.int64),
            allowed=np.ones(number, dtype=np.bool_),
            stay_penalty=np.zeros(number, dtype=np.int64),
            domain={"rack": rack},
        )
        for rack in range(racks)
    )
    return Problem(
        flavors=tuple(Flavor(name=f"f{n}", vcpus=each, arriving=many) for n, (many, each) in enumerate(groups)),
        shapes=(shape,),
        classes=classes,
        objectives=(
            Objective(goal="placed", terms=(Unplaced(size),)),
            Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
        ),
        rules=tuple(rules),
    )


def apart(at: int, one: Sequence[int], other: Sequence[int], scope: str, most: int = 0) -> Rules:
    """Return a rule that two groups are apart, as the rules at places `at` and after it."""
    first = CrossRule(name="a", kind="apart", members=tuple(one), scope=scope, max_per=most, against=at + 1)
    return first, CrossRule(name="a", kind="count", members=tuple(other), scope=scope, max_per=most, against=at)


def alone(groups: int, scope: str) -> Rules:
    """Return rules that each of the first groups is alone, where there is one group more."""
    out: list[CrossRule] = []
    for one in range(groups):
        out += apart(2 * one, [one], [other for other in range(groups + 1) if other != one], scope)
    return out


def tied(kind: str, groups: int, scope: str, most: int = 1) -> Rules:
    """Return a rule of a kind for each group."""
    return [
        CrossRule(name="r", kind=kind, members=(one,), scope=scope, max_per=most)  # type: ignore[arg-type]
        for one in range(groups)
    ]


@pytest.mark.parametrize(
    ("problem", "hosts"),
    [
        (fleet([(4, 1)] * 3, tied("spread", 3, "rack"), racks=4, hosts=2), 4),
        (fleet([(5, 1)] * 2, tied("spread", 2, "rack", 2), racks=3, hosts=2), 3),
        (fleet([(6, 1)] * 2, tied("least", 2, "rack", 3), racks=4, hosts=2), 3),
        (fleet([(5, 2)] * 2 + [(2, 1)], alone(2, "host"), racks=3, hosts=2), 5),
        (fleet([(1, 2)] * 2 + [(9, 1)], alone(2, "rack"), racks=4, hosts=2), 4),
        (fleet([(3, 4)] * 3, tied("together", 3, "rack"), racks=3, hosts=2), 6),
        (fleet([(5, 1)] * 3, tied("together", 3, "host"), racks=3, hosts=2), 3),
    ],
    ids=["spread", "spread by two", "least", "alone", "alone in racks", "racks for one group", "hosts for one group"],
)
def test_rules_that_cost_hosts_are_in_the_bound(problem: Problem, hosts: int) -> None:
    """By sizes alone all these take fewer hosts; the bound is what the best plan has."""
    assert groups_floor(problem) == hosts * COST_UNIT
    best = solve_exact(problem, limits=Limits(time_limit_s=20))
    assert [row.value for row in best.objectives] == [0, hosts * COST_UNIT]
    assert proven_first(problem, best).status == "optimal"


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_has_fewer_hosts(seed: int) -> None:
    """Of any rules, the bound is at most what the best plan with all VMs has."""
    rng = random.Random(seed)
    groups = [(rng.randint(1, 4), rng.randint(1, 5)) for _ in range(rng.randint(2, 4))]
    rules: list[CrossRule] = []
    for _ in range(rng.randint(1, 4)):
        scope = rng.choice(("host", "rack", "rack", "node"))
        kind = rng.choice(("apart", "apart", "spread", "together", "least"))
        members = sorted(rng.sample(range(len(groups)), rng.randint(1, 2)))
        others = [one for one in range(len(groups)) if one not in members]
        if kind == "apart" and others:
            rules += apart(len(rules), members, others, scope, rng.choice((0, 0, 1)))
        elif kind != "apart":
            rules.append(CrossRule(name="r", kind=kind, members=tuple(members), scope=scope, max_per=rng.randint(1, 3)))  # type: ignore[arg-type]
    problem = fleet(groups, rules, racks=rng.randint(2, 3), hosts=rng.randint(1, 3), units=rng.choice((6, 8)))
    best = solve_exact(problem, limits=Limits(time_limit_s=20))
    values = [row.value for row in best.objectives]
    if best.status == "optimal" and values[0] == 0:
        assert values[1] is not None
        assert groups_floor(problem) <= values[1]


def test_hosts_without_a_rack_hold_as_many_as_they_can() -> None:
    """A rule over racks says nothing of them, so nothing is known."""
    problem = fleet([(4, 1)], tied("spread", 1, "rack"), racks=4, hosts=2)
    bare = replace(problem.classes[0], domain={})
    assert groups_floor(problem) == 4 * COST_UNIT
    assert groups_floor(replace(problem, classes=(bare, *problem.classes[1:]))) == 0
