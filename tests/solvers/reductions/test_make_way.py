"""A VM that only a host in use could hold: what is there makes way, if it finds a place elsewhere."""

from __future__ import annotations

import numpy as np

from solvers.clock import Clock, CutOffError
from solvers.evaluate import evaluate, violations
from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, Flavor, HostClass, Problem, Shape
from solvers.reductions.make_way import made_way
from solvers.result import HostPattern, Interrupt, Limits, Result

SMALL, LARGE, KEPT = 0, 1, 2


def unhurried(*, requested: bool = False, rounds: int | None = None) -> Clock:
    """Return a clock that cuts nothing off, unless an interrupt is requested."""
    return Clock(Limits(time_limit_s=600, rounds=rounds), Interrupt(requested=requested))


def fleet(*capacities: int) -> Problem:
    """Return hosts of so many units; VMs of 2, of 8, and of 2 that may only be on the first host."""
    sizes = [2, 8, 2]
    flavors = tuple(
        Flavor(name=f"flavor {n}", vcpus=size, arriving=many)
        for n, (size, many) in enumerate(zip(sizes, (2, 1, 1), strict=True))
    )
    shape = Shape(
        name="units",
        nodes=1,
        row_names=((0, "units"),),
        flavor=np.arange(3, dtype=np.int64),
        use=np.array([sizes], dtype=np.int64).T,
        cost={},
        touches=np.ones((3, 1), dtype=np.bool_),
        stay_only=np.zeros(3, dtype=np.bool_),
    )
    classes = tuple(
        HostClass(
            shape=0,
            count=1,
            capacity=np.array([units], dtype=np.int64),
            fixed=np.zeros(1, dtype=np.int64),
            allowed=np.array([True, True, number == 0], dtype=np.bool_),
            stay_penalty=np.zeros(3, dtype=np.int64),
        )
        for number, units in enumerate(capacities)
    )
    objectives = (
        Objective(goal="placed", terms=(Unplaced(np.array(sizes, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=classes, objectives=objectives)


def answer(*held: tuple[tuple[int, int], ...], unplaced: tuple[int, int, int]) -> Result:
    """Return an answer whose hosts hold so much."""
    patterns = tuple(HostPattern(host_class=n, count=1, placements=what) for n, what in enumerate(held))
    return Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced)


def test_small_vms_make_way_for_a_large_one() -> None:
    """Of two hosts that could hold it the one is cleared whose VMs may be elsewhere: they go to the other one."""
    problem = fleet(8, 8, 4)
    known = answer(((KEPT, 1),), ((SMALL, 2),), (), unplaced=(0, 1, 0))
    found = made_way(problem, known, seed=0, clock=unhurried())
    assert violations(problem, found.patterns, found.unplaced) == []
    assert evaluate(problem, found.patterns, found.unplaced) == (0, 2 * COST_UNIT)


def test_what_is_no_better_is_not_taken() -> None:
    """Where who makes way finds no place but at the cost of as much, the answer stays what it was."""
    problem = fleet(8)
    known = answer(((SMALL, 2), (KEPT, 1)), unplaced=(0, 1, 0))
    found = made_way(problem, known, seed=0, clock=unhurried())
    assert evaluate(problem, found.patterns, found.unplaced) <= evaluate(problem, known.patterns, known.unplaced)
    assert violations(problem, found.patterns, found.unplaced) == []


def test_whole_answers_stay() -> None:
    """Nothing is done where nothing is left out."""
    problem = fleet(8, 8, 4)
    known = answer(((KEPT, 1), (SMALL, 2)), ((LARGE, 1),), (), unplaced=(0, 0, 0))
    assert made_way(problem, known, seed=0, clock=unhurried()) is known


def test_who_interrupts_keeps_what_is_there() -> None:
    """Clearing a host is a round: none is begun after an interrupt or the last round, and one cut off counts for
    nothing."""
    problem = fleet(8, 8, 4)
    known = answer(((KEPT, 1),), ((SMALL, 2),), (), unplaced=(0, 1, 0))
    assert made_way(problem, known, seed=0, clock=unhurried(requested=True)) is known
    assert made_way(problem, known, seed=0, clock=unhurried(rounds=0)) is known

    class CutOff(Clock):
        """A clock that cuts every round off."""

        def check(self) -> None:
            raise CutOffError

    late = CutOff(Limits(time_limit_s=600), Interrupt())
    assert made_way(problem, known, seed=0, clock=late) is known
    assert late.rounds == 0
