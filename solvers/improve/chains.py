"""Ejection chains: a VM takes a place that is full, what stood in its way goes elsewhere, and so on a few VMs deep."""

from __future__ import annotations

import numpy as np

from solvers.improve.fleet import Fleet, Vector
from solvers.improve.relocate import best_place
from solvers.problem import BoolArray, IntArray

DEPTH = 2
"""VMs that may have to make way one after the other."""
TARGETS = 4
"""Full places that are tried for a VM, the cheapest first."""
MAKING_WAY = 4
"""VMs that are tried for making way on a host, those that leave the least room unused first."""


def chain(fleet: Fleet, host: int, place: int) -> bool:
    """Move a VM to a better place even if others have to make way; return whether that won anything."""
    mark, before = len(fleet.journal), fleet.vector()
    flavor = int(fleet.tables.flavor[place])
    fleet.remove(host, place)
    if settle(fleet, flavor, before, depth=DEPTH, avoid=host):
        return True
    fleet.undo(mark)
    return False


def settle(fleet: Fleet, flavor: int, goal: Vector, *, depth: int, avoid: int = -1) -> bool:
    """Give a VM in hand a place such that the values are below `goal`; others may have to make way.

    Returns whether it did; if not, the VM is still in hand and nothing has changed.
    """
    found = best_place(fleet, flavor, avoid=avoid)
    mark = len(fleet.journal)
    if found is not None:
        fleet.add(found[1], found[2])
        if fleet.vector() < goal and fleet.within_budget():
            return True
        fleet.undo(mark)
    if not depth:
        return False
    for host, place in _full_places(fleet, flavor, goal, avoid):
        short = fleet.tables.use[place] - fleet.room[host]
        fleet.add(host, place)
        for other in _in_the_way(fleet, host, place, short):
            inner = len(fleet.journal)
            fleet.remove(host, other)
            if settle(fleet, int(fleet.tables.flavor[other]), goal, depth=depth - 1, avoid=host):
                return True
            fleet.undo(inner)
        fleet.undo(mark)
    return False


def _full_places(fleet: Fleet, flavor: int, goal: Vector, avoid: int) -> list[tuple[int, int]]:
    """Return places that would be good enough but are full, the cheapest first and of those the least short."""
    tables = fleet.tables
    hosts, places = tables.places(flavor)
    use = tables.use[places]
    short = np.maximum(0, np.where(use > 0, use - fleet.room[hosts], 0))
    full = np.flatnonzero(short.any(axis=1) & (hosts != avoid))
    if not len(full):
        return []
    hosts, places = hosts[full], places[full]
    value, moves, migrations = fleet.price(flavor, hosts, places, 1)
    budget = tables.problem.budget
    good = np.ones(len(hosts), dtype=np.bool_)
    if budget.moves is not None:
        good &= fleet.moves + moves <= budget.moves
    if budget.migrations is not None:
        good &= fleet.migrations + migrations <= budget.migrations
    # What has to make way costs at least nothing less: a place that is not below the goal by itself cannot be.
    good &= _first_below(value + fleet.values, goal)
    chosen = np.flatnonzero(good)
    if not len(chosen):
        return []
    lack = (short[full][chosen] * tables.scale[hosts[chosen]]).sum(axis=1)
    order = np.lexsort((lack, *value[chosen].T[::-1]))[:TARGETS]
    return list(zip(hosts[chosen[order]].tolist(), places[chosen[order]].tolist(), strict=True))


def _first_below(value: IntArray, goal: Vector) -> BoolArray:
    """Return (M,) whether rows are at most the goal in the order of columns, but for the last two that a detour adds.

    Moves may come back when another VM goes home, so equal rows are kept.
    """
    below = np.zeros(len(value), dtype=np.bool_)
    equal = np.ones(len(value), dtype=np.bool_)
    for column, most in zip(value.T, goal, strict=True):
        below |= equal & (column < most)
        equal &= column == most
    return np.asarray(below | equal)


def _in_the_way(fleet: Fleet, host: int, placed: int, short: IntArray) -> list[int]:
    """Return placements of VMs on a host any one of which makes room by leaving, the smallest first."""
    tables = fleet.tables
    own = [place for place in fleet.held[host] if place != placed and not fleet.frozen[tables.flavor[place]]]
    if not own:
        return []
    use = tables.use[own]
    lacking = short > 0
    enough = np.flatnonzero((use[:, lacking] >= short[lacking]).all(axis=1))
    size = (use[enough] * tables.scale[host]).sum(axis=1)
    return [own[n] for n in enough[np.argsort(size, kind="stable")][:MAKING_WAY].tolist()]
