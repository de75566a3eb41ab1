"""Room for VMs that are left out: one comes in, one or two go out for it, and what went out may not come back at once.

A tabu search over single exchanges, as for vector packing with few bins too many (Buljubašić and Vasquez, "Consistent
neighborhood search for one-dimensional bin packing and two-dimensional vector packing", 2016): what is left out shall
weigh as little as can be. All VMs are weighed and tested at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.improve.fleet import Fleet, Vector
from solvers.problem import BoolArray, IntArray

Floats = NDArray[np.float64]
TENURE = 12
"""Steps for which a VM that came in is not sent out again, at least; and as many more at random at most."""
PAIRS = 24
"""Hosts whose pairs of VMs are tried in a step."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A search for room. VMs that are on hosts at the start of the problem are left where they are.

    Attributes
    ----------
    host, place : (N,) where each VM is that may be sent out. `until` : (N,) the step until which it may not.
    weight : (F,) what leaving a VM out weighs.
    closed : (H,) hosts that take none.
    """

    fleet: Fleet
    rng: np.random.Generator
    weight: Floats
    closed: BoolArray
    host: IntArray = field(init=False)
    place: IntArray = field(init=False)
    until: IntArray = field(init=False)
    step: int = 0
    mark: int = field(init=False)
    best: Vector = field(init=False)

    def __post_init__(self) -> None:
        """List the VMs that may be sent out."""
        self.host, self.place = movable_arrivals(self.fleet, self.closed)
        self.until = np.zeros(len(self.host), dtype=np.int64)
        self.best = self.fleet.vector()
        self.mark = len(self.fleet.journal)

    def run(self, steps: int) -> bool:
        """Take steps and return whether the values got better than ever; the fleet stays where the search is."""
        better = False
        for _ in range(steps):
            waiting = [f for f in np.flatnonzero(self.fleet.out).tolist() if not self.fleet.frozen[f]]
            if not waiting or not self._step(waiting):
                break
            value = self.fleet.vector()
            if value < self.best and self.fleet.within_budget():
                self.best, self.mark, better = value, len(self.fleet.journal), True
        return better

    def finish(self) -> None:
        """Bring the fleet back to the best that was found; the search is over."""
        self.fleet.undo(self.mark)

    def _step(self, waiting: list[int]) -> bool:
        """Bring one VM in, the way that weighs least; False where none can come in at all."""
        self.step += 1
        fleet, tables = self.fleet, self.fleet.tables
        odds = np.cumsum([self.weight[f] for f in waiting])
        drawn = int(np.searchsorted(odds, self.rng.random() * odds[-1], side="right"))
        flavor = waiting[min(drawn, len(waiting) - 1)]  # where all weigh nothing, any will do
        places = self._places(flavor)
        able = np.flatnonzero(places >= 0)
        if not len(able):
            return len(waiting) > 1
        need = np.full((tables.hosts, tables.use.shape[1]), 1 << 50, dtype=np.int64)
        use = tables.use[places[able]]
        need[able] = np.where(use > 0, use - fleet.room[able], 0)
        fits = (need <= 0).all(axis=1)
        if fits.any():
            hosts = np.flatnonzero(fits)
            share = tables.scale[hosts]
            take, free = tables.use[places[hosts]] * share, fleet.room[hosts] * share
            length = np.sqrt((take * take).sum(axis=1) * (free * free).sum(axis=1))
            host = int(hosts[np.argmax((take * free).sum(axis=1) / np.maximum(1e-12, length))])
            self._bring_in(flavor, host, int(places[host]), ())
            return True
        out = self._out_for(flavor, need)
        if out:
            host = int(self.host[out[0]])
            self._bring_in(flavor, host, int(places[host]), out)
        return True

    def _out_for(self, flavor: int, need: IntArray) -> tuple[int, ...]:
        """Return the VMs (one, or two of a host) whose going out makes room and weighs least."""
        tables = self.fleet.tables
        free = self.until <= self.step
        use = tables.use[self.place]
        weight = self.weight[tables.flavor[self.place]]
        enough = np.flatnonzero(free & (use >= need[self.host]).all(axis=1))
        found: tuple[int, ...] = ()
        least = np.inf
        if len(enough):
            noisy = weight[enough] * self.rng.uniform(1.0, 1.1, size=len(enough))
            one = int(np.argmin(noisy))
            found, least = (int(enough[one]),), float(weight[enough[one]])
        if least >= self.weight[flavor]:
            pair, both = self._pair(need, use, weight, free, float(self.weight[flavor]))
            if both < least:
                return pair
        return found

    def _pair(
        self, need: IntArray, use: IntArray, weight: Floats, free: BoolArray, most: float
    ) -> tuple[tuple[int, ...], float]:
        """Return two VMs of a host that make room together and weigh less than `most`, of some hosts."""
        hosts = self.rng.choice(len(need), size=min(len(need), PAIRS), replace=False)
        chosen = np.zeros(len(need), dtype=np.bool_)
        chosen[hosts] = True
        own = np.flatnonzero(free & chosen[self.host] & (weight < most))
        if len(own) < 2:
            return (), np.inf
        own = own[np.argsort(self.host[own], kind="stable")]
        first, second = _pairs(self.host[own])
        one, two = own[first], own[second]
        both = weight[one] + weight[two]
        good = (use[one] + use[two] >= need[self.host[one]]).all(axis=1) & (both < most)
        if not good.any():
            return (), np.inf
        at = int(np.argmin(np.where(good, both, np.inf)))
        return (int(one[at]), int(two[at])), float(both[at])

    def _bring_in(self, flavor: int, host: int, place: int, out: tuple[int, ...]) -> None:
        fleet = self.fleet
        for number in out:
            fleet.remove(host, int(self.place[number]))
            fleet.leave_out(int(fleet.tables.flavor[self.place[number]]))
        fleet.take_in(flavor)
        fleet.add(host, place)
        keep = np.ones(len(self.host), dtype=np.bool_)
        keep[list(out)] = False
        until = self.step + TENURE + int(self.rng.integers(TENURE + 1))
        self.host = np.append(self.host[keep], host)
        self.place = np.append(self.place[keep], place)
        self.until = np.append(self.until[keep], until)

    def _places(self, flavor: int) -> IntArray:
        """Return (H,) the placement of a flavor on each host, any of those it has there; -1 for none."""
        tables = self.fleet.tables
        hosts, places = tables.places(flavor)
        out = np.full(tables.hosts, -1, dtype=np.int64)
        if len(hosts) > tables.hosts:
            mixed = self.rng.permutation(len(hosts))
            hosts, places = hosts[mixed], places[mixed]
        out[hosts] = places
        out[self.closed] = -1
        return out


def weights(fleet: Fleet) -> Floats:
    """Return (F,): how much leaving a VM out weighs: in the goals, earlier ones much more, and by its size."""
    tables = fleet.tables
    whole = np.maximum(1, tables.capacity.sum(axis=0)).astype(np.float64)
    size = np.zeros(len(tables.problem.flavors))
    np.add.at(size, tables.flavor, (tables.use / whole).sum(axis=1))
    size /= np.maximum(1, np.diff(tables.flavor_ptr))
    out = size / max(1e-12, float(size.mean()))
    weight = 1.0
    for column in tables.unplaced.T.astype(np.float64)[::-1]:
        if column.any():
            out += weight * column / column[column > 0].mean()
            weight *= 10.0
    return out


def _pairs(host: IntArray) -> tuple[IntArray, IntArray]:
    """Return all pairs of positions with the same host; `host` is sorted."""
    starts = np.searchsorted(host, host, side="left")
    rank = np.arange(len(host)) - starts
    second = np.repeat(np.arange(len(host)), rank)
    first = np.arange(len(second)) - np.repeat(np.cumsum(rank) - rank, rank) + np.repeat(starts, rank)
    return first, second


def movable_arrivals(fleet: Fleet, closed: BoolArray) -> tuple[IntArray, IntArray]:
    """Return (N,) hosts and placements of VMs that are nowhere at the start, one line a VM."""
    hosts, places = [], []
    flavors = fleet.tables.problem.flavors
    for host, held in enumerate(fleet.held):
        if closed[host]:
            continue
        for place, many in held.items():
            flavor = int(fleet.tables.flavor[place])
            homes = fleet.homes.get(flavor)
            if fleet.frozen[flavor] or (homes is not None and host in homes.hosts):
                continue
            for _ in range(min(many, flavors[flavor].arriving)):
                hosts.append(host)
                places.append(place)
    return np.array(hosts, dtype=np.int64), np.array(places, dtype=np.int64)
