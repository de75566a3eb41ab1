"""An answer being improved: what every host holds, room, the value of every objective, and how to take changes back.

All of it is kept up to date VM by VM, so that a change is priced by what it touches and never by the whole fleet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from solvers.evaluate import evaluate
from solvers.improve.homes import Homes, homes_of
from solvers.improve.tables import Tables
from solvers.problem import BoolArray, IntArray
from solvers.result import HostPattern

Vector = tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Fleet:
    """All hosts with what they hold.

    Attributes
    ----------
    room : (H, K) units left, below 0 only in between. `base` : (H, K) load = base - room, phantoms left out.
    vms : (H,) VMs of a host. `held` : a host, placement -> VMs. `out` : (F,) VMs left out.
    values : (O,) value of every objective. `convex` : of each table of convex costs, (H,) what a host costs.
    moves, migrations : changes so far. `left`, `came` : (H,) VMs that left a host, or came (arrivals too).
    frozen : (F,) VMs that stay where they are: members of rules over hosts.
    """

    tables: Tables
    room: IntArray
    base: IntArray
    vms: IntArray
    held: list[dict[int, int]]
    phantoms: list[tuple[tuple[int, int], ...]]
    out: IntArray
    values: IntArray
    convex: list[IntArray]
    homes: dict[int, Homes]
    left: IntArray
    came: IntArray
    frozen: BoolArray
    moves: int = 0
    migrations: int = 0
    journal: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, tables: Tables, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> Fleet:
        """Return the fleet of an answer."""
        problem = tables.problem
        hosts, rows = tables.hosts, tables.use.shape[1]
        starts = np.cumsum([0, *(one.count for one in problem.classes)])
        nexts = starts[:-1].copy()
        base = np.zeros((len(problem.classes), rows), dtype=np.int64)
        for number, one in enumerate(problem.classes):
            base[number, : len(one.fixed)] = one.fixed
        fleet = cls(
            tables=tables,
            room=tables.capacity.copy(),
            base=base[tables.host_class] + tables.capacity,
            vms=np.zeros(hosts, dtype=np.int64),
            held=[{} for _ in range(hosts)],
            phantoms=[()] * hosts,
            out=np.array(unplaced, dtype=np.int64),
            values=np.array(evaluate(problem, patterns, unplaced), dtype=np.int64),
            convex=[],
            homes=homes_of(tables),
            left=np.zeros(hosts, dtype=np.int64),
            came=np.zeros(hosts, dtype=np.int64),
            frozen=np.zeros(len(problem.flavors), dtype=np.bool_),
        )
        for rule in problem.rules:
            fleet.frozen[list(rule.members)] = True
        fleet.frozen |= np.array([flavor.phantom for flavor in problem.flavors], dtype=np.bool_)
        for homes in fleet.homes.values():
            np.add.at(fleet.left, homes.hosts, homes.before)
            fleet.moves += int(homes.before.sum())
        fleet.migrations = fleet.moves
        for pattern in patterns:
            number = pattern.host_class
            first = int(tables.first[problem.classes[number].shape])
            for host in range(int(nexts[number]), int(nexts[number]) + pattern.count):
                for placement, many in pattern.placements:
                    for _ in range(many):
                        fleet._count(host, first + placement, 1)
                for placement, many in pattern.phantoms:
                    taken = many * tables.use[first + placement]
                    fleet.room[host] -= taken
                    fleet.base[host] -= taken
                fleet.phantoms[host] = pattern.phantoms
            nexts[number] += pattern.count
        load = fleet.base - fleet.room
        fleet.convex = [table.cost(np.arange(hosts), load) for table in tables.convex]
        return fleet

    # -- prices --------------------------------------------------------------------------------------------------------

    def price(self, flavor: int, hosts: IntArray, places: IntArray, sign: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return what one VM more (sign 1) or less (-1) at each of M places changes: (M, O) values, moves, migrations.

        VMs left out are not in it.
        """
        tables, problem = self.tables, self.tables.problem
        value = sign * tables.cost[places]
        for table, now in zip(tables.convex, self.convex, strict=True):
            load = self.base[hosts] - self.room[hosts] + sign * tables.use[places]
            value[:, table.objective] += table.cost(hosts, load) - now[hosts]
        moves, migrations = np.zeros(len(hosts), dtype=np.int64), np.zeros(len(hosts), dtype=np.int64)
        homes = self.homes.get(flavor)
        if homes is not None:
            which, number = homes.at(hosts)
            if len(which):
                moves[which], migrations[which] = homes.change(number, tables.local[places[which]], sign)
        for o, objective in enumerate(problem.objectives):
            if objective.host_cost:
                value[:, o] += sign * np.where(self.vms[hosts] == (0 if sign > 0 else 1), tables.opening[hosts], 0)
            if objective.stay_penalty and tables.penalty is not None:
                value[:, o] += sign * tables.penalty[tables.host_class[hosts], flavor]
            if objective.migrations:
                value[:, o] += objective.migrations * migrations
            if objective.moves:
                value[:, o] += objective.moves * moves
        return value, moves, migrations

    def _may_have(self, host: int, place: int) -> bool:
        """Tell whether one more VM may be at a place of a host that holds only so many there."""
        tables = self.tables
        own = place - int(tables.first[tables.shape[host]])
        return tables.problem.classes[int(tables.host_class[host])].may_have(own, self.held[host].get(place, 0))

    def open_places(self, flavor: int, *, pending: int = 0) -> tuple[IntArray, IntArray]:
        """Return the places where a VM of a flavor fits now, within permissions, moves and migrations.

        pending : VMs in hand that may still go back to where they were.
        """
        tables, budget = self.tables, self.tables.problem.budget
        hosts, places = tables.places(flavor)
        homes = self.homes.get(flavor)
        if homes is not None and (tables.allowed is not None or tables.stay_only.any()):
            hosts, places = self._with_homes(flavor, homes, hosts, places)
        fits = (np.maximum(self.room, 0)[hosts] >= tables.use[places]).all(axis=1)
        hosts, places = hosts[fits], places[fits]
        limited = tables.limited[tables.host_class[hosts]]
        if limited.any():
            may = np.ones(len(hosts), dtype=np.bool_)
            for n in np.flatnonzero(limited).tolist():
                may[n] = self._may_have(int(hosts[n]), int(places[n]))
            hosts, places = hosts[may], places[may]
        if budget.moves is None and budget.migrations is None and budget.host_in is None and budget.host_out is None:
            return hosts, places
        moves, migrations = np.zeros(len(hosts), dtype=np.int64), np.zeros(len(hosts), dtype=np.int64)
        if homes is not None:
            which, number = homes.at(hosts)
            if len(which):
                moves[which], migrations[which] = homes.change(number, tables.local[places[which]], 1)
        keep = np.ones(len(hosts), dtype=np.bool_)
        if budget.moves is not None:
            keep &= self.moves - pending + moves <= budget.moves
        if budget.migrations is not None:
            keep &= self.migrations - pending + migrations <= budget.migrations
        if budget.host_in is not None:
            keep &= (migrations < 0) | (self.came[hosts] < budget.host_in)
        if budget.host_out is not None and not pending:
            over = np.flatnonzero(self.left > budget.host_out)
            keep &= (migrations < 0) & (hosts == over[0]) if len(over) == 1 else np.array(not len(over))
        return hosts[keep], places[keep]

    def _with_homes(self, flavor: int, homes: Homes, hosts: IntArray, places: IntArray) -> tuple[IntArray, IntArray]:
        """Add the places that only a VM may take that was on the host, or just there, before."""
        tables = self.tables
        own = tables.placements_of(flavor)
        allowed = np.ones(len(homes.hosts), dtype=np.bool_)
        if tables.allowed is not None:
            allowed = tables.allowed[tables.host_class[homes.hosts], flavor]
        shape = tables.shape[homes.hosts]
        found: list[tuple[IntArray, IntArray]] = []
        for one in np.unique(shape).tolist():
            here = own[tables.shape_of[own] == one]
            for may, listed in ((False, here), (True, here[tables.stay_only[here]])):
                which = np.flatnonzero((shape == one) & (allowed == may)) if len(listed) else listed
                number, place = np.repeat(which, len(listed)), np.tile(listed, len(which))
                flags = tables.stay_only[place], np.full(len(number), may)
                keep = homes.spare(number, tables.local[place], *flags)
                found.append((number[keep], place[keep]))
        number, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(number, kind="stable")
        return np.concatenate([hosts, homes.hosts[number[order]]]), np.concatenate([places, place[order]])

    def within_budget(self) -> bool:
        """Tell whether what was changed so far is within moves, migrations and what may come to and leave a host."""
        budget = self.tables.problem.budget
        return (
            (budget.moves is None or self.moves <= budget.moves)
            and (budget.migrations is None or self.migrations <= budget.migrations)
            and (budget.host_out is None or int(self.left.max(initial=0)) <= budget.host_out)
        )

    @property
    def moves_left(self) -> float:
        """VMs that may change host yet; infinite without a limit."""
        budget = self.tables.problem.budget
        limits = ((budget.moves, self.moves), (budget.migrations, self.migrations))
        return min((most - made for most, made in limits if most is not None), default=float("inf"))

    # -- changes -------------------------------------------------------------------------------------------------------

    def add(self, host: int, place: int) -> None:
        """Put a VM in hand on a host."""
        self._change(host, place, 1)
        self.journal.append((host, place, 1))

    def remove(self, host: int, place: int) -> None:
        """Take a VM from a host into the hand."""
        self._change(host, place, -1)
        self.journal.append((host, place, -1))

    def take_in(self, flavor: int) -> None:
        """Take a VM that was left out into the hand."""
        self._leave_out(flavor, -1)
        self.journal.append((-1, flavor, -1))

    def leave_out(self, flavor: int) -> None:
        """Leave out a VM in hand."""
        self._leave_out(flavor, 1)
        self.journal.append((-1, flavor, 1))

    def undo(self, mark: int) -> None:
        """Take back all changes since the journal had `mark` entries."""
        while len(self.journal) > mark:
            host, place, sign = self.journal.pop()
            if host < 0:
                self._leave_out(place, -sign)
            else:
                self._change(host, place, -sign)

    def _leave_out(self, flavor: int, sign: int) -> None:
        self.out[flavor] += sign
        self.values += sign * self.tables.unplaced[flavor]

    def _change(self, host: int, place: int, sign: int) -> None:
        flavor = int(self.tables.flavor[place])
        value, _, _ = self.price(flavor, np.array([host]), np.array([place]), sign)
        self.values += value[0]
        self._count(host, place, sign)
        for table, now in zip(self.tables.convex, self.convex, strict=True):
            load = (self.base[host] - self.room[host])[None, :]
            now[host] = table.cost(np.array([host]), load)[0]

    def _count(self, host: int, place: int, sign: int) -> None:
        """Count a VM more or less, in all but the values."""
        tables = self.tables
        flavor = int(tables.flavor[place])
        held = self.held[host]
        held[place] = held.get(place, 0) + sign
        if not held[place]:
            del held[place]
        self.vms[host] += sign
        self.room[host] -= sign * tables.use[place]
        homes = self.homes.get(flavor)
        number = -1
        if homes is not None:
            at = int(np.searchsorted(homes.hosts, host))
            number = at if at < len(homes.hosts) and homes.hosts[at] == host else -1
        if number < 0 or homes is None:
            self.came[host] += sign
            return
        local = int(tables.local[place])
        moves, migrations = homes.change(np.array([number]), np.array([local]), sign)
        homes.here[number, local] += sign
        self.moves += int(moves[0])
        self.migrations += int(migrations[0])
        self.left[host] += int(migrations[0])
        # A VM that fills no gap of its flavor came from elsewhere.
        self.came[host] += sign if not migrations[0] else 0

    # -- what comes out ------------------------------------------------------------------------------------------------

    def vector(self) -> Vector:
        """Return the value of every objective, to compare in order."""
        return tuple(self.values.tolist())

    def answer(self) -> tuple[tuple[HostPattern, ...], tuple[int, ...]]:
        """Return patterns, alike ones together, and the VMs left out."""
        alike: dict[tuple[int, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]], int] = {}
        tables = self.tables
        for host, held in enumerate(self.held):
            first = int(tables.first[tables.shape[host]])
            pattern = tuple(sorted((place - first, many) for place, many in held.items()))
            key = (int(tables.host_class[host]), pattern, self.phantoms[host])
            alike[key] = alike.get(key, 0) + 1
        patterns = tuple(
            HostPattern(host_class=number, count=count, placements=pattern, phantoms=phantoms)
            for (number, pattern, phantoms), count in alike.items()
        )
        return patterns, tuple(self.out.tolist())
