"""One host in a CP-SAT model: integers y[placement], its rows and limits, and every goal's share as an expression.

The exact engine has a block for every host, exact pricing one, a search over few hosts some: a goal's term or a limit
of one host is written here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.counts.host_view import HostView
from solvers.counts.overfull import keep_out, shortage_of
from solvers.objective import (
    Changes,
    Hinges,
    HostCosts,
    Objective,
    PlacementCosts,
    Shortages,
    StayPenalties,
    Term,
)  # fmt: skip
from solvers.problem import IntArray, MoveBudget


@dataclass(slots=True)
class HostBlock:
    """The variables of one host; they are written when it is made, rows and goals when they are asked for."""

    writer: RowWriter
    view: HostView
    y: IntArray = field(init=False)
    _left: Sum | None = None
    _moved: Sum | None = None

    def __post_init__(self) -> None:
        """Write the variables."""
        first = self.writer.block(self.view.upper)
        self.y = np.arange(first, first + len(self.view.placements), dtype=np.int64)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def write_capacity(self) -> None:
        """What the host holds fits every row of its shape."""
        view = self.view
        for row, room in enumerate(view.host_class.capacity.tolist()):
            self.writer.row(Sum().add(self.y, view.use[:, row]), None, room)
        keep_out(self.writer, view.shape, view.host_class, view.placements, self.y)

    def write_permissions(self) -> None:
        """Where a flavor may not arrive, at most as many stay as are there now."""
        view = self.view
        for flavor in np.unique(view.flavor[~view.host_class.allowed[view.flavor]]).tolist():
            self.writer.row(self.amount(flavor), None, int(view.present[flavor]))

    def write_chains(self) -> None:
        """Blocks of nodes that are interchangeable hold ever less."""
        for keys in self.view.host_class.chains:
            for first, second in pairwise(keys):
                self.writer.row(Sum().add(self.y, (first - second)[self.view.placements]), 0, None)

    def write_limits(self, budget: MoveBudget, arriving: IntArray) -> None:
        """Limits on the VMs that leave the host, and on those that come to it.

        `arriving` (F,) are VMs that are nowhere yet: they are no migrants, and which of a flavor's VMs are new one host
        alone cannot tell, so that such flavors do not count here.
        """
        view = self.view
        if budget.host_out is not None and view.present.any():
            self.writer.row(self.left(), None, budget.host_out)
        if budget.host_in is not None:
            migrants = Sum()
            for flavor in np.unique(view.flavor[~view.phantom]).tolist():
                if not arriving[flavor]:
                    migrants.plus(self.writer.positive_part(self.more(flavor)))
            self.writer.row(migrants, None, budget.host_in)

    def write_alone(self, budget: MoveBudget, arriving: IntArray, *, chains: bool = True) -> None:
        """Write all that holds for the host whatever the others do; see `write_limits`."""
        self.write_capacity()
        self.write_permissions()
        if chains:
            self.write_chains()
        self.write_limits(budget, arriving)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def amount(self, flavor: int) -> Sum:
        """Return the VMs of a flavor on the host."""
        return Sum().add(self.y[self.view.flavor == flavor], 1)

    def more(self, flavor: int) -> Sum:
        """Return how many more VMs of a flavor the host holds than now."""
        total = self.amount(flavor)
        total.constant -= int(self.view.present[flavor])
        return total

    def left(self) -> Sum:
        """Return the VMs present that leave the host."""
        if self._left is None:
            self._left = Sum()
            for flavor in np.flatnonzero(self.view.present).tolist():
                gone = Sum(constant=int(self.view.present[flavor])).plus(self.amount(flavor), -1)
                self._left.plus(self.writer.positive_part(gone))
        return self._left

    def moved(self) -> Sum:
        """Return the VMs present that leave the host or change node on it."""
        if self._moved is None:
            self._moved = Sum()
            for flavor in np.flatnonzero(self.view.present).tolist():
                self._moved.constant += int(self.view.present[flavor])
                self._moved.plus(self._kept(flavor), -1)
        return self._moved

    def _kept(self, flavor: int) -> Sum:
        """Return the VMs of a flavor that stay where they are."""
        view, writer = self.view, self.writer
        kept = Sum()
        places = (view.content > 0) & (view.flavor == flavor) & (view.unsettled[flavor] < view.present[flavor])
        for place in np.flatnonzero(places).tolist():
            if view.upper[place] <= view.content[place]:
                kept.add(self.y[place], 1)
                continue
            stays = writer.derive(Sum().add(self.y[place], 1), 0, int(view.content[place]))
            writer.row(Sum().add(self.y[place], 1).add(stays, -1), 0, None)
            kept.add(stays, 1)
        if view.unsettled[flavor]:
            rest = self.amount(flavor).plus(kept, -1)
            settled = writer.derive(rest, 0, int(view.unsettled[flavor]))
            writer.row(Sum().plus(rest).add(settled, -1), 0, None)
            kept.add(settled, 1)
        return kept

    def objective(self, objective: Objective) -> Sum:
        """Return what the host adds to an objective, VMs left out and rules over several hosts excepted."""
        total = Sum()
        for term in objective.terms:
            share = _SHARES.get(type(term))
            if share is not None:
                total.plus(share(self, term))
        return total

    def _placement_costs(self, term: PlacementCosts) -> Sum:
        cost = self.view.shape.cost.get(term.key)
        return Sum() if cost is None else Sum().add(self.y, cost[self.view.placements])

    def _stay_penalties(self, term: StayPenalties) -> Sum:
        view = self.view
        return Sum().add(self.y, np.where(view.phantom, 0, view.host_class.stay_penalty[view.flavor]))

    def _shortages(self, term: Shortages) -> Sum:
        view, real = self.view, ~self.view.phantom
        return shortage_of(self.writer, view.shape, view.host_class, view.placements[real], self.y[real], term.part)

    def _host_costs(self, term: HostCosts) -> Sum:
        cost = self.view.host_class.cost
        return Sum().plus(self._used(), cost) if cost else Sum()

    def _changes(self, term: Changes) -> Sum:
        total = Sum()
        if term.migrations:
            total.plus(self.left(), term.migrations)
        if term.moves:
            total.plus(self.moved(), term.moves)
        return total

    def _hinges(self, term: Hinges) -> Sum:
        """Return the convex costs of rows' loads."""
        view = self.view
        total = Sum()
        for hinge in view.shape.hinges:
            if hinge.goal == term.goal:
                load = np.where(view.phantom, 0, view.use[:, hinge.row]) * hinge.scale
                start = hinge.scale * int(view.host_class.fixed[hinge.row]) - hinge.offset
                total.plus(self.writer.positive_part(Sum(constant=start).add(self.y, load)), hinge.slope)
        return total

    def _used(self) -> Sum:
        """Whether the host holds any VM: linked by every row that can fill, and by the placements that take no row."""
        view, y = self.view, self.y
        real = ~view.phantom
        if not real.any():
            return Sum()
        used = self.writer.derive(Sum().add(y[real], 1), 0, 1)
        linked = np.zeros(len(y), dtype=np.bool_)
        for row, room in enumerate(view.host_class.capacity.tolist()):
            taking = real & (view.use[:, row] > 0)
            most = int((view.use[:, row] * view.upper)[taking].sum())
            if taking.any():
                self.writer.row(Sum().add(used, min(room, most)).add(y[taking], -view.use[taking, row]), 0, None)
                linked |= taking
        for place in np.flatnonzero(real & ~linked).tolist():
            self.writer.row(Sum().add(used, int(view.upper[place])).add(y[place], -1), 0, None)
        return Sum().add(used, 1)

    # -- patterns ------------------------------------------------------------------------------------------------------

    def hint(self, pattern: tuple[tuple[int, int], ...], solution: IntArray) -> None:
        """Write a pattern's values into a solution; what is not of the view's placements is left out."""
        position = {int(placement): number for number, placement in enumerate(self.view.placements)}
        for placement, count in pattern:
            if placement in position:
                solution[self.y[position[placement]]] = count

    def pattern(self, values: IntArray) -> tuple[tuple[int, int], ...]:
        """Return the (placement, VMs) pairs of a solution."""
        counts = values[self.y]
        return tuple((int(self.view.placements[n]), int(counts[n])) for n in np.nonzero(counts)[0])


_SHARES: dict[type[Term], Callable[..., Sum]] = {
    PlacementCosts: HostBlock._placement_costs,
    Hinges: HostBlock._hinges,
    Shortages: HostBlock._shortages,
    HostCosts: HostBlock._host_costs,
    StayPenalties: HostBlock._stay_penalties,
    Changes: HostBlock._changes,
}
"""What a host adds to each term that one host decides."""
HOST_TERMS = frozenset(_SHARES)
