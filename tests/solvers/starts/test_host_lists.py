"""A first answer under thousands of limits between groups: hosts are lines, limits are lists."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from pair_limits import random_limits

from solvers.evaluate import evaluate, violations
from solvers.objective import HostCosts, Objective, PlacementCosts, Unplaced
from solvers.problem import COST_UNIT, Flavor, HostClass, Problem, Shape
from solvers.starts import host_lists
from solvers.starts.best_fit import solve_greedy
from solvers.starts.host_lists import filled_by_lists, has_many_limits


def fleet(seed: int, *, groups: int = 60, limits: int = 60, hosts: int = 40, kinds: int = 1) -> Problem:
    """Return hosts of two nodes of 8 units, the second kind twice as large, and groups of VMs with limits between two
    and by themselves; a VM costs on the second node.
    """
    rng = random.Random(seed)
    sizes = [rng.choice((1, 2, 3, 5)) for _ in range(groups)]
    own = {group: n for n, group in enumerate(rng.sample(range(groups), 5))}
    names = ((0, "units"), (1, "units"), *((None, f"rule {n}") for n in range(5)))
    use = np.zeros((2 * groups, len(names)), dtype=np.int64)
    for group, size in enumerate(sizes):
        for node in range(2):
            use[2 * group + node, node] = size
            if group in own:
                use[2 * group + node, 2 + own[group]] = 1
    shapes = tuple(
        Shape(
            name=f"kind {kind}",
            nodes=2,
            row_names=names,
            flavor=np.repeat(np.arange(groups, dtype=np.int64), 2),
            use=use,
            cost={"remote": np.tile(np.array([0, 1], dtype=np.int64), groups)},
            touches=np.tile(np.eye(2, dtype=np.bool_), (groups, 1)),
            stay_only=np.zeros(2 * groups, dtype=np.bool_),
        )
        for kind in range(kinds)
    )
    classes = tuple(
        HostClass(
            shape=kind,
            count=hosts,
            capacity=np.array([8 * (1 + kind)] * 2 + [1] * 5, dtype=np.int64),
            fixed=np.zeros(len(names), dtype=np.int64),
            allowed=np.ones(groups, dtype=np.bool_),
            stay_penalty=np.zeros(groups, dtype=np.int64),
        )
        for kind in range(kinds)
    )
    rules = random_limits(rng, groups, limits, (0, 1))
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.array(sizes, dtype=np.int64)),)),
        Objective(goal="remote", terms=(PlacementCosts("remote"),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    flavors = tuple(Flavor(name=f"group {n}", vcpus=s, arriving=rng.randint(1, 5)) for n, s in enumerate(sizes))
    return Problem(flavors=flavors, shapes=shapes, classes=classes, objectives=objectives, rules=tuple(rules))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kinds", [1, 2])
def test_all_have_a_place_and_no_limit_is_broken(seed: int, kinds: int) -> None:
    """On hosts of one kind or two, at the cheapest places while there are any."""
    problem = fleet(seed, kinds=kinds)
    found = filled_by_lists(problem)
    assert found is not None and not any(found.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []
    assert [row.value for row in found.objectives] == list(evaluate(problem, found.patterns, found.unplaced))


def test_few_hosts_leave_out_what_has_no_room() -> None:
    """What is left out is told, and higher priorities come first."""
    problem = fleet(0, hosts=4)
    first = replace(problem.flavors[7], priority=1)
    problem = replace(problem, flavors=(*problem.flavors[:7], first, *problem.flavors[8:]))
    found = filled_by_lists(problem)
    assert found is not None and any(found.unplaced) and found.unplaced[7] == 0
    assert violations(problem, found.patterns, found.unplaced) == []


def test_it_takes_about_as_many_hosts_as_best_fit() -> None:
    """Over ten fleets it takes hardly a host in a hundred more than the other way of the same heuristic."""
    fleets = [fleet(seed) for seed in range(10)]
    problems = [replace(one, objectives=(one.objectives[0], one.objectives[2])) for one in fleets]
    by_lists = sum(row.objectives[1].value or 0 for row in map(filled_by_lists, problems) if row is not None)
    assert 100 * by_lists <= 101 * sum(solve_greedy(problem).objectives[1].value or 0 for problem in problems)


def test_what_an_answer_leaves_out_is_put_in_beside_what_is_there() -> None:
    """Hosts of the answer keep what they hold."""
    problem = fleet(1)
    few = replace(problem, classes=(replace(problem.classes[0], count=8),))
    start = filled_by_lists(few)
    assert start is not None and any(start.unplaced)
    empty = replace(start.patterns[0], count=32, placements=())
    start = replace(start, patterns=(*start.patterns, empty))
    found = filled_by_lists(problem, start=start)
    assert found is not None and not any(found.unplaced)
    held = [dict(pattern.placements) for pattern in found.patterns for _ in range(pattern.count)]
    before = [dict(pattern.placements) for pattern in start.patterns for _ in range(pattern.count)]
    for one in before:
        assert any(all(more.get(place, 0) >= many for place, many in one.items()) for more in held)


def test_large_fleets_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """By flavors times hosts; VMs that are there already and other rules are not for it."""
    problem = fleet(2)
    assert not has_many_limits(problem)
    monkeypatch.setattr(host_lists, "LARGE", 60 * 40)
    assert has_many_limits(problem)
    there = replace(problem.classes[0], content=((0, 1),))
    assert not has_many_limits(replace(problem, classes=(there,)))
    assert not has_many_limits(replace(problem, rules=()))
