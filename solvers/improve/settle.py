"""VMs whose places are known move first, then those that settle get theirs around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.improve.relocate import Relocations, least_rows
from solvers.problem import BoolArray, IntArray

ATTEMPTS = 3
"""Times that VMs whose places are known are moved before others settle, each time on fewer hosts."""

ORDERS = 20
"""Orders in which the VMs of a host are tried till all have a place."""
SPREAD = 0.3
"""By how much sizes are taken for larger or smaller in other orders: the deviation of their logarithms."""


def asks_to_settle(fleet: Fleet) -> list[int]:
    """Return the objectives in which places of VMs that settle cost, and of no others."""
    settles, problem = settling(fleet), fleet.tables.problem
    out = []
    for number, objective in enumerate(problem.objectives):
        tables = [(shape.cost.get(objective.cost or ""), settles[shape.flavor]) for shape in problem.shapes]
        costs = [(cost, own) for cost, own in tables if cost is not None]
        if any(cost[own].any() for cost, own in costs) and not any(cost[~own].any() for cost, own in costs):
            out.append(number)
    return out


def settling(fleet: Fleet) -> BoolArray:
    """Return (F,) which flavors settle."""
    return np.array([flavor.settles for flavor in fleet.tables.problem.flavors], dtype=np.bool_)


def known_first(fleet: Fleet, asked: Sequence[int], tries: int) -> Iterator[bool]:
    """Move VMs whose places are known while those that settle have none yet, then give these one on their hosts, the
    largest first; yield between rounds of so many tries, and at last whether all that settle have a place.

    Who settles first takes the room that few moves are for, and would be as well off elsewhere. On hosts where one that
    settles finds no place then, no other VM goes before. Where some find none at last, all is taken back.
    """
    settles, mark = settling(fleet), len(fleet.journal)
    costs = fleet.tables.cost[:, list(asked)].sum(axis=1)
    closed = np.zeros(fleet.tables.hosts, dtype=np.bool_)
    for _ in range(ATTEMPTS):
        moves = Relocations(fleet, ~settles, closed)
        while moves.queue:
            moves.run(tries)
            yield False
        for host in range(len(fleet.held)):
            if _settle(fleet, host, costs):
                yield False
        short = [host for host, held in enumerate(fleet.held) if costs[list(held)].any()]
        if not short:
            yield True
            return
        fleet.undo(mark)
        if closed[short].all():
            return
        closed[short] = True


def _settle(fleet: Fleet, host: int, costs: IntArray) -> int:
    """Give the VMs of a host a place on it that costs less, the largest first; return how many there are.

    Nodes are filled evenly, so that none is out of CPUs where memory is left and the next out of memory. Where one
    finds no place, other orders near that one are tried.
    """
    tables, mark = fleet.tables, len(fleet.journal)
    waiting = [place for place, many in fleet.held[host].items() if costs[place] for _ in range(many)]
    size = (tables.use[waiting] * tables.scale[host]).max(axis=1, initial=0.0)
    rng = np.random.default_rng(host)
    for order in range(ORDERS if waiting else 0):
        fleet.undo(mark)
        near = np.exp(rng.normal(0.0, SPREAD if order else 0.0, len(waiting)))
        for number in np.argsort(-size * near, kind="stable").tolist():
            _settle_one(fleet, host, waiting[number])
        if not costs[list(fleet.held[host])].any():
            break
    return len(waiting)


def _settle_one(fleet: Fleet, host: int, place: int) -> None:
    mark, before = len(fleet.journal), fleet.vector()
    fleet.remove(host, place)
    target = _evenest(fleet, int(fleet.tables.flavor[place]), host)
    if target is not None:
        fleet.add(host, target)
    if target is None or fleet.vector() >= before or not fleet.within_budget():
        fleet.undo(mark)


def _evenest(fleet: Fleet, flavor: int, host: int) -> int | None:
    """Return the cheapest place of a VM in hand on a host, of equals that which leaves most of its scarcest row."""
    tables = fleet.tables
    hosts, places = fleet.open_places(flavor)
    places = places[hosts == host]
    if not len(places):
        return None
    value, _, _ = fleet.price(flavor, np.full(len(places), host), places, 1)
    places = places[least_rows(value)]
    left = np.where(tables.use[places] > 0, (fleet.room[host] - tables.use[places]) * tables.scale[host], np.inf)
    return int(places[int(np.argmax(left.min(axis=1)))])
