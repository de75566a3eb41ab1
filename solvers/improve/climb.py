"""The steepest way down by single moves, swaps and moves taken back, over arrays of all VMs and hosts at once.

What a VM of a flavor costs at a host does not depend on where it comes from, so that every move there is is priced by
two tables of flavors and hosts: what is saved where it leaves, and what it costs where it comes. A change touches two
hosts, and two columns of the tables are priced again. Where moves are few each shall win most: a swap takes two, and
is as good as half of what it wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.improve.relocate import most_to_win
from solvers.objective import Hinges
from solvers.problem import IntArray

MOST_CELLS = 2_000_000
"""Flavors x hosts of the tables: above that only the flavors are looked at whose VMs could win most."""
SOURCES = 200
"""VMs that swaps are tried for in a step, those first whose move would win most if there was room."""
_NEVER = np.iinfo(np.int64).max // 4
_RANGE = 2**61
"""What one number may hold of the values of all objectives."""


@dataclass(slots=True, kw_only=True)
class Climb:
    """Tables over n flavors and H hosts, in one number a change for all objectives in their order.

    Attributes
    ----------
    flavors : (n,) those looked at. `weights` : (O,) makes one number of a vector.
    ptr : (H + 1,) the entries of each host, which are ordered by flavor; an entry is a place on a host: (N,) `place`,
        `row` (its flavor's line), `linear` (what it costs whatever else is there).
    home, near : (N, 2) what one VM more (0) or less (1) there changes of migrations and of moves.
    gone, come, room : (n, H) what a VM less saves, what one more costs, and that where it has room; `from_place`,
        `to_place`, `room_place` are the entries.
    """

    fleet: Fleet
    flavors: IntArray
    weights: IntArray
    ptr: IntArray
    place: IntArray
    row: IntArray
    linear: IntArray
    home: IntArray
    near: IntArray
    gone: IntArray = field(init=False)
    come: IntArray = field(init=False)
    room: IntArray = field(init=False)
    from_place: IntArray = field(init=False)
    to_place: IntArray = field(init=False)
    room_place: IntArray = field(init=False)

    @classmethod
    def of(cls, fleet: Fleet) -> Self | None:
        """Return the tables of a fleet as it is; None where what may come to a host has other limits than its rows,
        where no cost is of loads, or where no VM may go.
        """
        tables, budget = fleet.tables, fleet.tables.problem.budget
        by_load = any(isinstance(term, Hinges) for one in tables.problem.objectives for term in one.terms)
        if not by_load or tables.limited.any() or budget.host_in is not None or budget.host_out is not None:
            return None
        flavors = _movable(fleet)
        if not len(flavors):
            return None
        row_of = np.full(len(tables.problem.flavors), -1, dtype=np.int64)
        row_of[flavors] = np.arange(len(flavors))
        pairs = [tables.places(flavor) for flavor in flavors.tolist()]
        host, place = (np.concatenate(part) for part in zip(*pairs, strict=True))
        order = np.lexsort((place, row_of[tables.flavor[place]], host))
        host, place = host[order], place[order]
        weights = _weights(fleet, place)
        found = cls(
            fleet=fleet,
            flavors=flavors,
            weights=weights,
            ptr=np.searchsorted(host, np.arange(tables.hosts + 1)),
            place=place,
            row=row_of[tables.flavor[place]],
            linear=_linear(fleet, host, place, weights),
            home=np.zeros((len(place), 2), dtype=np.int64),
            near=np.zeros((len(place), 2), dtype=np.int64),
        )
        shape = (len(flavors), tables.hosts)
        found.gone, found.come, found.room = (np.full(shape, _NEVER, dtype=np.int64) for _ in range(3))
        found.from_place, found.to_place, found.room_place = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        for flavor in flavors.tolist():
            found._at_home(flavor, host)
        for number in range(tables.hosts):
            found._column(number)
        return found

    def covers_all(self) -> bool:
        """Tell whether every VM that may move is in the tables, wherever it is."""
        held = sum(many for own in self.fleet.held for place, many in own.items() if self._moves(place))
        known = 0
        for host in range(len(self.ptr) - 1):
            own = self.fleet.held[host]
            known += sum(own.get(place, 0) for place in self.place[self.ptr[host] : self.ptr[host + 1]].tolist())
        return held == known

    def _moves(self, place: int) -> bool:
        return not bool(self.fleet.frozen[self.fleet.tables.flavor[place]])

    # -- steps ---------------------------------------------------------------------------------------------------------

    def run(self, most: int) -> int:
        """Make up to so many changes, each the best of all; return how many there were."""
        return next((made for made in range(most) if not self._step()), most)

    def _step(self) -> bool:
        """Make the change that wins most a move; return whether there was one that wins anything."""
        while True:
            single, swap, back = self._single(), self._swap(), None
            best = min(single[0], swap[0])
            if self.fleet.moves_left < 1:
                back = self._instead()
                best = min(best, back[0])
            if best >= 0:
                return False
            if best == single[0]:
                changes = single[1]
            else:
                changes = swap[1] if best == swap[0] else back[1] if back is not None else ()
            if self._make(changes):
                return True
            # What one number tells apart, all objectives together do not: it is not looked at again as things are.
            host, entry, _ = changes[-1]
            self.gone[self.row[entry], host] = _NEVER

    def _make(self, changes: tuple[tuple[int, int, int], ...]) -> bool:
        """Move VMs, each (host, entry it leaves, entry it comes to); return whether all is better and within limits."""
        fleet = self.fleet
        mark, before = len(fleet.journal), fleet.vector()
        touched: dict[int, set[int]] = {}
        for source, entry, to in changes:
            target = self._host_of(to)
            if not fleet.held[source].get(int(self.place[entry])):
                # Another change of these took it already.
                fleet.undo(mark)
                return False
            fleet.remove(source, int(self.place[entry]))
            fleet.add(target, int(self.place[to]))
            for host in (source, target):
                touched.setdefault(host, set()).add(int(self.row[entry]))
        fits = all(self._fits(self._host_of(to), int(self.place[to])) for _, _, to in changes)
        if not fits or fleet.vector() >= before or not fleet.within_budget():
            fleet.undo(mark)
            return False
        for host, rows in touched.items():
            for row in rows:
                self._at_home_on(row, host)
            self._column(host)
        return True

    def _fits(self, host: int, place: int) -> bool:
        """Tell whether a VM that is at a place by now has room there."""
        return bool(((self.fleet.room[host] >= 0) | (self.fleet.tables.use[place] == 0)).all())

    def _host_of(self, entry: int) -> int:
        return int(np.searchsorted(self.ptr, entry, side="right")) - 1

    def _single(self, gone: IntArray | None = None) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """Return what the best single move wins, and the move."""
        gone = self._may_go(1) if gone is None else gone
        to, second = _two_least(self.room)
        lines = np.arange(len(self.flavors))
        total = gone + self.room[lines, to][:, None]
        # A VM does not move to where it is.
        total[lines, to] = gone[lines, to] + self.room[lines, second]
        at = int(total.argmin())
        row, host = divmod(at, total.shape[1])
        target = int(second[row]) if to[row] == host else int(to[row])
        change = (host, int(self.from_place[row, host]), int(self.room_place[row, target]))
        return int(total[row, host]), (change,)

    def _may_go(self, many: int) -> IntArray:
        """Return `gone` of the VMs that may leave where so many moves are taken; those that are away have moved."""
        fleet, budget = self.fleet, self.fleet.tables.problem.budget
        out = self.gone
        for most, made, change in (
            (budget.moves, fleet.moves, self.near),
            (budget.migrations, fleet.migrations, self.home),
        ):
            if most is not None and made + many > most:
                out = np.where(change[self.from_place, 1] > 0, _NEVER, out)
        return out

    def _swap(self) -> tuple[float, tuple[tuple[int, int, int], ...]]:
        """Return half of what the best swap wins, and its two moves: a VM and one of the host that it would like best
        go to each other's host.
        """
        nothing: tuple[float, tuple[tuple[int, int, int], ...]] = (0.0, ())
        gone = self._may_go(2)
        to, _ = _two_least(self.come)
        lines = np.arange(len(self.flavors))
        total = gone + self.come[lines, to][:, None]
        total[lines, to] = _NEVER
        flat = total.ravel()
        first = np.argpartition(flat, SOURCES)[:SOURCES] if len(flat) > SOURCES else np.arange(len(flat))
        first = np.sort(first[flat[first] < _NEVER // 2])
        if not len(first):
            return nothing
        row, host = np.divmod(first, total.shape[1])
        target = to[row]
        # All VMs of the other host that may leave it and come here.
        which, other = np.nonzero((gone[:, target].T < _NEVER // 2) & (self.come[:, host].T < _NEVER // 2))
        row, host, target = row[which], host[which], target[which]
        keep = other != row
        row, host, target, other = row[keep], host[keep], target[keep], other[keep]
        if not len(row):
            return nothing
        leaves, comes = self.from_place[row, host], self.to_place[row, target]
        away, back = self.from_place[other, target], self.to_place[other, host]
        win = self.linear[comes] - self.linear[leaves] + self.linear[back] - self.linear[away]
        win += self._changed(leaves, comes, away, back)
        use = self.fleet.tables.use[self.place]
        for at, less, more in ((host, use[leaves], use[back]), (target, use[away], use[comes])):
            win += self._load_cost(at, more - less) - self._load_cost(at, np.zeros_like(more))
            fits = ((self.fleet.room[at] + less >= more) | (more == 0)).all(axis=1)
            win = np.where(fits, win, _NEVER)
        best = int(win.argmin())
        one = (int(host[best]), int(leaves[best]), int(comes[best]))
        return float(win[best]) / 2, ((int(target[best]), int(away[best]), int(back[best])), one)

    def _instead(self) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """Return what is won by taking back the move that wins least and making the best one instead."""
        # A VM that has moved and can go home: it gives its move back.
        homes = self._homes()
        to = homes.argmin(axis=1)
        lines = np.arange(len(self.flavors))
        moved = np.where(self.near[self.from_place, 1] > 0, _NEVER, self.gone)
        total = moved + homes[lines, to][:, None]
        total[lines, to] = _NEVER
        row, host = divmod(int(total.argmin()), total.shape[1])
        lost = int(total[row, host])
        won, best = self._single(self.gone)
        if lost >= _NEVER // 2 or won >= _NEVER // 2:
            return 0, ()
        home = (host, int(self.from_place[row, host]), int(self.room_place[row, to[row]]))
        return lost + won, (home, *best)

    def _homes(self) -> IntArray:
        """Return `room` of the hosts alone that a VM comes home to."""
        return np.where((self.near[self.room_place, 0] < 0) & (self.home[self.room_place, 0] < 0), self.room, _NEVER)

    # -- prices --------------------------------------------------------------------------------------------------------

    def _changed(self, leaves: IntArray, comes: IntArray, away: IntArray, back: IntArray) -> IntArray:
        """Return what swaps cost in objectives that count moves."""
        out = np.zeros(len(leaves), dtype=np.int64)
        for o, objective in enumerate(self.fleet.tables.problem.objectives):
            for each, change in ((objective.migrations, self.home), (objective.moves, self.near)):
                if each:
                    many = change[comes, 0] + change[back, 0] + change[leaves, 1] + change[away, 1]
                    out += self.weights[o] * each * many
        return out

    def _load_cost(self, hosts: IntArray, more: IntArray) -> IntArray:
        """Return what hosts (M,) cost with so much more (M, K) on them."""
        fleet = self.fleet
        load = fleet.base[hosts] - fleet.room[hosts] + more
        out = np.zeros(len(hosts), dtype=np.int64)
        for table in fleet.tables.convex:
            out += self.weights[table.objective] * table.cost(hosts, load)
        return out

    def _column(self, host: int) -> None:
        """Price all places of a host anew."""
        fleet, tables = self.fleet, self.fleet.tables
        part = slice(int(self.ptr[host]), int(self.ptr[host + 1]))
        for table in (self.gone, self.come, self.room):
            table[:, host] = _NEVER
        place, row = self.place[part], self.row[part]
        if not len(place):
            return
        number, use = np.arange(part.start, part.stop), tables.use[place]
        at = np.full(len(place), host)
        now = self._load_cost(at[:1], np.zeros((1, use.shape[1]), dtype=np.int64))
        more = self.linear[part] + self._load_cost(at, use) - now
        less = -self.linear[part] + self._load_cost(at, -use) - now
        for o, objective in enumerate(tables.problem.objectives):
            weight = int(self.weights[o])
            if objective.host_cost:
                more += weight * int(tables.opening[host]) * int(fleet.vms[host] == 0)
                less -= weight * int(tables.opening[host]) * int(fleet.vms[host] == 1)
            for each, change in ((objective.migrations, self.home), (objective.moves, self.near)):
                if each:
                    more += weight * each * change[part, 0]
                    less += weight * each * change[part, 1]
        fits = (np.maximum(fleet.room[host], 0) >= use).all(axis=1)
        held = np.array([place in fleet.held[host] for place in place.tolist()], dtype=np.bool_)
        for keep, price, table, entry in (
            (held, less, self.gone, self.from_place),
            (np.ones(len(place), dtype=np.bool_), more, self.come, self.to_place),
            (fits, more, self.room, self.room_place),
        ):
            _least_of_rows(row[keep], price[keep], number[keep], table[:, host], entry[:, host])

    def _at_home(self, flavor: int, host: IntArray) -> None:
        """Count what a flavor's VMs change of moves and migrations at all its entries; `host` : (N,) of the entries."""
        entries = np.flatnonzero(self.fleet.tables.flavor[self.place] == flavor)
        self._count_home(flavor, host[entries], entries)

    def _at_home_on(self, row: int, host: int) -> None:
        part = np.arange(int(self.ptr[host]), int(self.ptr[host + 1]))
        entries = part[self.row[part] == row]
        self._count_home(int(self.flavors[row]), np.full(len(entries), host), entries)

    def _count_home(self, flavor: int, host: IntArray, entries: IntArray) -> None:
        homes = self.fleet.homes.get(flavor)
        if homes is None:
            return
        which, number = homes.at(host)
        if len(which):
            local = self.fleet.tables.local[self.place[entries[which]]]
            for side, sign in ((0, 1), (1, -1)):
                moves, migrations = homes.change(number, local, sign)
                self.near[entries[which], side] = moves
                self.home[entries[which], side] = migrations


def _movable(fleet: Fleet) -> IntArray:
    """Return the flavors of VMs that may move: of too many those whose VMs could win most."""
    most = max(1, MOST_CELLS // max(1, fleet.tables.hosts))
    found: dict[int, None] = {}
    for _, _, place in most_to_win(fleet, list(range(len(fleet.held)))):
        found.setdefault(int(fleet.tables.flavor[place]))
        if len(found) == most:
            break
    return np.array([f for f in sorted(found) if len(fleet.tables.places(f)[0])], dtype=np.int64)


def _linear(fleet: Fleet, host: IntArray, place: IntArray, weights: IntArray) -> IntArray:
    """Return (N,) what a VM costs at each place whatever else is there."""
    tables = fleet.tables
    out: IntArray = tables.cost[place] @ weights
    if tables.penalty is not None:
        each = tables.penalty[tables.host_class[host], tables.flavor[place]]
        counted = [o for o, one in enumerate(tables.problem.objectives) if one.stay_penalty]
        out = out + each * int(weights[counted].sum())
    return out


def _weights(fleet: Fleet, place: IntArray) -> IntArray:
    """Return (O,) weights by which one number orders changes as their values do, objective by objective: as many of
    the first ones as a number holds, nothing for those after them.
    """
    tables = fleet.tables
    use, objectives = tables.use[place], tables.problem.objectives
    most = np.abs(tables.cost[place]).max(axis=0, initial=0).astype(object)
    for o, objective in enumerate(objectives):
        most[o] += int(tables.opening.max(initial=0)) if objective.host_cost else 0
        if objective.stay_penalty and tables.penalty is not None:
            most[o] += int(tables.penalty.max(initial=0))
        most[o] += objective.moves + objective.migrations
    for table in tables.convex:
        most[table.objective] += table.most(tables.shape_of[place], use)
    # A swap changes four places.
    ranges = [8 * int(one) + 1 for one in most]
    weights = [0] * len(objectives)
    for many in range(len(objectives), 0, -1):
        product = 1
        for o in range(many - 1, -1, -1):
            weights[o] = product
            product *= ranges[o]
        if product < _RANGE:
            return np.array(weights, dtype=np.int64)
        weights[many - 1] = 0
    return np.array([1, *([0] * (len(objectives) - 1))], dtype=np.int64)


def _two_least(table: IntArray) -> tuple[IntArray, IntArray]:
    """Return (n,) where each row is least, and where it is next least."""
    if table.shape[1] < 2:
        none = np.zeros(len(table), dtype=np.int64)
        return none, none
    two = np.argpartition(table, 1, axis=1)[:, :2]
    lines = np.arange(len(table))
    swapped = table[lines, two[:, 0]] > table[lines, two[:, 1]]
    return np.where(swapped, two[:, 1], two[:, 0]), np.where(swapped, two[:, 0], two[:, 1])


def _least_of_rows(row: IntArray, price: IntArray, number: IntArray, table: IntArray, entry: IntArray) -> None:
    """Put the least price of each row, and its entry, into a column; `row` is ordered."""
    if not len(row):
        return
    order = np.lexsort((number, price, row))
    first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    table[row[first]] = price[first]
    entry[row[first]] = number[first]
