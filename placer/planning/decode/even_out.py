"""VMs that are bound anew are evened out over the nodes of their host, while every goal keeps its value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placer.planning.compile.compile import Compiled
from placer.planning.compile.placements import Placement
from placer.planning.decode.names import Assignment, HostAssignment
from placer.planning.decode.same_cost import SameCost, with_choice

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

    def is_bound(entry: HostAssignment, placement: int, _: int) -> bool:
        binds = groups[int(compiled.problem.shapes[entry.shape].flavor[placement])].binds
        return bool(binds) and isinstance(compiled.placements[entry.shape][placement], Placement)

    for places, bound in with_choice(compiled, assignment, is_bound):
        _Host(places, bound).even_out()


@dataclass(slots=True)
class _Host:
    """One host with the numbers of its VMs that are bound anew."""

    places: SameCost
    bound: list[int]

    def even_out(self) -> None:
        """Change one VM's node after the other, as long as the nodes' load gets more even."""
        load, vms = self._load(), self.places.entry.vms
        for _ in range(MOST_ROUNDS):
            found = min(
                (
                    (
                        self._unevenness(load + self._weights(other) - self._weights(vms[number][0])),
                        number,
                        other,
                    )
                    for number in self.bound
                    for other in self.places.alternatives(vms[number][0])
                ),
                default=None,
            )
            if found is None or found[0] >= self._unevenness(load) - 1e-9:
                return
            _, number, other = found
            load = load + self._weights(other) - self._weights(vms[number][0])
            self.places.change(number, other)

    def _weights(self, placement: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return what a VM so placed takes of each node, for each usable CPU."""
        compiled, entry, shape = self.places.compiled, self.places.entry, self.places.shape
        out = np.zeros(shape.nodes)
        place = compiled.placements[entry.shape][placement]
        if isinstance(place, Placement):
            needs = compiled.flavors.groups[int(shape.flavor[placement])].needs
            for part, node in zip(needs.options[place.option], place.cpu_nodes, strict=True):
                out[node] += part.vcpus / max(1, compiled.capacities[entry.host].nodes[node].usable_cpus)
        return out

    def _load(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        total = np.zeros(self.places.shape.nodes)
        for placement, _ in self.places.entry.vms:
            total += self._weights(placement)
        return total

    @staticmethod
    def _unevenness(load: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return float((load**2).sum())
