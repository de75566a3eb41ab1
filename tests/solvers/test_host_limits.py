"""What may be together on a host, by flavor: every answer is the one that counting all limits gives."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pair_limits import add_limit

from solvers import host_limits
from solvers.host_limits import HostLimits, without_counts
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, Hinge, HostClass, Problem, Shape

GROUPS = 6


def limited(seed: int, *, hosts: int = 4) -> Problem:
    """Return VMs of 1 and 2 units on hosts of 9, a row that lets a host hold 2 of groups 0 and 1, and rules of several
    groups each.
    """
    rng = random.Random(seed)
    sizes = [1 + n % 2 for n in range(GROUPS)]
    count = [1 if n < 2 else 0 for n in range(GROUPS)]
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"), (None, "rule 0")),
        flavor=np.arange(GROUPS, dtype=np.int64),
        use=np.array([sizes, count], dtype=np.int64).T,
        cost={},
        touches=np.ones((GROUPS, 1), dtype=np.bool_),
        stay_only=np.zeros(GROUPS, dtype=np.bool_),
        hinges=(Hinge(goal="rules", row=1, offset=2), Hinge(goal="soft", row=0, offset=3)),
    )
    host = HostClass(
        shape=0,
        count=hosts,
        capacity=np.array([9, 2], dtype=np.int64),
        fixed=np.zeros(2, dtype=np.int64),
        allowed=np.ones(GROUPS, dtype=np.bool_),
        stay_penalty=np.zeros(GROUPS, dtype=np.int64),
    )
    rules: list[CrossRule] = []
    for _ in range(5):
        first, second = (tuple(rng.sample(range(GROUPS), rng.randint(1, 2))) for _ in range(2))
        add_limit(rules, first, second, rng.choice((1, 2)) if set(first) & set(second) else rng.choice((0, 1, 2)))
    return Problem(
        flavors=tuple(Flavor(name=f"group {n}", vcpus=size, arriving=3) for n, size in enumerate(sizes)),
        shapes=(shape,),
        classes=(host,),
        objectives=(
            Objective(goal="placed", terms=(Unplaced(np.array(sizes, dtype=np.int64)),)),
            Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
        ),
        rules=tuple(rules),
    )


def is_kept(problem: Problem, held: Counter[int]) -> bool:
    """Tell whether a host that holds so many of each group keeps all limits."""
    if held[0] + held[1] > 2:
        return False
    for rule in problem.rules:
        others = 0 if rule.kind == "count" else sum(held[one] for one in problem.rules[rule.against].members)
        if rule.kind == "apart" and any(held[one] for one in rule.members) and others > rule.max_per:
            return False
    return True


@pytest.mark.parametrize("seed", range(30))
def test_who_may_come_is_who_breaks_nothing(seed: int) -> None:
    """One VM more, many at once, and onto an empty host: each as counting says, beside whatever is there."""
    problem = limited(seed)
    lifted, groups = without_counts(problem, hosts=4, spare=0)
    assert lifted.shapes[0].row_names == ((0, "units"),)
    limits = HostLimits.of(problem, groups)
    rng = random.Random(seed)
    hosts: list[Counter[int]] = []
    for _ in range(8):
        held: Counter[int] = Counter()
        for _ in range(rng.randint(0, 4)):
            flavor = rng.randrange(GROUPS)
            if is_kept(problem, held + Counter([flavor])):
                held[flavor] += 1
        hosts.append(held)
    where: dict[int, dict[int, int]] = {}
    for number, held in enumerate(hosts):
        for flavor, many in held.items():
            where.setdefault(flavor, {})[number] = many
    for flavor in range(GROUPS):
        right = [max(n for n in range(6) if is_kept(problem, held + Counter({flavor: n}))) for held in hosts]
        most = np.full(len(hosts), 5, dtype=np.int64)
        limits.lower(flavor, where, most)
        assert most.tolist() == right
        assert [limits.may(flavor, held) for held in hosts] == [many > 0 for many in right]
        assert limits.on_empty(flavor, 5) == max(n for n in range(6) if is_kept(problem, Counter({flavor: n})))


def test_rows_of_groups_that_need_most_hosts_stay() -> None:
    """Six VMs of which a host holds two fill three hosts: of four that is a bound of its own, of forty it is none."""
    problem = limited(0)
    assert without_counts(problem, hosts=4, spare=2) == (problem, [])
    lifted, groups = without_counts(problem, hosts=40, spare=2)
    assert groups == [((0, 1), 2)]
    assert [one.row for one in lifted.shapes[0].hinges] == [0]


def test_a_row_that_only_measures_stays() -> None:
    """A soft limit is a row with room for all, whose hinge costs: without the row it would cost nothing."""
    problem = limited(0)
    roomy = replace(problem.classes[0], capacity=np.array([9, 99], dtype=np.int64))
    assert without_counts(replace(problem, classes=(roomy,)), hosts=4, spare=0)[1] == []


def test_a_limit_is_the_same_on_all_hosts_or_stays() -> None:
    """Where hosts have different room for a group, as immovable VMs of it leave, the row is no limit of the group."""
    problem = limited(0)
    less = replace(problem.classes[0], capacity=np.array([9, 1], dtype=np.int64))
    assert without_counts(replace(problem, classes=(*problem.classes, less)), hosts=8, spare=0)[1] == []


def test_what_many_groups_share_stays_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resource of which VMs of many sizes take one each is no list to look through."""
    monkeypatch.setattr(host_limits, "LARGEST", 1)
    assert without_counts(limited(0), hosts=4, spare=0)[1] == []
