"""VMs that are bound anew are evened out over the nodes of their host, while every goal keeps its value."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from placer.planning.compile.compile import Compiled
from placer.planning.compile.placements import Placement
from placer.planning.decode.names import Assignment, HostAssignment
from solvers.problem import HostClass, IntArray, Shape

MOST_ROUNDS = 1_000
"""Changes of one host at most."""


def even_out(compiled: Compiled, assignment: Assignment) -> None:
    """Give VMs that float now and are bound another node of their host where the CPUs are less taken.

    The engines take whatever is best in the goals: of two VMs that float, both may go to one node though the other is
    free. What a placement costs in any goal, and what rules over nodes allow, stays as it is.
    """
    groups = compiled.flavors.groups
    if not any(group.binds for group in groups):
        return
    class_of = {host: number for number, one in enumerate(compiled.problem.classes) for host in one.members}
    tied = {flavor for rule in compiled.problem.rules if rule.scope == "node" for flavor in rule.members}
    for entry in assignment.hosts:
        host_class = compiled.problem.classes[class_of[entry.host]]
        shape = compiled.problem.shapes[entry.shape]
        bound = [
            number
            for number, (placement, _) in enumerate(entry.vms)
            if groups[flavor := int(shape.flavor[placement])].binds
            and flavor not in tied
            and isinstance(compiled.placements[entry.shape][placement], Placement)
        ]
        if bound and host_class.room is None:
            _Host(compiled, entry, host_class, shape, bound).even_out()
            entry.vms.sort()


@dataclass(slots=True)
class _Host:
    """One host: what it holds, and what each node's CPUs carry for each usable one."""

    compiled: Compiled
    entry: HostAssignment
    host_class: HostClass
    shape: Shape
    bound: list[int]
    used: IntArray = field(init=False)
    hinged: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Count what is taken."""
        taken = np.array([placement for placement, _ in self.entry.vms], dtype=np.int64)
        self.used = self.shape.use[taken].sum(axis=0)
        self.hinged = [hinge.row for hinge in self.shape.hinges]

    def even_out(self) -> None:
        """Change one VM's node after the other, as long as the nodes' load gets more even."""
        load = self._load()
        for _ in range(MOST_ROUNDS):
            found = min(
                (
                    (
                        self._unevenness(load + self._weights(other) - self._weights(self.entry.vms[number][0])),
                        number,
                        other,
                    )
                    for number in self.bound
                    for other in self._alternatives(self.entry.vms[number][0])
                ),
                default=None,
            )
            if found is None or found[0] >= self._unevenness(load) - 1e-9:
                return
            _, number, other = found
            placement, vm = self.entry.vms[number]
            load = load + self._weights(other) - self._weights(placement)
            self.used = self.used + self.shape.use[other] - self.shape.use[placement]
            self.entry.vms[number] = (other, vm)

    def _alternatives(self, placement: int) -> list[int]:
        """Return the placements of the same flavor that cost the same in every goal and for which there is room."""
        shape = self.shape
        same = np.flatnonzero((shape.flavor == shape.flavor[placement]) & ~shape.stay_only)
        after = self.used + shape.use[same] - shape.use[placement]
        fits = (after <= self.host_class.capacity).all(axis=1)
        fits &= (shape.use[same][:, self.hinged] == shape.use[placement][self.hinged]).all(axis=1)
        for cost in shape.cost.values():
            fits &= cost[same] == cost[placement]
        return [one for one in same[fits].tolist() if one != placement]

    def _weights(self, placement: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return what a VM so placed takes of each node, for each usable CPU."""
        out = np.zeros(self.shape.nodes)
        place = self.compiled.placements[self.entry.shape][placement]
        if isinstance(place, Placement):
            needs = self.compiled.flavors.groups[int(self.shape.flavor[placement])].needs
            for part, node in zip(needs.options[place.option], place.cpu_nodes, strict=True):
                out[node] += part.vcpus / max(1, self.compiled.capacities[self.entry.host].nodes[node].usable_cpus)
        return out

    def _load(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        total = np.zeros(self.shape.nodes)
        for placement, _ in self.entry.vms:
            total += self._weights(placement)
        return total

    @staticmethod
    def _unevenness(load: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return float((load**2).sum())
