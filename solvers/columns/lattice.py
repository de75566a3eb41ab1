"""Which values an objective can take below a given one: what every VM costs comes in steps, once dear places are out.

Each VM costs at least the least of its flavor. An answer below a value cannot afford a placement that costs more above
that than there is between the value and the sum of the least; the steps of what remains are coarser than those of all
costs, and a bound may be rounded up to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.columns.model import StateModel, least_cost
from solvers.objective import PlacementCosts
from solvers.problem import BoolArray

MARGIN = 2e-6
"""By so much of itself a bound has to be above a value to be rounded up to the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Every answer costs `below` or more, or ``base + k * step`` with a whole k; a step of 0 leaves `base` alone."""

    base: int
    step: int
    below: int

    def rounded(self, bound: int) -> int:
        """Return the least value at or above a bound that an answer can have; never above `below`."""
        if bound <= self.base:
            return max(bound, min(self.base, self.below))
        if not self.step:
            return max(bound, self.below)
        return max(bound, min(self.below, self.base - (self.base - bound) // self.step * self.step))

    def firm(self, bound: int) -> int:
        """Return the same with a margin, so that a solver in floating point comes to it too; at least `bound`."""
        return max(bound, self.rounded(bound - 2 - round(MARGIN * abs(bound))))


def lattice_of(
    model: StateModel, objective: int, held: Sequence[int], below: int, banned: BoolArray | None = None
) -> Lattice | None:
    """Return the values below `below` of an objective that is a sum over placements alone; None for any other one.

    `held` are the values of the earlier objectives: a VM that they do not let stay out costs something. `banned` :
    flat, placements that are ruled out.
    """
    goal = model.problem.objectives[objective]
    if [type(term) for term in goal.terms] != [PlacementCosts]:
        return None
    if model.cost[~model.real, objective].any():
        return None
    least = least_cost(model, objective)
    free = model.arriving > 0
    for g, most in enumerate(held):
        free &= ~((model.unplaced[g] > 0) & (most <= 0))
    # Where a VM may stay out it costs nothing there.
    least = np.where(free, np.minimum(least, 0), least)
    base = int(least @ model.demand)
    excess = model.cost[:, objective] - least[model.flavor]
    open_ = model.real & (model.demand[model.flavor] > 0)
    excess = excess[open_ if banned is None else open_ & ~banned]
    steps = [*np.unique(excess[excess < below - base]).tolist(), *np.unique(-least[free]).tolist()]
    return Lattice(base=base, step=math.gcd(*steps), below=below)
