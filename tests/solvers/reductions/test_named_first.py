"""A first answer under many limits: hosts filled by sizes, and VMs named to them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from pair_limits import random_limits

from solvers.clock import Clock
from solvers.evaluate import evaluate, violations
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.named_first import finished, solve_first
from solvers.result import Interrupt, Limits
from solvers.starts import host_lists
from solvers.starts.best_fit import solve_greedy
from solvers.starts.host_lists import filled_by_lists

SIZES = ((16, 4), (4, 16), (8, 8), (4, 3), (1, 3))
"""(CPUs, memory) of VMs: half of them would fill a host's CPUs, the others its memory."""


def uneven_sizes(seed: int, *, groups: int = 120, limits: int = 150, hosts: int = 160) -> Problem:
    """Return hosts of 64 CPUs and 64 of memory, groups of VMs of five sizes, limits between them and of some alone."""
    rng = random.Random(seed)
    chosen = [rng.randrange(len(SIZES)) for _ in range(groups)]
    own = rng.sample(range(groups), groups // 5)
    names = ((0, "cpus"), (0, "memory"), *((None, f"rule {n}") for n in range(len(own))))
    use = np.array([[*SIZES[one], *(int(group == other) for other in own)] for group, one in enumerate(chosen)])
    shape = Shape(
        name="one",
        nodes=1,
        row_names=names,
        flavor=np.arange(groups, dtype=np.int64),
        use=use,
        cost={},
        touches=np.ones((groups, 1), dtype=np.bool_),
        stay_only=np.zeros(groups, dtype=np.bool_),
    )
    host = HostClass(
        shape=0,
        count=hosts,
        capacity=np.array([64, 64, *[1] * len(own)], dtype=np.int64),
        fixed=np.zeros(len(names), dtype=np.int64),
        allowed=np.ones(groups, dtype=np.bool_),
        stay_penalty=np.zeros(groups, dtype=np.int64),
    )
    rules = random_limits(rng, groups, limits, (0, 0, 1))
    objectives = (
        Objective(goal="placed", terms=(Unplaced(use[:, 0]),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    flavors = tuple(
        Flavor(name=f"group {n}", vcpus=SIZES[one][0], arriving=rng.choice((1, 2, 4, 12)))
        for n, one in enumerate(chosen)
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=(host,), objectives=objectives, rules=tuple(rules))


def clock() -> Clock:
    """Return a clock that cuts nothing off."""
    return Clock(limits=Limits(time_limit_s=600), interrupt=Interrupt())


@pytest.mark.parametrize("seed", range(5))
def test_sizes_that_suit_each_other_share_hosts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts are within a twentieth of what the VMs take, no limit is broken, and single hosts alone take more."""
    monkeypatch.setattr(host_lists, "LARGE", 1)
    problem = uneven_sizes(seed)
    found = solve_first(problem, seed=seed, clock=clock())
    assert violations(problem, found.patterns, found.unplaced) == []
    placed, hosts = evaluate(problem, found.patterns, found.unplaced)
    need = (problem.demand() @ problem.shapes[0].use[:, :2] / 64).max()
    assert placed == 0 and need <= hosts / COST_UNIT <= 1.05 * need + 1
    by_lists = filled_by_lists(problem)
    assert by_lists is not None and hosts <= (by_lists.objectives[1].value or 0)


def test_whoever_will_not_wait_has_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One way is always gone to its end."""
    monkeypatch.setattr(host_lists, "LARGE", 1)
    problem = uneven_sizes(0)
    impatient = Clock(limits=Limits(time_limit_s=0), interrupt=Interrupt())
    found = solve_first(problem, seed=0, clock=impatient)
    assert not any(found.unplaced) and violations(problem, found.patterns, found.unplaced) == []


def test_small_fleets_are_filled_by_groups_of_hosts() -> None:
    """Below the size that asks for lists the greedy engine is as quick."""
    problem = uneven_sizes(0)
    assert solve_first(problem, seed=0, clock=clock()).patterns == solve_greedy(problem).patterns


def test_who_finds_no_place_takes_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two full hosts hold a VM each that may be on any: the one that may not be beside the first one comes all the
    same, where a third host has room for who makes way.
    """
    monkeypatch.setattr(host_lists, "LARGE", 1)
    problem = uneven_sizes(0, groups=3, limits=0, hosts=3)
    shape = replace(
        problem.shapes[0],
        row_names=((0, "cpus"), (0, "memory")),
        use=np.array([[32, 32], [32, 32], [32, 32]], dtype=np.int64),
    )
    one = CrossRule(name="apart", kind="apart", members=(0,), scope="host", max_per=0, against=1)
    problem = replace(
        problem,
        shapes=(shape,),
        flavors=tuple(Flavor(name=f"group {n}", vcpus=32, arriving=many) for n, many in enumerate((1, 2, 3))),
        classes=(
            replace(problem.classes[0], capacity=np.array([64, 64], dtype=np.int64), fixed=np.zeros(2, dtype=np.int64)),
        ),
        rules=(one, replace(one, kind="count", members=(1,), against=0)),
    )
    start = solve_greedy(problem)
    pattern = start.patterns[0]
    hosts = (((0, 1), (2, 1)), ((1, 1), (2, 1)), ((2, 1),))
    start = replace(
        start,
        patterns=tuple(replace(pattern, count=1, placements=placements) for placements in hosts),
        unplaced=(0, 1, 0),
    )
    assert violations(problem, start.patterns, start.unplaced) == []
    found = finished(problem, start, seed=0)
    assert found is not None and not any(found.unplaced)
    blocked = replace(
        start, patterns=tuple(replace(pattern, count=1, placements=p) for p in (((0, 1),), *hosts[1:2], ((2, 2),)))
    )
    found = finished(problem, blocked, seed=0)
    assert found is not None and not any(found.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []
