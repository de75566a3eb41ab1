"""Groups that are held together on an empty fleet where hosts are counted: they share domains that have large hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.choose_domains import Ties
from solvers.reductions.without_rules import solve_ruled
from solvers.result import Limits, ObjectiveResult, Result
from solvers.solve import solve

GROUPS, RACKS = 6, 4


def racks(vms: int) -> Problem:
    """Return racks of two hosts of 4 units and two of 16, and groups of VMs of 2 units, each in one rack."""
    flavors = tuple(Flavor(name=f"group {n}", vcpus=2, arriving=vms) for n in range(GROUPS))
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(GROUPS, dtype=np.int64),
        use=np.full((GROUPS, 1), 2, dtype=np.int64),
        cost={},
        touches=np.ones((GROUPS, 1), dtype=np.bool_),
        stay_only=np.zeros(GROUPS, dtype=np.bool_),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=2,
            capacity=np.array([units], dtype=np.int64),
            fixed=np.zeros(1, dtype=np.int64),
            allowed=np.ones(GROUPS, dtype=np.bool_),
            stay_penalty=np.zeros(GROUPS, dtype=np.int64),
            domain={"rack": rack},
        )
        for rack in range(RACKS)
        for units in (4, 16)
    )
    rules = tuple(CrossRule(name=f"together {n}", kind="together", members=(n,), scope="rack") for n in range(GROUPS))
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.full(GROUPS, 2, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=classes, objectives=objectives, rules=rules)


def test_groups_share_the_domains_of_the_largest_hosts() -> None:
    """As many groups as fit into 60 % of the large hosts that are needed go to one rack; else they part."""
    few = Counter(Ties.of(racks(2), few=True).home.values())
    many = Counter(Ties.of(racks(2)).home.values())
    assert len(few) == 2
    assert len(many) == RACKS


def test_what_rules_do_not_bind_is_bounded_first() -> None:
    """The first call is for bounds alone, the next for groups tied; the last one gets what time is left, if any is."""
    calls: list[tuple[bool, int | None]] = []

    def engine(
        problem: Problem, limits: Limits, start: Result | None = None, proven: Sequence[ObjectiveResult] = ()
    ) -> Result:
        calls.append((any(not one.allowed.all() for one in problem.classes), limits.rounds))
        return solve(problem, engine="columns", limits=limits)

    found = solve_ruled(racks(4), engine, Limits(time_limit_s=20, rounds=40))
    assert calls[0] == (False, 0)
    assert all(tied for tied, _ in calls[1:2])
    values = [row.value for row in found.objectives]
    assert values == [0, 3 * COST_UNIT] == [row.bound for row in found.objectives]
