"""What of a problem never changes while an answer is improved: every host a line, every placement of all shapes a row.

Shapes of fewer rows are filled up with rows that nothing takes, so that all hosts are priced at once whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.problem import BoolArray, IntArray, Problem

Floats = NDArray[np.float64]

MOST_CELLS = 40_000_000
"""Above so many numbers in a table (placements x rows, classes x flavors) an answer is not improved: memory."""
CACHED = 4_000_000
"""Places of flavors that are kept rather than listed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HingeTable:
    """The hinges of one objective, a line a shape: (S, N) row, offset, slope and scale; slope 0 fills up.

    `shape` : (H,) the shape of each host.
    """

    objective: int
    shape: IntArray
    row: IntArray
    offset: IntArray
    slope: IntArray
    scale: IntArray

    def cost(self, hosts: IntArray, load: IntArray) -> IntArray:
        """Return (M,): what hosts (M,) cost with loads (M, K), immovable VMs included."""
        shape = self.shape[hosts]
        at = np.take_along_axis(load, self.row[shape], axis=1)
        over = np.maximum(0, self.scale[shape] * at - self.offset[shape])
        total: IntArray = (self.slope[shape] * over).sum(axis=1)
        return total

    def most(self, shape: IntArray, use: IntArray) -> int:
        """Return the most that one of some uses (M, K), each on a shape (M,), may change a cost by."""
        own = np.take_along_axis(use, self.row[shape], axis=1)
        return int((self.slope[shape] * self.scale[shape] * own).sum(axis=1).max(initial=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortageTable:
    """What has no place on hosts that hold more than they have room for, in one objective.

    `values` : shape -> shortages, each (families, K) values of a unit over the room. `ceiling` : (H, K) the load up to
    which nothing is over. `counted` : (H,) hosts where it counts.
    """

    objective: int
    shape: IntArray
    values: dict[int, tuple[IntArray, ...]]
    ceiling: IntArray
    counted: BoolArray

    def cost(self, hosts: IntArray, load: IntArray) -> IntArray:
        """Return (M,): what hosts (M,) cost with loads (M, K), immovable VMs included."""
        out = np.zeros(len(hosts), dtype=np.int64)
        for n in np.flatnonzero(self.counted[hosts]).tolist():
            over = np.maximum(0, load[n] - self.ceiling[hosts[n]])
            out[n] = sum(int((families @ over).max()) for families in self.values.get(int(self.shape[hosts[n]]), ()))
        return out

    def most(self, shape: IntArray, use: IntArray) -> int:
        """Return the most that one of some uses (M, K), each on a shape (M,), may change a cost by."""
        known = ((use[shape == one], own) for one, own in self.values.items())
        return max((sum(int((each @ some.T).max(initial=0)) for each in own) for some, own in known), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Arrays over placements of all shapes (P), hosts (H), flavors (F), objectives (O) and rows (K, the most of a
    shape).

    Attributes
    ----------
    first : (S + 1,) number of each shape's first placement. `local` : (P,) position among those of flavor and shape.
    host_class, shape : (H,). `capacity` : (H, K) what there really is. `opening` : (H,) cost of a host in use.
    least : (F, O) the least that a VM of a flavor costs anywhere. `unplaced` : (F, O) what one left out costs.
    allowed, penalty : (classes, F), None where all may be anywhere, where nothing is a penalty.
    limited : (classes,) whether some places hold only so many VMs (`HostClass.at_most`).
    """

    problem: Problem
    first: IntArray
    use: IntArray
    cost: IntArray
    flavor: IntArray
    stay_only: BoolArray
    local: IntArray
    host_class: IntArray
    shape: IntArray
    capacity: IntArray
    opening: IntArray
    least: IntArray
    unplaced: IntArray
    convex: tuple[HingeTable | ShortageTable, ...]
    allowed: BoolArray | None
    penalty: IntArray | None
    limited: BoolArray
    by_flavor: IntArray
    flavor_ptr: IntArray
    shape_of: IntArray
    hosts_of: tuple[IntArray, ...]
    scale: Floats
    _places: dict[int, tuple[IntArray, IntArray]] = field(default_factory=dict)
    _kept: list[int] = field(default_factory=lambda: [0])

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return len(self.host_class)

    def placements_of(self, flavor: int) -> IntArray:
        """Return the placements of a flavor in all shapes, in order."""
        return self.by_flavor[self.flavor_ptr[flavor] : self.flavor_ptr[flavor + 1]]

    def places(self, flavor: int) -> tuple[IntArray, IntArray]:
        """Return (M,) hosts and (M,) placements: everywhere a VM of a flavor might be, whether there is room or not."""
        found = self._places.get(flavor)
        if found is not None:
            return found
        own = self.placements_of(flavor)
        own = own[~self.stay_only[own]]
        hosts, places = [], []
        for shape in np.unique(self.shape_of[own]).tolist():
            here = own[self.shape_of[own] == shape]
            there = self.hosts_of[shape]
            if self.allowed is not None:
                there = there[self.allowed[self.host_class[there], flavor]]
            hosts.append(np.repeat(there, len(here)))
            places.append(np.tile(here, len(there)))
        none = np.zeros(0, dtype=np.int64)
        found = (np.concatenate([none, *hosts]), np.concatenate([none, *places]))
        if self._kept[0] > CACHED:
            self._places.clear()
            self._kept[0] = 0
        self._kept[0] += len(found[0])
        self._places[flavor] = found
        return found


def tables_of(problem: Problem) -> Tables | None:
    """Return the tables of a problem; None where they would be too large."""
    flavors, objectives = len(problem.flavors), problem.objectives
    rows = max((len(shape.row_names) for shape in problem.shapes), default=0)
    total = sum(shape.placements for shape in problem.shapes)
    if max(total * rows, len(problem.classes) * flavors, total * len(objectives)) > MOST_CELLS:
        return None
    first = np.cumsum([0, *(shape.placements for shape in problem.shapes)], dtype=np.int64)
    use = np.zeros((total, rows), dtype=np.int64)
    cost = np.zeros((total, len(objectives)), dtype=np.int64)
    for number, shape in enumerate(problem.shapes):
        part = slice(int(first[number]), int(first[number + 1]))
        use[part, : len(shape.row_names)] = shape.use
        for o, objective in enumerate(objectives):
            if objective.cost is not None and objective.cost in shape.cost:
                cost[part, o] = shape.cost[objective.cost]
    none = np.zeros(0, dtype=np.int64)
    flavor = np.concatenate([none, *(shape.flavor for shape in problem.shapes)])
    stay_only = np.concatenate([none, *(shape.stay_only for shape in problem.shapes)]).astype(np.bool_)
    shape_of = np.repeat(np.arange(len(problem.shapes)), np.diff(first))
    by_flavor = np.lexsort((np.arange(total), shape_of, flavor))
    flavor_ptr = np.searchsorted(flavor[by_flavor], np.arange(flavors + 1))
    counts = [cls.count for cls in problem.classes]
    host_class = np.repeat(np.arange(len(counts)), counts)
    shape_of_host = np.array([cls.shape for cls in problem.classes], dtype=np.int64)[host_class]
    capacity = np.zeros((len(problem.classes), rows), dtype=np.int64)
    for number, cls in enumerate(problem.classes):
        # On a row that is over its room nothing fits, whatever may stay there.
        capacity[number, : len(cls.capacity)] = cls.capacity if cls.room is None else cls.room
    capacity = capacity[host_class]
    least = np.zeros((flavors, len(objectives)), dtype=np.int64)
    many = np.diff(flavor_ptr) > 0
    if many.any():
        least[many] = np.minimum.reduceat(cost[by_flavor], flavor_ptr[:-1][many])
    unplaced = np.zeros((flavors, len(objectives)), dtype=np.int64)
    for o, objective in enumerate(objectives):
        if objective.unplaced is not None:
            unplaced[:, o] = objective.unplaced
    allowed = np.array([cls.allowed for cls in problem.classes], dtype=np.bool_)
    penalty = None
    if any(cls.stay_penalty.any() for cls in problem.classes):
        penalty = np.array([cls.stay_penalty for cls in problem.classes], dtype=np.int64)
    return Tables(
        problem=problem,
        first=first,
        use=use,
        cost=cost,
        flavor=flavor,
        stay_only=stay_only,
        local=_positions(flavor, shape_of, by_flavor),
        host_class=host_class,
        shape=shape_of_host,
        capacity=capacity,
        opening=np.array([cls.cost for cls in problem.classes], dtype=np.int64)[host_class],
        least=least,
        unplaced=unplaced,
        convex=(*_hinges(problem, shape_of_host), *_shortages(problem, shape_of_host, host_class, capacity)),
        allowed=None if allowed.all() else allowed,
        penalty=penalty,
        limited=np.array([bool(cls.at_most) for cls in problem.classes], dtype=np.bool_),
        by_flavor=by_flavor,
        flavor_ptr=flavor_ptr,
        shape_of=shape_of,
        hosts_of=tuple(np.flatnonzero(shape_of_host == number) for number in range(len(problem.shapes))),
        scale=1.0 / np.maximum(1, capacity),
    )


def _positions(flavor: IntArray, shape: IntArray, order: IntArray) -> IntArray:
    """Return (P,): the position of each placement among those of its flavor in its shape."""
    out = np.zeros(len(flavor), dtype=np.int64)
    if len(order):
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = (np.diff(flavor[order]) != 0) | (np.diff(shape[order]) != 0)
        starts = np.flatnonzero(new)
        out[order] = np.arange(len(order)) - starts[np.cumsum(new) - 1]
    return out


def _hinges(problem: Problem, shape_of_host: IntArray) -> Iterator[HingeTable]:
    for o, objective in enumerate(problem.objectives):
        if objective.hinge is None:
            continue
        own = [[h for h in shape.hinges if h.goal == objective.hinge] for shape in problem.shapes]
        most = max((len(found) for found in own), default=0)
        if not most:
            continue
        table = np.zeros((4, len(own), most), dtype=np.int64)
        for number, found in enumerate(own):
            for n, hinge in enumerate(found):
                table[:, number, n] = hinge.row, hinge.offset, hinge.slope, hinge.scale
        yield HingeTable(
            objective=o, shape=shape_of_host, row=table[0], offset=table[1], slope=table[2], scale=table[3]
        )


def _shortages(
    problem: Problem, shape_of_host: IntArray, host_class: IntArray, capacity: IntArray
) -> Iterator[ShortageTable]:
    rows = capacity.shape[1]
    counted = np.array([cls.room is not None for cls in problem.classes], dtype=np.bool_)[host_class]
    ceiling = np.zeros((len(problem.classes), rows), dtype=np.int64)
    for number, cls in enumerate(problem.classes):
        ceiling[number, : len(cls.fixed)] = cls.fixed + cls.ceiling
    for o, objective in enumerate(problem.objectives):
        if objective.shortage is None or not counted.any():
            continue
        values: dict[int, tuple[IntArray, ...]] = {}
        for number, shape in enumerate(problem.shapes):
            own = []
            for shortage in shape.shortages:
                if shortage.part == objective.shortage and shortage.apart:
                    families = np.zeros((len(shortage.apart), rows), dtype=np.int64)
                    for n, family in enumerate(shortage.apart):
                        for row, each in family:
                            families[n, row] += each
                    own.append(families)
            values[number] = tuple(own)
        yield ShortageTable(
            objective=o, shape=shape_of_host, values=values, ceiling=ceiling[host_class], counted=counted
        )
