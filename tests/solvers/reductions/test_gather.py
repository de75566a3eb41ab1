"""Groups that are held together find their domains in an answer that does not know of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from solvers.clock import Clock, CutOffError
from solvers.evaluate import evaluate, violations
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, CrossRule, Flavor, HostClass, Problem, Shape
from solvers.reductions.by_gathering import UNEVEN, ByGathering, is_uneven
from solvers.reductions.choose_domains import Ties
from solvers.reductions.gather import can_gather, gathered
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Interrupt, Limits, Result
from solvers.solve import solve

SIZES = (2, 2, 2, 2, 2, 3)
"""Units of a VM of each flavor; of the first five, all but one are groups, whose VMs are like the others otherwise."""


def fleet(seed: int, *, kinds: int = UNEVEN + 1, racks: int = 3) -> Problem:
    """Return hosts of many sizes dealt out to racks, groups each in one rack, and VMs under no rule."""
    rng = random.Random(seed)
    flavors = tuple(Flavor(name=f"flavor {n}", vcpus=size, arriving=rng.randint(1, 4)) for n, size in enumerate(SIZES))
    many = len(SIZES)
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(many, dtype=np.int64),
        use=np.array([SIZES], dtype=np.int64).T,
        cost={},
        touches=np.ones((many, 1), dtype=np.bool_),
        stay_only=np.zeros(many, dtype=np.bool_),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([2 + kind // 2], dtype=np.int64),
            fixed=np.array([kind], dtype=np.int64),
            allowed=np.ones(many, dtype=np.bool_),
            stay_penalty=np.zeros(many, dtype=np.int64),
            domain={"rack": rng.randrange(racks)},
        )
        for kind in range(kinds)
    )
    rules = tuple(CrossRule(name=f"group {n}", kind="together", members=(n,), scope="rack") for n in range(4))
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.array(SIZES, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=classes, objectives=objectives, rules=rules)


def counted(problem: Problem) -> tuple[Merged, Result]:
    """Return the problem without rules, merged, and an answer to it."""
    merged = Merged.of(replace(problem, rules=()))
    assert merged is not None
    return merged, solve(merged.problem, limits=Limits(time_limit_s=20, rounds=20))


@pytest.mark.parametrize("seed", range(8))
def test_members_have_their_place_in_one_domain_or_none(seed: int) -> None:
    """What is gathered keeps the rules on the hosts that the answer uses; only members may be left out."""
    problem = fleet(seed)
    merged, counts = counted(problem)
    found = gathered(problem, merged, counts, clock=Clock(Limits(time_limit_s=20.0), Interrupt()))
    assert found is not None
    assert violations(problem, found.patterns, found.unplaced) == []
    assert not found.unplaced[4] and not found.unplaced[5]
    assert (
        evaluate(problem, found.patterns, found.unplaced)[1]
        <= evaluate(merged.problem, counts.patterns, counts.unplaced)[1]
    )
    held = Counter({n: flavor.arriving - found.unplaced[n] for n, flavor in enumerate(problem.flavors)})
    placed: Counter[int] = Counter()
    for pattern in found.patterns:
        for place, many in pattern.placements:
            placed[place] += many * pattern.count
    assert placed == +held


@dataclass(slots=True)
class CutOff(Clock):
    """A clock that cuts work off after so many looks at it, and begins no round afterwards."""

    looks: int = 0

    def check(self) -> None:
        """Look at the clock."""
        self.looks -= 1
        if self.looks < 0:
            raise CutOffError


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_fleet_of_many_kinds_of_hosts_is_solved_so(seed: int) -> None:
    """The whole search ends with groups together, everything placed, and no more hosts than the exact engine needs."""
    problem = fleet(seed)
    assert can_gather(problem) and is_uneven(counted(problem)[0].problem)
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20, rounds=60))
    best = solve(problem, engine="exact", limits=Limits(time_limit_s=20, rounds=20))
    assert violations(problem, found.patterns, found.unplaced) == []
    assert [row.value for row in found.objectives] == [row.value for row in best.objectives]


def test_what_is_left_out_where_groups_gather_finds_a_place() -> None:
    """Four groups that the counts have on hosts of several racks come together, at the hosts that it takes."""
    problem = fleet(1, racks=6)
    merged, counts = counted(problem)
    clock = Clock(limits=Limits(time_limit_s=20, rounds=60), interrupt=Interrupt())
    work = ByGathering(problem=problem, seed=0, clock=clock)
    found = work.answer(merged, counts)
    assert found is not None and 0 < clock.rounds <= 60
    assert violations(problem, found.patterns, found.unplaced) == []
    values = evaluate(problem, found.patterns, found.unplaced)
    assert [row.value for row in found.objectives] == list(values)
    assert values[0] == 0
    assert values[1] >= evaluate(merged.problem, counts.patterns, counts.unplaced)[1]


@pytest.mark.parametrize("looks", [0, 3, 9])
def test_work_that_is_cut_off_is_replayed_by_its_rounds(looks: int) -> None:
    """Whatever the clock cuts off was never begun: as many rounds as were counted bring the same answer again."""
    problem = fleet(1, racks=6)
    merged, counts = counted(problem)
    clock = CutOff(Limits(time_limit_s=600), Interrupt(), looks=looks)
    found = ByGathering(problem=problem, seed=0, clock=clock).answer(merged, counts)
    whole = Clock(Limits(time_limit_s=600, rounds=clock.rounds), Interrupt())
    again = ByGathering(problem=problem, seed=0, clock=whole).answer(merged, counts)
    assert (found is None) == (clock.rounds == 0) and whole.rounds == clock.rounds
    assert found == again


def test_a_group_that_found_no_room_goes_elsewhere() -> None:
    """Only the group with a VM left out has another domain then, though the one it was in has most room."""
    problem = fleet(0)
    ties = Ties.of(problem)
    out = (1, *(0 for _ in SIZES[1:]))
    nowhere = tuple(HostPattern(host_class=n, count=1, placements=()) for n in range(len(problem.classes)))
    again = ties.again(Result(status="feasible", objectives=(), patterns=nowhere, unplaced=out), elsewhere=True)
    assert again.home[0] != ties.home[0]
    assert [again.home[n] for n in (1, 2, 3)] == [ties.home[n] for n in (1, 2, 3)]


def test_what_cannot_be_gathered_is_known() -> None:
    """Members of two groups, rules of another kind or scope and VMs that are there already go another way."""
    problem = fleet(0)
    spread = replace(problem.rules[0], kind="spread")
    shared = replace(problem.rules[0], members=(0, 1))
    alone = replace(problem.rules[0], scope="host")
    there = replace(problem.classes[0], content=((0, 1),))
    assert can_gather(problem)
    assert not can_gather(replace(problem, rules=()))
    assert not can_gather(replace(problem, rules=(*problem.rules, spread)))
    assert not can_gather(replace(problem, rules=(*problem.rules, shared)))
    assert not can_gather(replace(problem, rules=(alone, *problem.rules[1:])))
    assert not can_gather(replace(problem, classes=(there, *problem.classes[1:])))


@pytest.mark.parametrize("seed", range(3))
def test_more_members_than_places_leave_none_to_others(seed: int) -> None:
    """Where room lacks for all, what is left out is left out: counts of VMs were below 0."""
    problem = fleet(seed)
    many = [replace(one, arriving=8 if number < 4 else 1) for number, one in enumerate(problem.flavors)]
    small = tuple(replace(one, capacity=np.array([2], dtype=np.int64)) for one in problem.classes)
    crowded = replace(problem, flavors=tuple(many), classes=small)
    merged, counts = counted(crowded)
    found = gathered(crowded, merged, counts, clock=Clock(Limits(time_limit_s=20.0), Interrupt()))
    assert found is not None and any(counts.unplaced)
    assert all(count > 0 for pattern in found.patterns for _, count in pattern.placements)
    assert not violations(crowded, found.patterns, found.unplaced)
