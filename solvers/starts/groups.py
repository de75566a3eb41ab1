"""Groups of hosts that are alike: what they hold, and what is left of their rows, one line of a matrix each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.problem import HostClass, IntArray, Problem, Shape
from solvers.result import HostPattern


@dataclass(slots=True)
class Groups:
    """All groups of one shape.

    Attributes
    ----------
    room : (groups, K) units left of each row. `capacity` : (groups, K) what they had, at least 1, to scale by.
    host_class, count : (groups,) the class and how many hosts.
    held, phantoms : placement -> VMs on each host of a group. `limited` : group -> placement -> the most VMs there.
    """

    shape: Shape
    room: IntArray
    capacity: IntArray
    host_class: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    held: list[dict[int, int]] = field(default_factory=list)
    phantoms: list[dict[int, int]] = field(default_factory=list)
    limited: dict[int, Mapping[int, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, shape: Shape) -> Groups:
        """Return no groups."""
        rows = len(shape.row_names)
        return cls(shape=shape, room=np.zeros((8, rows), dtype=np.int64), capacity=np.ones((8, rows), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.count)

    def add(self, number: int, host_class: HostClass, count: int, held: dict[int, int]) -> int:
        """Add a group of hosts that hold this much; room may be below 0. Return its index."""
        at = self._new_line()
        self.capacity[at] = np.maximum(1, host_class.capacity)
        # Nobody comes to a row that is over.
        self.room[at] = host_class.capacity if host_class.room is None else host_class.room
        for placement, many in held.items():
            self.room[at] -= many * self.shape.use[placement]
        self.host_class.append(number)
        self.count.append(count)
        self.held.append(held)
        self.phantoms.append({})
        if host_class.at_most:
            self.limited[at] = host_class.at_most
        return at

    def _new_line(self) -> int:
        if len(self) == len(self.room):
            self.room = np.concatenate([self.room, np.zeros_like(self.room)])
            self.capacity = np.concatenate([self.capacity, np.ones_like(self.capacity)])
        return len(self)

    def split(self, group: int, count: int) -> int:
        """Make `count` hosts of a group a group of their own and return it."""
        if count == self.count[group]:
            return group
        at = self._new_line()
        self.room[at], self.capacity[at] = self.room[group], self.capacity[group]
        self.count[group] -= count
        self.host_class.append(self.host_class[group])
        self.count.append(count)
        self.held.append(dict(self.held[group]))
        self.phantoms.append(dict(self.phantoms[group]))
        if group in self.limited:
            self.limited[at] = self.limited[group]
        return at

    def put(self, group: int, placement: int, many: int, *, phantom: bool = False) -> None:
        """Put `many` VMs on each host of a group (or take them away, where negative)."""
        target = (self.phantoms if phantom else self.held)[group]
        target[placement] = target.get(placement, 0) + many
        if not target[placement]:
            del target[placement]
        self.room[group] -= many * self.shape.use[placement]

    def fit(self, group: int, placement: int) -> int:
        """Return how many VMs so placed still fit on each host of a group."""
        use = self.shape.use[placement]
        rows = use > 0
        fit = int((self.room[group][rows] // use[rows]).min()) if rows.any() else 1 << 40
        return min(fit, self._most(group, placement))

    def _most(self, group: int, placement: int) -> int:
        """Return how many more VMs may be so placed on each host of a group, whatever room there is."""
        most = self.limited.get(group, {}).get(placement)
        return 1 << 40 if most is None else max(0, most - self.held[group].get(placement, 0))

    def fits(self, placements: IntArray, rows: IntArray) -> IntArray:
        """Return (groups, placements) how many fit, of placements that take of `rows` (placements, as many each)."""
        room = self.room[: len(self)]
        fit: IntArray = np.full((len(self), len(placements)), 1 << 40, dtype=np.int64)
        if rows.shape[1]:
            fit = (room[:, rows] // self.shape.use[placements[:, None], rows]).min(axis=2)
        for group, most in self.limited.items():
            for at in np.flatnonzero(np.isin(placements, list(most))).tolist():
                fit[group, at] = min(int(fit[group, at]), self._most(group, int(placements[at])))
        return fit

    def of_flavor(self, group: int, flavors: Sequence[int]) -> int:
        """Return how many VMs of some flavors each host of a group holds."""
        flavor = self.shape.flavor
        return sum(many for placement, many in self.held[group].items() if int(flavor[placement]) in flavors)

    def patterns(self) -> Iterator[HostPattern]:
        """Yield what the groups hold, alike ones together."""
        alike: dict[tuple[object, ...], int] = {}
        for group in range(len(self)):
            key = (
                self.host_class[group],
                tuple(sorted(self.held[group].items())),
                tuple(sorted(self.phantoms[group].items())),
            )
            alike[key] = alike.get(key, 0) + self.count[group]
        for (number, held, phantoms), count in alike.items():
            yield HostPattern(host_class=number, count=count, placements=held, phantoms=phantoms)  # type: ignore[arg-type]


def groups_of(problem: Problem, patterns: Sequence[HostPattern] | None) -> list[Groups]:
    """Return the groups of every shape: by patterns, or as the hosts are now."""
    out = [Groups.empty(shape) for shape in problem.shapes]
    if patterns is None:
        for number, host_class in enumerate(problem.classes):
            out[host_class.shape].add(number, host_class, host_class.count, dict(host_class.content))
    else:
        for pattern in patterns:
            host_class = problem.classes[pattern.host_class]
            held = dict(pattern.placements)
            out[host_class.shape].add(pattern.host_class, host_class, pattern.count, held)
    return out
