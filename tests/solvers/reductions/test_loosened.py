"""Limits that tell alike VMs apart and hardly cost a host are left out of the counts, and kept by the names."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from solvers.clock import Clock
from solvers.columns.integer.node_configs import NodeBook
from solvers.columns.model import StateModel
from solvers.columns.pricing.layouts import Layouts
from solvers.evaluate import evaluate, violations
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, Hinge, HostClass, Problem, Shape
from solvers.reductions.by_gathering import is_uneven
from solvers.reductions.gather import can_gather, gathered
from solvers.reductions.loosened import loosened
from solvers.reductions.merged import Merged
from solvers.result import Interrupt, Limits
from solvers.solve import solve

ALIKE, APART, HERE, GROUP, LARGE = range(5)
"""Flavors: under no rule; one a host; on hosts of one hall alone; in one rack; of another size."""


def fleet(seed: int, *, kinds: int = 26, room: int = 2, under: int = 2) -> Problem:
    """Return hosts of many sizes in racks and halls, and VMs of which `under` each are under a limit."""
    rng = random.Random(seed)
    arriving = (rng.randint(6, 12), under, under, 3, rng.randint(2, 5))
    flavors = tuple(Flavor(name=f"flavor {n}", vcpus=2, arriving=many) for n, many in enumerate(arriving))
    use = np.array([[2, 0], [2, 1], [2, 0], [2, 0], [3, 0]], dtype=np.int64)
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"), (None, "one a host")),
        flavor=np.arange(5, dtype=np.int64),
        use=use,
        cost={},
        touches=np.ones((5, 1), dtype=np.bool_),
        stay_only=np.zeros(5, dtype=np.bool_),
    )
    classes = []
    for kind in range(kinds):
        allowed = np.ones(5, dtype=np.bool_)
        allowed[HERE] = bool(kind % 2)
        classes.append(
            HostClass(
                shape=0,
                count=1,
                capacity=np.array([room + kind // 2, 1], dtype=np.int64),
                fixed=np.array([kind, 0], dtype=np.int64),
                allowed=allowed,
                stay_penalty=np.zeros(5, dtype=np.int64),
                domain={"rack": rng.randrange(3)},
            )
        )
    rules = (CrossRule(name="group", kind="together", members=(GROUP,), scope="rack"),)
    objectives = (
        Objective(goal="placed", terms=(Unplaced(use[:, 0]),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=tuple(classes), objectives=objectives, rules=rules)


def loose(problem: Problem) -> Problem:
    """Return the problem without its rule and its limits."""
    return loosened(replace(problem, rules=()), {GROUP})


def test_vms_that_limits_tell_apart_are_one_flavor() -> None:
    """One a host, and on some hosts alone: with room to spare both are VMs like the others; the size is another one."""
    merged = Merged.of(loose(fleet(0)))
    assert merged is not None
    assert merged.flavor.tolist() == [0, 0, 0, 0, 1]


def test_where_room_is_short_limits_stay() -> None:
    """As many of a group as there are hosts, or VMs that fill their hall: counts alone would promise too much."""
    many = loose(fleet(0, under=13))
    assert np.array_equal(many.shapes[0].use, fleet(0).shapes[0].use)
    tight = loose(fleet(0, kinds=4, under=3))
    assert [one.allowed[HERE] for one in tight.classes] == [False, True, False, True]


def test_the_excess_of_a_limit_goes_with_it() -> None:
    """Nodes of hosts are put together anew only where nothing counts over the whole host: a cost of 0 is no cost."""
    hinge = Hinge(goal="rules", row=1, offset=1)
    for under, kept in ((2, ()), (13, (hinge,))):
        problem = fleet(0, under=under)
        counted = loose(replace(problem, shapes=(replace(problem.shapes[0], hinges=(hinge,)),)))
        assert counted.shapes[0].hinges == kept
        model = StateModel(problem=counted)
        assert bool(NodeBook(model, Layouts(model=model)).kinds) is not bool(kept)


def test_who_is_in_a_rack_keeps_the_hosts_that_are_its_own() -> None:
    """The domain of a group is chosen among hosts that its members may be on."""
    problem = fleet(0)
    rule = replace(problem.rules[0], members=(HERE, GROUP))
    kept = loosened(replace(problem, rules=()), set(rule.members))
    assert [bool(one.allowed[HERE]) for one in kept.classes] == [bool(n % 2) for n in range(len(kept.classes))]


@pytest.mark.parametrize("seed", range(6))
def test_names_keep_what_the_counts_do_not_know(seed: int) -> None:
    """Whoever has a place has one that is his, and only those under a limit may be left out."""
    problem = fleet(seed)
    merged = Merged.of(loose(problem))
    assert merged is not None
    counts = solve(merged.problem, limits=Limits(time_limit_s=20, rounds=20))
    found = gathered(problem, merged, counts, clock=Clock(Limits(time_limit_s=20.0), Interrupt()))
    assert found is not None
    assert violations(problem, found.patterns, found.unplaced) == []
    placed: Counter[int] = Counter()
    for pattern in found.patterns:
        for place, many in pattern.placements:
            placed[place] += many * pattern.count
    assert [placed[n] + found.unplaced[n] for n in range(5)] == [flavor.arriving for flavor in problem.flavors]
    assert not found.unplaced[LARGE]


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_search_is_as_good_and_its_bound_no_higher_than_the_best(seed: int) -> None:
    """Against the exact engine, which leaves nothing out."""
    problem = fleet(seed)
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None and can_gather(problem) and is_uneven(merged.problem)
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20, rounds=60))
    best = solve(problem, engine="exact", limits=Limits(time_limit_s=20, rounds=40))
    assert violations(problem, found.patterns, found.unplaced) == []
    assert evaluate(problem, found.patterns, found.unplaced) == evaluate(problem, best.patterns, best.unplaced)
    for mine, exact in zip(found.objectives, best.objectives, strict=True):
        assert exact.value is not None and (mine.bound is None or mine.bound <= exact.value)
