"""One host in a CP-SAT model: integers y[placement], its rows and limits, and every goal's share as an expression."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.columns.model import Pattern, State, StateModel
from solvers.counts.overfull import keep_out, shortage_of
from solvers.problem import IntArray, Shape


def admissible(model: StateModel, state: State, chosen: IntArray | None = None) -> tuple[IntArray, IntArray]:
    """Return the placements that a host of a state can use (of those `chosen`, and its own), and at most how many
    VMs each.
    """
    shape = model.problem.shapes[state.shape]
    own = np.array(sorted(state.own), dtype=np.int64)
    placements = np.arange(shape.placements) if chosen is None else np.union1d(chosen, own)
    flavor, use = shape.flavor[placements], shape.use[placements]
    most = np.where(state.lead.allowed, model.demand, np.minimum(model.demand, state.present))
    most = np.where(model.phantom, np.where(state.lead.allowed, 1 << 40, 0), most)
    upper = most[flavor]
    for row in range(use.shape[1]):
        taking = use[:, row] > 0
        upper[taking] = np.minimum(upper[taking], state.lead.capacity[row] // use[taking, row])
    here = np.array([state.own.get(int(placement), 0) for placement in placements], dtype=np.int64)
    upper = np.where(shape.stay_only[placements], np.minimum(upper, here), upper)
    keep = upper > 0
    return placements[keep], upper[keep]


@dataclass(slots=True)
class HostBlock:
    """The variables of one host; rows are written when it is made, goals when they are asked for.

    `placements` and `upper` as `admissible` gives them; `symmetry` adds the class's chains.
    """

    writer: RowWriter
    model: StateModel
    state: State
    placements: IntArray
    upper: IntArray
    symmetry: bool = True
    y: IntArray = field(init=False)
    flavor: IntArray = field(init=False)
    _shape: Shape = field(init=False)
    _left: Sum | None = None
    _moved: Sum | None = None

    def __post_init__(self) -> None:
        """Write the variables and the rows that hold whatever the goals are."""
        model, state, writer = self.model, self.state, self.writer
        self._shape = model.problem.shapes[state.shape]
        first = writer.block(self.upper)
        self.y = np.arange(first, first + len(self.placements))
        self.flavor = self._shape.flavor[self.placements]
        use = self._shape.use[self.placements]
        for row in np.nonzero(use.any(axis=0))[0]:
            writer.row(Sum().add(self.y, use[:, row]), None, int(state.lead.capacity[row]))
        keep_out(writer, self._shape, state.lead, self.placements, self.y)
        for f in np.unique(self.flavor[~state.lead.allowed[self.flavor] & ~model.phantom[self.flavor]]):
            writer.row(self.amount(int(f)), None, int(state.present[f]))
        if self.symmetry:
            for keys in state.lead.chains:
                for more, less in pairwise(keys):
                    writer.row(Sum().add(self.y, (more - less)[self.placements]), 0, None)
        budget = model.problem.budget
        if budget.host_out is not None and state.present.any():
            writer.row(self.left(), None, budget.host_out)
        if budget.host_in is not None:
            arrived = Sum()
            for f in np.unique(self.flavor[model.real_flavor[self.flavor]]):
                # New VMs are no migrants; which of a flavor's VMs are new, one host alone cannot tell.
                if not model.arriving[f]:
                    more = self.amount(int(f))
                    more.constant -= int(state.present[f])
                    arrived.plus(writer.positive_part(more))
            writer.row(arrived, None, budget.host_in)

    @property
    def flat(self) -> IntArray:
        """The placements' flat indices."""
        out: IntArray = self.model.offset[self.state.shape] + self.placements
        return out

    def amount(self, flavor: int) -> Sum:
        """Return the VMs of a flavor on the host."""
        return Sum().add(self.y[self.flavor == flavor], 1)

    def left(self) -> Sum:
        """Return the VMs present that leave the host."""
        if self._left is None:
            self._left = Sum()
            for f in np.nonzero(self.state.present)[0]:
                gone = Sum(constant=int(self.state.present[f])).plus(self.amount(int(f)), -1)
                self._left.plus(self.writer.positive_part(gone))
        return self._left

    def moved(self) -> Sum:
        """Return the VMs present that leave the host or change node on it."""
        if self._moved is None:
            self._moved = self._make_moved()
        return self._moved

    def _make_moved(self) -> Sum:
        state, writer = self.state, self.writer
        moved = Sum(constant=int(state.present.sum()))
        content = np.array([state.own.get(placement, 0) for placement in self.placements.tolist()], dtype=np.int64)
        # Where no more than are there now can be, all of them stay in place.
        whole = (content > 0) & (self.upper <= content)
        moved.add(self.y[whole], -1)
        stays: dict[int, int] = {}
        for position in np.nonzero((content > 0) & ~whole)[0].tolist():
            count = Sum().add(self.y[position], 1)
            stays[position] = writer.derive(count, 0, int(content[position]))
            writer.row(Sum().plus(count).add(stays[position], -1), 0, None)
            moved.add(stays[position], -1)
        for f in np.nonzero(state.floating)[0].tolist():
            rest = Sum().plus(self.amount(f)).add(self.y[whole & (self.flavor == f)], -1)
            for position, variable in stays.items():
                if self.flavor[position] == f:
                    rest.add(variable, -1)
            settled = writer.derive(rest, 0, int(state.floating[f]))
            writer.row(Sum().plus(rest).add(settled, -1), 0, None)
            moved.add(settled, -1)
        return moved

    def objective(self, number: int) -> Sum:
        """Return what the host adds to an objective."""
        objective = self.model.problem.objectives[number]
        flat = self.flat
        total = Sum().add(self.y, self.model.cost[flat, number])
        real = self.model.real[flat]
        if objective.stay_penalty:
            total.add(self.y, np.where(real, self.state.lead.stay_penalty[self.flavor], 0))
        if objective.hinge is not None:
            for hinge in self._shape.hinges:
                if hinge.goal == objective.hinge:
                    load = np.where(real, self._shape.use[self.placements, hinge.row], 0) * hinge.scale
                    start = hinge.scale * int(self.state.lead.fixed[hinge.row]) - hinge.offset
                    total.plus(self.writer.positive_part(Sum(constant=start).add(self.y, load)), hinge.slope)
        if objective.shortage is not None:
            chosen, y = self.placements[real], self.y[real]
            total.plus(shortage_of(self.writer, self._shape, self.state.lead, chosen, y, objective.shortage))
        if objective.host_cost and self.state.lead.cost and real.any():
            total.add(self._used(real), self.state.lead.cost)
        if objective.migrations and self.state.present.any():
            total.plus(self.left(), objective.migrations)
        if objective.moves and self.state.present.any():
            total.plus(self.moved(), objective.moves)
        return total

    def _used(self, real: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
        """Return a variable that is 1 where the host holds any VM, linked by every row that can fill."""
        used = self.writer.derive(Sum().add(self.y[real], 1), 0, 1)
        use = np.where(real[:, None], self._shape.use[self.placements], 0)
        for row in np.nonzero(use.any(axis=0))[0]:
            most = min(int(self.state.lead.capacity[row]), int(use[:, row] @ self.upper))
            self.writer.row(Sum().add(used, most).add(self.y, -use[:, row]), 0, None)
        for position in np.nonzero(real & ~use.any(axis=1))[0]:
            self.writer.row(Sum().add(used, int(self.upper[position])).add(self.y[position], -1), 0, None)
        return used

    def hint(self, pattern: Pattern, solution: IntArray) -> None:
        """Write a pattern's values into a solution; what is not of the block's placements is left out."""
        position = {int(placement): n for n, placement in enumerate(self.placements)}
        for placement, count in pattern:
            if placement in position:
                solution[self.y[position[placement]]] = count

    def pattern(self, values: IntArray) -> Pattern:
        """Return the pattern of a solution."""
        counts = values[self.y]
        return tuple((int(self.placements[n]), int(counts[n])) for n in np.nonzero(counts)[0])
