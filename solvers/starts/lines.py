"""Many answers side by side, one a line: room, VMs and values of all as arrays, so that all take a step at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.improve.fleet import Fleet
from solvers.problem import IntArray


@dataclass(slots=True, kw_only=True)
class Lines:
    """C answers that all began with what a fleet holds. Rows and objectives come first in arrays: that is quickest.

    Attributes
    ----------
    use : (K, P) what placements take. `room` : (K, C, H) units left, 0 where there are fewer. `base` : (K, H) load =
    base - room.
    vms : (C, H) VMs of a host. `value` : (O, C) of all objectives, but for moves.
    costs : objectives in which a place may cost anything.
    steps : (lines, hosts, placements) of the VMs that were put somewhere, a step each.
    """

    fleet: Fleet
    use: IntArray
    place_cost: IntArray
    costs: tuple[int, ...]
    room: IntArray
    base: IntArray
    vms: IntArray
    value: IntArray
    steps: list[tuple[IntArray, IntArray, IntArray]] = field(default_factory=list)

    @classmethod
    def of(cls, fleet: Fleet, count: int) -> Lines:
        """Return so many answers like the fleet."""
        room = np.maximum(fleet.room, 0)
        tables = fleet.tables
        convex = {table.objective for table in tables.convex}
        return cls(
            fleet=fleet,
            use=np.ascontiguousarray(tables.use.T),
            place_cost=np.ascontiguousarray(tables.cost.T),
            costs=tuple(
                o
                for o, one in enumerate(tables.problem.objectives)
                if one.host_cost or one.stay_penalty or o in convex or tables.cost[:, o].any()
            ),
            room=np.repeat(room.T[:, None], count, axis=1),
            base=np.ascontiguousarray((fleet.base - fleet.room + room).T),
            vms=np.repeat(fleet.vms[None], count, axis=0),
            value=np.repeat(fleet.values[:, None], count, axis=1),
        )

    def cost(self, lines: IntArray, hosts: IntArray, places: IntArray) -> IntArray:
        """Return what one VM more costs at places of hosts (...): (n, ...) for the n objectives in `costs`, moves and
        what leaving it out costs apart.
        """
        tables = self.fleet.tables
        out = self.place_cost[list(self.costs)][:, places]
        for n, o in enumerate(self.costs):
            objective = tables.problem.objectives[o]
            if objective.host_cost:
                out[n] += np.where(self.vms[lines, hosts] == 0, tables.opening[hosts], 0)
            if objective.stay_penalty and tables.penalty is not None:
                out[n] += tables.penalty[tables.host_class[hosts], tables.flavor[places]]
        for table in tables.convex:
            load = (self.base[:, hosts] - self.room[:, lines, hosts]).reshape(len(self.base), -1)
            more = load + self.use[:, places].reshape(load.shape)
            changed = table.cost(hosts.ravel(), more.T) - table.cost(hosts.ravel(), load.T)
            out[self.costs.index(table.objective)] += changed.reshape(hosts.shape)
        return out

    def put(self, lines: IntArray, hosts: IntArray, places: IntArray) -> None:
        """Put a VM that waits on a host of each of some lines (no line twice)."""
        tables = self.fleet.tables
        # What waits is counted as left out until it has a place.
        self.value[:, lines] -= tables.unplaced[tables.flavor[places]].T
        if self.costs:
            self.value[np.array(self.costs)[:, None], lines] += self.cost(lines, hosts, places)
        self.room[:, lines, hosts] -= self.use[:, places]
        self.vms[lines, hosts] += 1
        self.steps.append((lines, hosts, places))

    def replay(self, line: int) -> None:
        """Do to the fleet what a line came to."""
        tables = self.fleet.tables
        for lines, hosts, places in self.steps:
            at = int(np.searchsorted(lines, line))
            if at < len(lines) and lines[at] == line:
                self.fleet.take_in(int(tables.flavor[places[at]]))
                self.fleet.add(int(hosts[at]), int(places[at]))


def least(mask: NDArray[np.bool_], columns: IntArray) -> NDArray[np.bool_]:
    """Return (C, M): of each line's entries in the mask those that are least by columns (n, C, M) in their order."""
    for column in columns:
        own = np.where(mask, column, np.iinfo(np.int64).max)
        mask = mask & (own == own.min(axis=1, keepdims=True))
    return mask
