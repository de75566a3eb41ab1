"""Which domains have room for all members of a rule that must be in one, by what hosts have and VMs take at least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.problem import BoolArray, IntArray, Problem


@dataclass(slots=True)
class Room:
    """What the hosts of each class have and what the VMs of each flavor take at least there, rows of a name added up.

    `has` : (classes, N) units a host of each name. `order` : a shape each, its placements by flavor. `total` : a shape
    each, (P, N) units that its placements take, in that order.
    """

    problem: Problem
    demand: IntArray
    has: IntArray = field(init=False)
    flavor: list[IntArray] = field(init=False)
    total: list[IntArray] = field(init=False)

    def __post_init__(self) -> None:
        """Add up rows of a name, a shape and a class at a time."""
        problem = self.problem
        names = sorted({name for shape in problem.shapes for _, name in shape.row_names})
        number = {name: n for n, name in enumerate(names)}
        columns = [np.array([number[name] for _, name in one.row_names], dtype=np.int64) for one in problem.shapes]
        self.has = np.zeros((len(problem.classes), len(names)), dtype=np.int64)
        for one, host_class in enumerate(problem.classes):
            np.add.at(self.has[one], columns[host_class.shape], host_class.capacity)
        self.flavor, self.total = [], []
        for shape, column in zip(problem.shapes, columns, strict=True):
            order = np.argsort(shape.flavor, kind="stable")
            total = np.zeros((shape.placements, len(names)), dtype=np.int64)
            for row, name in enumerate(column.tolist()):
                total[:, name] += shape.use[order, row]
            self.flavor.append(shape.flavor[order])
            self.total.append(total)

    def lacking(self, members: Sequence[int], places: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
        """Return the domains, in order, whose classes may not hold all VMs of the members: one of them fits less often
        than it is there, or all take more of the rows of a name than there is.
        """
        if not members or not places:
            return ()
        flavors = np.array(members, dtype=np.int64)
        where = [one for _, classes in sorted(places.items()) for one in classes]
        begin = np.cumsum([0, *(len(classes) for _, classes in sorted(places.items()))])[:-1]
        hosts = [self.problem.classes[one] for one in where]
        least = {shape: self._least(shape, members) for shape in {host.shape for host in hosts}}
        takes = np.stack([least[host.shape][0] for host in hosts])
        may = np.stack([(host.allowed[flavors] | (not host.is_empty)) & least[host.shape][1] for host in hosts])
        count = np.array([host.count for host in hosts], dtype=np.int64)
        demand = self.demand[flavors]
        fit = np.where(takes > 0, self.has[where][:, None] // np.maximum(takes, 1), demand[None, :, None])
        each = np.maximum(fit.min(axis=2, initial=int(demand.max())), 0)
        able = np.add.reduceat(np.where(may, each * count[:, None], 0), begin, axis=0)
        most = np.iinfo(np.int64).max
        fewest = np.minimum.reduceat(np.where(may[:, :, None], takes, most), begin, axis=0)
        need = (np.where(fewest == most, 0, fewest) * demand[None, :, None]).sum(axis=1)
        room = np.add.reduceat(self.has[where] * count[:, None], begin, axis=0)
        lacks = (able < demand).any(axis=1) | (need > room).any(axis=1)
        return tuple(domain for domain, lack in zip(sorted(places), lacks.tolist(), strict=True) if lack)

    def _least(self, shape: int, members: Sequence[int]) -> tuple[IntArray, BoolArray]:
        """Return (members, N) units that a VM takes at least, of each name by itself, and (members,) whether it has any
        placement.
        """
        flavor, total = self.flavor[shape], self.total[shape]
        out = np.zeros((len(members), total.shape[1]), dtype=np.int64)
        begin, end = np.searchsorted(flavor, members), np.searchsorted(flavor, members, side="right")
        for n, (first, last) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
            if last > first:
                out[n] = total[first:last].min(axis=0)
        return out, end > begin
