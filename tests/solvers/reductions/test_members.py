"""VMs that only rules tell apart: one flavor for the engine, and members named to the places of its answer."""

from __future__ import annotations

import random

import numpy as np
import pytest

from solvers.clock import Clock
from solvers.evaluate import evaluate, violations
from solvers.exact.search import solve_exact
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.by_naming import by_names
from solvers.reductions.members import can_name, named, nearly_named
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Interrupt, Limits, Result


def racks(seed: int) -> Problem:
    """Return an empty fleet of three racks and VMs of two sizes, some of which are in groups under one rule or two."""
    rng = random.Random(seed)
    flavors, size = [], []
    for _ in range(rng.randint(4, 7)):
        size.append(rng.choice((2, 3)))
        flavors.append(Flavor(name=f"flavor {len(flavors)}", vcpus=size[-1], arriving=rng.randint(1, 3)))
    number = len(flavors)
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(number, dtype=np.int64),
        use=np.array(size, dtype=np.int64)[:, None],
        cost={},
        touches=np.ones((number, 1), dtype=np.bool_),
        stay_only=np.zeros(number, dtype=np.bool_),
    )
    rules: list[CrossRule] = []
    for _ in range(rng.randint(1, 2)):
        scope = rng.choice(("rack", "zone"))
        members = tuple(sorted(rng.sample(range(number), rng.randint(1, 2))))
        others = tuple(one for one in range(number) if one not in members)[:1]
        kind = rng.choice(("spread", "together", "apart", "least", "even"))
        most = rng.randint(1, 2)
        if kind == "apart":
            at = len(rules)
            rules.append(CrossRule(name="a", kind="apart", members=members, scope=scope, max_per=most, against=at + 1))
            rules.append(CrossRule(name="a", kind="count", members=others, scope=scope, max_per=most, against=at))
        else:
            rules.append(CrossRule(name="r", kind=kind, members=members, scope=scope, max_per=most))  # type: ignore[arg-type]
    classes = tuple(
        HostClass(
            shape=0,
            count=rng.randint(1, 2),
            capacity=np.array([units], dtype=np.int64),
            fixed=np.zeros(1, dtype=np.int64),
            allowed=np.ones(number, dtype=np.bool_),
            stay_penalty=np.zeros(number, dtype=np.int64),
            domain={"rack": rack, "zone": rack % 2},
            fixed_members={0: 1} if rng.random() < 0.2 else {},
        )
        for rack in range(3)
        for units in rng.sample((5, 7), rng.randint(1, 2))
    )
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.array(size, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=tuple(flavors), shapes=(shape,), classes=classes, objectives=objectives, rules=tuple(rules))


def values(problem: Problem, found: Result) -> tuple[int, ...]:
    """Return what an answer is worth."""
    return evaluate(problem, found.patterns, found.unplaced)


def test_merged_flavors_are_worth_the_same() -> None:
    """The merged problem has the optimum of the problem without rules; answers go there and back at the same values."""
    seen = 0
    for seed in range(8):
        problem = racks(seed)
        plain = Problem(
            flavors=problem.flavors, shapes=problem.shapes, classes=problem.classes, objectives=problem.objectives
        )
        merged = Merged.of(plain)
        if merged is None:
            continue
        seen += 1
        counts, whole = (solve_exact(one, limits=Limits(time_limit_s=20)) for one in (merged.problem, plain))
        assert [row.value for row in counts.objectives] == [row.value for row in whole.objectives], seed
        back, forth = merged.back(counts), merged.forth(whole)
        assert violations(plain, back.patterns, back.unplaced) == []
        assert violations(merged.problem, forth.patterns, forth.unplaced) == []
        assert values(plain, back) == values(plain, whole) == values(merged.problem, forth), seed
    assert seen > 4


def test_members_get_places_that_keep_the_rules_at_no_cost() -> None:
    """What is named breaks no rule and is worth what the counts are: no more than the proven best under the rules.

    Where rules are kept by no naming of the answer, none is said to be.
    """
    done = 0
    for seed in range(12):
        problem = racks(seed)
        merged = Merged.of(problem)
        if merged is None or not can_name(problem):
            continue
        counts = solve_exact(merged.problem, limits=Limits(time_limit_s=20))
        found = named(problem, merged, counts, seed=0, seconds=20.0, interrupt=None)
        best = solve_exact(problem, limits=Limits(time_limit_s=20))
        if found is None:
            continue
        done += 1
        assert violations(problem, found.patterns, found.unplaced) == [], seed
        assert values(problem, found) == values(merged.problem, counts), seed
        if best.patterns:
            assert values(problem, found) <= values(problem, best), seed
    assert done > 3


