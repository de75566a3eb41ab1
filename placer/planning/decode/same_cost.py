"""Other places on a host that cost a VM the same in every goal: what decoding may choose among by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from placer.planning.compile.compile import Compiled
from placer.planning.decode.names import Assignment, HostAssignment
from solvers.problem import HostClass, IntArray, Shape


@dataclass(slots=True)
class SameCost:
    """One host, what it holds, and what that takes of its rows; `entry.vms` is changed."""

    compiled: Compiled
    entry: HostAssignment
    host_class: HostClass
    shape: Shape
    _used: IntArray = field(init=False)
    _hinged: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Count what is taken."""
        taken = np.array([placement for placement, _ in self.entry.vms], dtype=np.int64)
        self._used = self.shape.use[taken].sum(axis=0)
        self._hinged = [hinge.row for hinge in self.shape.hinges]

    def alternatives(self, placement: int) -> list[int]:
        """Return the placements of the same flavor that cost the same in every goal and for which there is room."""
        shape = self.shape
        same = np.flatnonzero((shape.flavor == shape.flavor[placement]) & ~shape.stay_only)
        after = self._used + shape.use[same] - shape.use[placement]
        fits = (after <= self.host_class.capacity).all(axis=1)
        fits &= (shape.use[same][:, self._hinged] == shape.use[placement][self._hinged]).all(axis=1)
        for cost in shape.cost.values():
            fits &= cost[same] == cost[placement]
        return [one for one in same[fits].tolist() if one != placement]

    def change(self, number: int, other: int) -> None:
        """Give the VM of an entry another place."""
        placement, vm = self.entry.vms[number]
        self._used = self._used + self.shape.use[other] - self.shape.use[placement]
        self.entry.vms[number] = (other, vm)


def with_choice(
    compiled: Compiled, assignment: Assignment, wanted: Callable[[HostAssignment, int, int], bool]
) -> Iterator[tuple[SameCost, list[int]]]:
    """Yield hosts with the numbers of those of their VMs for which another place is `wanted` (entry, placement, VM).

    Hosts that are over and VMs whose rules count nodes are left out. The VMs of a host are ordered again after it.
    """
    problem = compiled.problem
    class_of = {host: number for number, one in enumerate(problem.classes) for host in one.members}
    tied = {flavor for rule in problem.rules if rule.scope == "node" for flavor in rule.members}
    for entry in assignment.hosts:
        host_class, shape = problem.classes[class_of[entry.host]], problem.shapes[entry.shape]
        if host_class.room is not None:
            continue
        numbers = [
            number
            for number, (placement, vm) in enumerate(entry.vms)
            if int(shape.flavor[placement]) not in tied and wanted(entry, placement, vm)
        ]
        if numbers:
            yield SameCost(compiled, entry, host_class, shape), numbers
            entry.vms.sort()
