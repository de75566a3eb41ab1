"""Limits between groups on one host: VMs of a size are named to the places of an answer that does not know them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pair_limits import add_limit, random_limits

from solvers.clock import Clock, CutOffError
from solvers.evaluate import evaluate, violations
from solvers.host_limits import HostLimits
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.merged import Merged
from solvers.reductions.names_on_hosts import named_on_hosts
from solvers.result import Interrupt, Limits
from solvers.solve import solve
from solvers.starts.host_lists import keeps_apart


def fleet(seed: int, *, groups: int = 8, limits: int = 6, hosts: int = 8) -> Problem:
    """Return hosts of 8 units, groups of VMs of 2 or 3 units, and how many of one group may be beside another."""
    rng = random.Random(seed)
    sizes = [2 if n % 2 else 3 for n in range(groups)]
    flavors = tuple(Flavor(name=f"group {n}", vcpus=size, arriving=rng.randint(1, 3)) for n, size in enumerate(sizes))
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(groups, dtype=np.int64),
        use=np.array([sizes], dtype=np.int64).T,
        cost={},
        touches=np.ones((groups, 1), dtype=np.bool_),
        stay_only=np.zeros(groups, dtype=np.bool_),
    )
    host = HostClass(
        shape=0,
        count=hosts,
        capacity=np.array([8], dtype=np.int64),
        fixed=np.zeros(1, dtype=np.int64),
        allowed=np.ones(groups, dtype=np.bool_),
        stay_penalty=np.zeros(groups, dtype=np.int64),
    )
    rules = random_limits(rng, groups, limits, (0, 0, 1))
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.array(sizes, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=(host,), objectives=objectives, rules=tuple(rules))


def hopeless() -> Problem:
    """Return groups of which every one is apart from every other."""
    problem = fleet(0, groups=12, limits=0, hosts=12)
    rules: list[CrossRule] = []
    for first in range(12):
        for second in range(12):
            if first != second:
                add_limit(rules, (first,), (second,), 0)
    return replace(problem, rules=tuple(rules))


def unhurried() -> Clock:
    """Return a clock that cuts nothing off."""
    return Clock(Limits(time_limit_s=600), Interrupt())


@pytest.mark.parametrize("seed", range(12))
def test_who_is_named_breaks_no_limit(seed: int) -> None:
    """The answer has as many hosts as the counts, every VM on one or left out, and no limit is broken."""
    problem = fleet(seed)
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=10))
    found = named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=seed, clock=unhurried())
    assert found is not None
    assert violations(problem, found.patterns, found.unplaced) == []
    used = evaluate(merged.problem, counts.patterns, counts.unplaced)[1]
    assert evaluate(problem, found.patterns, found.unplaced)[1] <= used


def test_most_have_a_place() -> None:
    """Of forty small groups with forty limits all VMs are named, some only because others make way."""
    problem = fleet(3, groups=40, limits=40, hosts=60)
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=10))
    found = named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=unhurried())
    assert found is not None and not any(found.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []


def test_limits_that_nobody_can_keep_end() -> None:
    """Where every group is apart from every other one most VMs stay out, after so many looks and no more."""
    problem = hopeless()
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=10))
    found = named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=unhurried())
    assert found is not None and any(found.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []
    assert named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=unhurried()) == found


@dataclass(slots=True)
class CutOff(Clock):
    """A clock that cuts work off after so many looks at it."""

    looks: int = 0

    def check(self) -> None:
        """Look at the clock."""
        self.looks -= 1
        if self.looks < 0:
            raise CutOffError


@pytest.mark.parametrize("looks", [0, 11, 20])
def test_naming_that_is_cut_off_counts_for_nothing(looks: int) -> None:
    """Between two groups, and while others are asked to make way: twelve groups look more than twelve times."""
    problem = hopeless()
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=10))
    clock = CutOff(Limits(time_limit_s=20), Interrupt(), looks=looks)
    assert named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=clock) is None


def test_who_interrupts_does_not_wait_for_names() -> None:
    """An interrupt ends naming at once, and so does a clock that is past its limit."""
    problem = fleet(3)
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=10))
    stopped = Clock(Limits(time_limit_s=20), Interrupt(requested=True))
    late = Clock(Limits(time_limit_s=0), Interrupt(), began=time.monotonic() - 2)
    assert named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=unhurried()) is not None
    assert named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=stopped) is None
    assert named_on_hosts(problem, HostLimits.of(problem), merged, counts, seed=0, clock=late) is None


@pytest.mark.parametrize("seed", range(4))
def test_limits_between_groups_cost_no_more_hosts_than_they_must(seed: int) -> None:
    """The whole search comes to what the exact engine proves."""
    problem = fleet(seed, groups=6, limits=3, hosts=6)
    assert keeps_apart(problem)
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20, rounds=20))
    best = solve(problem, engine="exact", limits=Limits(time_limit_s=20, rounds=20))
    assert violations(problem, found.patterns, found.unplaced) == []
    assert best.status == "optimal"
    assert [row.value for row in found.objectives] == [row.value for row in best.objectives]
    assert all(row.bound is not None and row.bound <= (row.value or 0) for row in found.objectives)


def test_other_rules_are_named_another_way() -> None:
    """Scopes beside hosts, kinds that hold together and VMs that are there already are not for it."""
    problem = fleet(0)
    rack = replace(problem.rules[0], scope="rack")
    together = replace(problem.rules[0], kind="together", against=-1)
    there = replace(problem.classes[0], content=((0, 1),))
    assert keeps_apart(problem)
    assert not keeps_apart(replace(problem, rules=()))
    assert not keeps_apart(replace(problem, rules=(rack, *problem.rules[1:])))
    assert not keeps_apart(replace(problem, rules=(*problem.rules, together)))
    assert not keeps_apart(replace(problem, classes=(there,)))