def test_members_without_a_place_are_left_out_and_no_others() -> None:
    """Rules are kept by who is named; where all can be, nobody is left out whom the counts have a place for."""
    done = 0
    for seed in range(40):
        problem = racks(seed)
        merged = Merged.of(problem)
        if merged is None or any(one.fixed_members for one in problem.classes):
            continue
        if any(rule.kind in ("least", "even") for rule in problem.rules):
            continue  # Who is left out may be who these rules need.
        counts = solve_exact(merged.problem, limits=Limits(time_limit_s=20))
        if any(counts.unplaced):
            continue
        whole = named(problem, merged, counts, seed=0, seconds=20.0, interrupt=None)
        found = nearly_named(problem, merged, counts, seed=0, seconds=20.0, interrupt=None)
        if found is None:
            assert whole is None
            continue
        done += 1
        assert violations(problem, found.patterns, found.unplaced) == [], seed
        assert any(found.unplaced) == (whole is None), seed
    assert done > 5


def test_members_whom_the_counts_have_no_place_for_are_placed_beside() -> None:
    """Both large VMs are on one host, both small ones on the other: pairs of each can be in a rack all the same."""
    size = np.array([2, 2, 1, 1], dtype=np.int64)
    problem = Problem(
        flavors=tuple(Flavor(name=f"f{n}", vcpus=int(units), arriving=1) for n, units in enumerate(size)),
        shapes=(
            Shape(
                name="units",
                nodes=1,
                row_names=((0, "units"),),
                flavor=np.arange(4, dtype=np.int64),
                use=size[:, None],
                cost={},
                touches=np.ones((4, 1), dtype=np.bool_),
                stay_only=np.zeros(4, dtype=np.bool_),
            ),
        ),
        classes=tuple(
            HostClass(
                shape=0,
                count=1,
                capacity=np.array([6], dtype=np.int64),
                fixed=np.zeros(1, dtype=np.int64),
                allowed=np.ones(4, dtype=np.bool_),
                stay_penalty=np.zeros(4, dtype=np.int64),
                domain={"rack": rack},
            )
            for rack in range(2)
        ),
        objectives=(Objective(goal="placed", terms=(Unplaced(size),)),),
        rules=tuple(
            CrossRule(name="pair", kind="together", members=pair, scope="rack", max_per=1) for pair in ((0, 2), (1, 3))
        ),
    )
    merged = Merged.of(problem)
    assert merged is not None
    large, small = (merged.places[0][place] for place in (0, 2))
    counts = Result(
        status="feasible",
        objectives=(),
        patterns=(
            HostPattern(host_class=0, count=1, placements=((int(large), 2),)),
            HostPattern(host_class=1, count=1, placements=((int(small), 2),)),
        ),
        unplaced=(0, 0),
    )
    assert named(problem, merged, counts, seed=0, seconds=20.0, interrupt=None) is None
    clock = Clock(limits=Limits(time_limit_s=20), interrupt=Interrupt())
    found = by_names(problem, merged, counts, seed=0, clock=clock)
    assert found is not None
    assert violations(problem, found.patterns, found.unplaced) == []
    assert not any(found.unplaced)


@pytest.mark.parametrize("kind", ["hosts", "together"])
def test_rules_that_naming_does_not_know_are_left_to_others(kind: str) -> None:
    """Hosts that hold a member, and single hosts as domains, are not what counts a domain say."""
    problem = racks(0)
    scope = "rack" if kind == "hosts" else "host"
    rule = CrossRule(name="other", kind=kind, members=(0,), scope=scope)  # type: ignore[arg-type]
    assert can_name(problem)
    assert not can_name(
        Problem(
            flavors=problem.flavors,
            shapes=problem.shapes,
            classes=problem.classes,
            objectives=problem.objectives,
            rules=(rule,),
        )
    )
