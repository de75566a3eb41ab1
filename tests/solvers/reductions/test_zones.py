"""Groups that share no domain are kept to zones of their own where that leaves the others as they are."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from solvers.evaluate import violations
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.gather import can_gather
from solvers.reductions.zones import zoned
from solvers.result import Limits
from solvers.solve import solve


def fleet(seed: int, *, racks: int = 3) -> Problem:
    """Return 18 hosts of nine sizes dealt out to racks, and VMs of six flavors alike, the first held together."""
    rng = random.Random(seed)
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(6, dtype=np.int64),
        use=np.full((6, 1), 2, dtype=np.int64),
        cost={},
        touches=np.ones((6, 1), dtype=np.bool_),
        stay_only=np.zeros(6, dtype=np.bool_),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([2 + kind // 2], dtype=np.int64),
            fixed=np.array([kind], dtype=np.int64),
            allowed=np.ones(6, dtype=np.bool_),
            stay_penalty=np.zeros(6, dtype=np.int64),
            domain={"rack": kind % racks},
        )
        for kind in range(18)
    )
    return Problem(
        flavors=tuple(Flavor(name=f"flavor {n}", vcpus=2, arriving=rng.randint(1, 4)) for n in range(6)),
        shapes=(shape,),
        classes=classes,
        objectives=(
            Objective(goal="placed", terms=(Unplaced(np.full(6, 2, dtype=np.int64)),)),
            Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
        ),
        rules=(CrossRule(name="group", kind="together", members=(0,), scope="rack"),),
    )


def parted(problem: Problem, pairs: list[tuple[int, int]], most: int = 0) -> Problem:
    """Return the problem with pairs of flavors that share no rack."""
    rules = list(problem.rules)
    for one, other in pairs:
        at = len(rules)
        rules.append(CrossRule(name="apart", kind="apart", members=(one,), scope="rack", max_per=most, against=at + 1))
        rules.append(CrossRule(name="others", kind="count", members=(other,), scope="rack"))
    return replace(problem, rules=tuple(rules))


@pytest.mark.parametrize("seed", range(4))
def test_answers_in_zones_keep_every_rule(seed: int) -> None:
    """Three groups that share no rack are in three zones, what is held together stays so, and others go anywhere."""
    problem = parted(fleet(seed), [(0, 1), (1, 2), (0, 2)])
    found = zoned(problem)
    assert found is not None and can_gather(found) and len(found.rules) == 1
    allowed = np.array([one.allowed for one in found.classes])
    assert (allowed[:, :3].sum(axis=1) == 1).all() and allowed[:, 3:].all()
    answer = solve(problem, limits=Limits(time_limit_s=60, rounds=30))
    assert not any(answer.unplaced) and violations(problem, answer.patterns, answer.unplaced) == []


def test_what_cannot_be_zoned_is_left_as_it_is() -> None:
    """Groups that may meet a little, more colours than racks, and no such rule at all."""
    assert zoned(fleet(0)) is None
    assert zoned(parted(fleet(0), [(0, 1)], most=1)) is None
    assert zoned(parted(fleet(0, racks=2), [(0, 1), (1, 2), (0, 2)])) is None
