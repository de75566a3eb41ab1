"""What is told of a problem with rules while its parts are solved: nothing that holds for a part alone."""

from __future__ import annotations

import numpy as np

from solvers.objective import HostCosts, Objective, Unplaced
from solvers.problem import COST_UNIT, Problem
from solvers.reductions.telling import Telling
from solvers.result import Progress

WHOLE = Problem(
    flavors=(),
    shapes=(),
    classes=(),
    objectives=(
        Objective(goal="placed", terms=(Unplaced(np.zeros(0, dtype=np.int64)),)),
        Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
    ),
)


def report(goal: str, value: int, bound: int | None) -> Progress:
    """Return what an engine tells of a part."""
    return Progress(goal=goal, part="", value=value, bound=bound, seconds=1.0, engine="states")


def test_the_value_is_that_of_the_best_answer_that_keeps_the_rules() -> None:
    """The part without rules places all on two hosts, the whole leaves something out: no bound is of it."""
    told: list[Progress] = []
    telling = Telling(problem=WHOLE, on_progress=told.append, values=(8, COST_UNIT))
    telling(report("placed", 0, 0))
    telling(report("hosts", 2 * COST_UNIT, 2 * COST_UNIT))
    assert [(one.goal, one.value, one.bound) for one in told] == [("placed", 8, 0), ("hosts", COST_UNIT, None)]
    telling.values = (0, 3 * COST_UNIT)
    telling(report("hosts", 2 * COST_UNIT, 2 * COST_UNIT))
    assert (told[-1].value, told[-1].bound) == (3 * COST_UNIT, 2 * COST_UNIT)


def test_bounds_of_groups_that_are_tied_are_not_told() -> None:
    """They hold for these ties alone: what was proven without the rules stands beside the value."""
    told: list[Progress] = []
    telling = Telling(problem=WHOLE, on_progress=told.append, values=(0, 4 * COST_UNIT))
    telling(report("placed", 0, 0))
    telling(report("hosts", 2 * COST_UNIT, 2 * COST_UNIT))
    telling.is_relaxed = False
    telling(report("hosts", 3 * COST_UNIT, 3 * COST_UNIT))
    assert (told[-1].value, told[-1].bound) == (4 * COST_UNIT, 2 * COST_UNIT)


def test_without_an_answer_only_the_bound_of_the_first_goal_is_told() -> None:
    """No value is known, and bounds of later goals hold for answers as good as the part's before."""
    told: list[Progress] = []
    telling = Telling(problem=WHOLE, on_progress=told.append)
    telling(report("placed", 0, 0))
    telling(report("hosts", 2 * COST_UNIT, 2 * COST_UNIT))
    assert [(one.value, one.bound) for one in told] == [(None, 0), (None, None)]
