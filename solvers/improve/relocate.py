"""Single moves, best first: a VM from the place that costs most to the place where it costs least.

What a move can win at most is known without looking for its target: what the VM costs where it is, less the least that
it costs anywhere. Places are looked at in that order, so that of a limited number of moves the best are made.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from solvers.improve.fleet import Fleet, Vector
from solvers.problem import BoolArray, IntArray

Shut = Callable[[IntArray, IntArray], BoolArray]
"""Of hosts and places on them, (M,) each: which are closed."""


def best_place(
    fleet: Fleet, flavor: int, *, pending: int = 0, avoid: int = -1, shut: Shut | None = None
) -> tuple[Vector, int, int] | None:
    """Return (what it costs, host, placement) of the cheapest place for a VM in hand, the tightest of equals.

    avoid : a host that is not looked at; shut : tells of (M,) hosts and places which are not.
    """
    hosts, places = fleet.open_places(flavor, pending=pending)
    if shut is not None:
        keep = ~shut(hosts, places)
        hosts, places = hosts[keep], places[keep]
    if avoid >= 0:
        keep = hosts != avoid
        hosts, places = hosts[keep], places[keep]
    if not len(hosts):
        return None
    value, _, _ = fleet.price(flavor, hosts, places, 1)
    chosen = least_rows(value)
    if len(chosen) > 1:
        chosen = chosen[[int(np.argmin(_tightness(fleet, hosts[chosen], places[chosen])))]]
    one = int(chosen[0])
    return tuple(value[one].tolist()), int(hosts[one]), int(places[one])


def least_rows(value: IntArray) -> IntArray:
    """Return the rows of (M, O) that are least in the order of columns: all that are equal."""
    chosen = np.arange(len(value))
    for column in value.T:
        own = column[chosen]
        chosen = chosen[own == own.min()]
        if len(chosen) == 1:
            break
    return chosen


def _tightness(fleet: Fleet, hosts: IntArray, places: IntArray) -> IntArray:
    """Return how much room the rows that VMs would take have left, as shares, summed."""
    tables = fleet.tables
    use = tables.use[places]
    share = (fleet.room[hosts] - use) * tables.scale[hosts]
    return np.asarray(np.where(use > 0, share, 0.0).sum(axis=1))


def most_to_win(fleet: Fleet, hosts: list[int]) -> list[tuple[Vector, int, int]]:
    """Return (least possible change, host, placement) of VMs on hosts whose move might win something, best first."""
    tables = fleet.tables
    found_hosts, found_places = [], []
    for host in hosts:
        for place in fleet.held[host]:
            if not fleet.frozen[tables.flavor[place]]:
                found_hosts.append(host)
                found_places.append(place)
    if not found_hosts:
        return []
    host_of, place_of = np.array(found_hosts), np.array(found_places)
    flavor = tables.flavor[place_of]
    value = tables.least[flavor] - tables.cost[place_of]
    for table, now in zip(tables.convex, fleet.convex, strict=True):
        load = fleet.base[host_of] - fleet.room[host_of] - tables.use[place_of]
        value[:, table.objective] += table.cost(host_of, load) - now[host_of]
    for o, objective in enumerate(tables.problem.objectives):
        if objective.host_cost:
            value[:, o] -= np.where(fleet.vms[host_of] == 1, tables.opening[host_of], 0)
        if objective.stay_penalty and tables.penalty is not None:
            value[:, o] -= tables.penalty[tables.host_class[host_of], flavor]
        if objective.moves or objective.migrations:
            # A VM that is away from home could win its move back; one that is at home cannot.
            value[:, o] -= np.where(_away(fleet, host_of, place_of, flavor), objective.moves + objective.migrations, 0)
    zero = (0,) * value.shape[1]
    entries = zip((tuple(row) for row in value.tolist()), found_hosts, found_places, strict=True)
    return sorted(entry for entry in entries if entry[0] < zero)


def _away(fleet: Fleet, hosts: IntArray, places: IntArray, flavor: IntArray) -> BoolArray:
    """Return which VMs are at places where their flavor has more now than at the start."""
    out = np.zeros(len(hosts), dtype=np.bool_)
    for n, (host, place, one) in enumerate(zip(hosts.tolist(), places.tolist(), flavor.tolist(), strict=True)):
        homes = fleet.homes.get(one)
        if homes is None:
            continue
        at = int(np.searchsorted(homes.hosts, host))
        local = int(fleet.tables.local[place])
        known = at < len(homes.hosts) and homes.hosts[at] == host
        more = homes.here[at].sum() > homes.before[at] if known and homes.settles else None
        out[n] = not known or (homes.here[at, local] > homes.content[at, local] if more is None else more)
    return out


@dataclass(slots=True)
class Relocations:
    """Moves of single VMs by what they can win; `queue` holds (most to win, host, placement, version of the host).

    Of `chosen` flavors alone, where it is given (F,); `closed` (H,) are hosts that none leaves or comes to.
    """

    fleet: Fleet
    chosen: BoolArray | None = None
    closed: BoolArray | None = None
    queue: list[tuple[Vector, int, int, int]] = field(default_factory=list)
    version: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at all VMs."""
        self.version = [0] * len(self.fleet.held)
        self.queue = [(*entry, 0) for entry in self._entries(list(range(len(self.fleet.held))))]
        heapq.heapify(self.queue)

    def _entries(self, hosts: list[int]) -> list[tuple[Vector, int, int]]:
        closed, chosen, flavor = self.closed, self.chosen, self.fleet.tables.flavor
        open_ = hosts if closed is None else [host for host in hosts if not closed[host]]
        entries = most_to_win(self.fleet, open_)
        return entries if chosen is None else [entry for entry in entries if chosen[flavor[entry[2]]]]

    def run(self, tries: int) -> bool:
        """Look for targets of at most `tries` VMs and move those that win; return whether any did."""
        fleet = self.fleet
        zero = (0,) * len(fleet.values)
        better = False
        while self.queue and tries:
            bound, host, place, stamp = heapq.heappop(self.queue)
            if stamp != self.version[host] or place not in fleet.held[host]:
                continue
            tries -= 1
            mark, before = len(fleet.journal), fleet.vector()
            fleet.remove(host, place)
            closed = self.closed
            shut = None if closed is None else lambda hosts, _, closed=closed: closed[hosts]
            found = best_place(fleet, int(fleet.tables.flavor[place]), shut=shut)
            if found is not None:
                fleet.add(found[1], found[2])
            won = tuple(b - a for a, b in zip(before, fleet.vector(), strict=True))
            if found is None or won >= zero or not fleet.within_budget():
                fleet.undo(mark)
            elif self.queue and won > self.queue[0][0] and won > bound:
                # Another one may win more: this one is put back, and taken when its turn comes again.
                fleet.undo(mark)
                heapq.heappush(self.queue, (won, host, place, stamp))
            else:
                better = True
                for changed in {host, found[1]}:
                    self.version[changed] += 1
                    for entry in self._entries([changed]):
                        heapq.heappush(self.queue, (*entry, self.version[changed]))
        return better
