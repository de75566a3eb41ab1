"""An answer that knows counts alone, as lots of hosts that hold the same, and the VMs named to them cell by cell.

A *cell* is the hosts that are in the same domain of every scope looked at. Hosts of a state that are in different cells
may exchange their patterns, and VMs that only rules tell apart their places: no goal changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.columns.model import Pattern, StateModel
from solvers.problem import CrossRule, IntArray
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Result

Lot = tuple[int, Pattern]
"""A state and the pattern that hosts of it hold."""


@dataclass(slots=True, kw_only=True)
class Lots:
    """The hosts of an answer to a merged problem.

    Attributes
    ----------
    rules : index of a rule of the source -> the rule, of those that say where VMs are named.
    cell_of : (classes,) the cell of a class. domain : scope -> (cells,). hosts : (state, cell) -> classes.
    lots : what hosts hold -> how many; those that hold nothing are left out. ruled : flavors of the source in `rules`.
    narrow : flavors of the source that hosts may not hold which may hold them in the merged problem.
    """

    merged: Merged
    found: Result
    rules: Mapping[int, CrossRule]
    model: StateModel = field(init=False)
    cell_of: list[int] = field(init=False)
    cells: int = field(init=False)
    domain: dict[str, list[int]] = field(init=False)
    hosts: dict[tuple[int, int], list[int]] = field(init=False)
    lots: Counter[Lot] = field(init=False)
    ruled: list[int] = field(init=False)
    narrow: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Find cells, lots and members."""
        source = self.merged.source
        self.model = StateModel(problem=self.merged.problem)
        scopes = sorted({rule.scope for rule in self.rules.values()})
        keys: dict[tuple[int, ...], int] = {}
        self.narrow = self._narrow()
        self.cell_of = [
            keys.setdefault(
                (*(one.domain.get(scope, -1) for scope in scopes), *one.allowed[self.narrow].tolist()),
                len(keys),
            )
            for one in source.classes
        ]
        self.cells = len(keys)
        self.domain = {scope: [key[at] for key in keys] for at, scope in enumerate(scopes)}
        self.hosts = defaultdict(list)
        for number in range(len(source.classes)):
            self.hosts[int(self.model.state_of_class[number]), self.cell_of[number]].append(number)
        self.lots = Counter()
        for pattern in self.found.patterns:
            held = tuple(sorted((*pattern.placements, *pattern.phantoms)))
            if held:
                self.lots[int(self.model.state_of_class[pattern.host_class]), held] += pattern.count
        self.ruled = sorted({flavor for rule in self.rules.values() for flavor in rule.members})

    def _narrow(self) -> list[int]:
        mine = np.array([one.allowed for one in self.merged.source.classes], dtype=np.bool_)
        open_ = np.array([one.allowed for one in self.merged.problem.classes], dtype=np.bool_)
        found: list[int] = np.flatnonzero((open_[:, self.merged.flavor] & ~mine).any(axis=0)).tolist()
        return found

    def room(self, state: int, cell: int) -> int:
        """Return how many hosts of a state are in a cell."""
        return sum(self.merged.source.classes[one].count for one in self.hosts[state, cell])

    def cells_of(self) -> dict[int, list[int]]:
        """Return the cells in which there are hosts of a state."""
        at: dict[int, list[int]] = defaultdict(list)
        for state, cell in self.hosts:
            at[state].append(cell)
        return dict(at)

    def held(self, lot: Lot) -> list[tuple[int, int]]:
        """Return (merged flavor, VMs) that a host of a lot holds."""
        amounts = self.model.amounts(self.model.states[lot[0]], lot[1])
        return [(flavor, int(amounts[flavor])) for flavor in np.flatnonzero(amounts).tolist()]

    # -- names ---------------------------------------------------------------------------------------------------------

    def named(self, hosts: Mapping[tuple[Lot, int], int], many: Mapping[tuple[int, int], int]) -> Result:
        """Return the answer in which lots have so many `hosts` a cell, and members are where `many` says, by (flavor,
        cell), as far as there are places; others are where a place is left that may be theirs.
        """
        merged, source = self.merged, self.merged.source
        twins = merged.twins()
        members = Counter({key: count for key, count in many.items() if count})
        waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
        for flavor, cell in sorted(members):
            waiting[int(merged.flavor[flavor]), cell].append(flavor)
        others = self._others(members)
        # Those that few hosts may hold take their places before the others do.
        order = {new: sorted(flavors, key=self._ease) for new, flavors in merged.named.items()}
        several = {*merged.named, *(int(merged.flavor[flavor]) for flavor in self.ruled)}
        empty = [one.count for one in source.classes]
        made: Counter[tuple[int, Pattern]] = Counter()
        for number, cell, pattern in self._placed(hosts):
            one = source.classes[number]
            shape = source.shapes[one.shape]
            held: Counter[int] = Counter()
            room = one.capacity.copy()
            for place, count in pattern:
                new, rest = int(merged.problem.shapes[one.shape].flavor[place]), count
                for flavor, left, key in (
                    *((flavor, members, (flavor, cell)) for flavor in waiting.get((new, cell), ())),
                    *((flavor, others, (flavor, -1)) for flavor in order.get(new, ())),
                ):
                    if not rest or not left[key] or not one.allowed[flavor]:
                        continue
                    twin = twins[one.shape][place, flavor]
                    use = shape.use[twin]
                    take = min(rest, left[key], int((room[use > 0] // use[use > 0]).min(initial=rest)))
                    if take:
                        held[twin] += take
                        room -= take * use
                        left[key] -= take
                        rest -= take
                if rest and new not in several:
                    twin = twins[one.shape][place, -1]
                    held[twin] += rest
                    room -= rest * shape.use[twin]
            made[number, tuple(sorted(held.items()))] += 1
            empty[number] -= 1
        made.update({(number, ()): count for number, count in enumerate(empty) if count})
        return self._whole(made)

    def _ease(self, flavor: int) -> tuple[int, int]:
        """Return how many classes of hosts may hold a flavor, and minus the rows that its VMs take of: few are hard."""
        source = self.merged.source
        rows = sum(int(np.count_nonzero(shape.use[shape.flavor == flavor])) for shape in source.shapes)
        return sum(bool(one.allowed[flavor]) for one in source.classes), -rows

    def _placed(self, hosts: Mapping[tuple[Lot, int], int]) -> Iterator[tuple[int, int, Pattern]]:
        """Yield (class, cell, pattern) of each host that holds any."""
        left = {key: self._each(classes) for key, classes in self.hosts.items()}
        for (lot, cell), count in hosts.items():
            for _ in range(count):
                yield next(left[lot[0], cell]), cell, lot[1]

    def _each(self, classes: Sequence[int]) -> Iterator[int]:
        for number in classes:
            yield from [number] * self.merged.source.classes[number].count

    def _others(self, members: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
        """Return (flavor, -1) -> how many of those under no rule have a place: as many as the members leave."""
        merged, ruled = self.merged, set(self.ruled)
        placed: Counter[int] = Counter()
        for (flavor, _), count in members.items():
            placed[int(merged.flavor[flavor])] += count
        out: Counter[tuple[int, int]] = Counter()
        for new, flavors in merged.named.items():
            arriving = sum(merged.source.flavors[one].arriving for one in flavors)
            # Members alone may be more than there are places: then there is none for others.
            rest = max(0, arriving - placed[new] - self.found.unplaced[new])
            for one in flavors:
                if one not in ruled:
                    out[one, -1] = min(rest, merged.source.flavors[one].arriving)
                    rest -= out[one, -1]
        return out

    def _whole(self, made: Counter[tuple[int, Pattern]]) -> Result:
        """Return hosts that hold so much as an answer of the source."""
        source = self.merged.source
        out, patterns = source.demand(), []
        phantom = [flavor.phantom for flavor in source.flavors]
        for (number, held), count in sorted(made.items()):
            of = source.shapes[source.classes[number].shape].flavor
            real = tuple(pair for pair in held if not phantom[int(of[pair[0]])])
            counted = tuple(pair for pair in held if phantom[int(of[pair[0]])])
            patterns.append(HostPattern(host_class=number, count=count, placements=real, phantoms=counted))
            for place, many in real:
                out[int(of[place])] -= count * many
        unplaced: IntArray = np.where(phantom, 0, out)
        return replace(
            self.found,
            status="feasible",
            patterns=tuple(patterns),
            unplaced=tuple(unplaced.tolist()),
            certificate=None,
        )
