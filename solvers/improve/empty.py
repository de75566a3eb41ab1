"""Fewer hosts: one is emptied, and its VMs find room on those that are used anyway."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from solvers.improve.exchange import Exchange, weights
from solvers.improve.fleet import Fleet
from solvers.improve.relocate import best_place
from solvers.problem import IntArray

IDLE = 4
"""Rounds that may bring the VMs in hand no nearer to a place."""


def empty_one(fleet: Fleet, rng: np.random.Generator, host: int, *, steps: int) -> Iterator[bool]:
    """Try to empty a host in rounds of so many exchanges; yields whether that made the values better, after each.

    Where it does not come off, nothing has changed in the end.
    """
    start, before = len(fleet.journal), fleet.vector()
    waiting = int(fleet.out.sum())
    if not _clear(fleet, host):
        fleet.undo(start)
        yield False
        return
    closed = fleet.vms == 0
    search = Exchange(fleet=fleet, rng=rng, weight=weights(fleet), closed=closed)
    idle = 0
    while idle < IDLE:
        if int(fleet.out.sum()) <= waiting and fleet.vector() < before:
            yield True
            return
        idle = 0 if search.run(steps) else idle + 1
        if search.best < before:
            search.finish()
            yield True
            return
        yield False
    fleet.undo(start)


def least_cost(fleet: Fleet) -> int:
    """Return what hosts cost at least that hold the VMs of this answer: of each resource the VMs take some amount
    wherever they are, and the hosts that have most of it for their cost have only so much.
    """
    tables, problem = fleet.tables, fleet.tables.problem
    held = problem.demand() - fleet.out
    step = math.gcd(*tables.opening.tolist())
    names = [[name for _, name in shape.row_names] for shape in problem.shapes]
    least = 0
    for name in sorted({name for own in names for name in own}):
        taken = np.full(len(held), np.iinfo(np.int64).max)
        room = np.zeros(tables.hosts, dtype=np.int64)
        for number, (own, shape) in enumerate(zip(names, problem.shapes, strict=True)):
            rows = [row for row, one in enumerate(own) if one == name]
            np.minimum.at(taken, shape.flavor, shape.use[:, rows].sum(axis=1))
            there = tables.shape == number
            room[there] = tables.capacity[there][:, rows].sum(axis=1)
        known = (held > 0) & (taken < np.iinfo(np.int64).max)
        least = max(least, _covered(int(held[known] @ taken[known]), room, tables.opening))
    return -(-least // step) * step if step else 0


def _covered(amount: int, room: IntArray, cost: IntArray) -> int:
    """Return the least cost, rounded up, of shares of hosts that have room for an amount."""
    total, left = Fraction(), amount
    usable = np.flatnonzero(room > 0)
    for host in usable[np.argsort(cost[usable] / room[usable], kind="stable")].tolist():
        if left <= 0:
            break
        total += Fraction(int(cost[host]) * min(left, int(room[host])), int(room[host]))
        left -= int(room[host])
    return math.ceil(total)


def by_content(fleet: Fleet, rng: np.random.Generator) -> list[int]:
    """Return the hosts in use that cost anything, those that hold least first, a little shuffled."""
    tables = fleet.tables
    used = np.flatnonzero((fleet.vms > 0) & (tables.opening > 0))
    share = ((tables.capacity - fleet.room)[used] * tables.scale[used]).sum(axis=1)
    order = np.argsort(share * rng.uniform(0.8, 1.2, size=len(used)) / tables.opening[used], kind="stable")
    return [int(host) for host in used[order]]


def by_moves(fleet: Fleet) -> list[int]:
    """Return the hosts in use that cost anything, those first that are emptied with the fewest moves for what they
    cost.
    """
    opening = fleet.tables.opening
    used = np.flatnonzero((fleet.vms > 0) & (opening > 0))
    return [int(host) for host in used[np.argsort(fleet.vms[used] / opening[used], kind="stable")]]


def _clear(fleet: Fleet, host: int) -> bool:
    """Take all VMs off a host: those that arrive are left out for now, others go where there is room at once."""
    flavors = fleet.tables.problem.flavors
    for place, many in list(fleet.held[host].items()):
        flavor = int(fleet.tables.flavor[place])
        if fleet.frozen[flavor]:
            return False
        homes = fleet.homes.get(flavor)
        for _ in range(many):
            fleet.remove(host, place)
            if homes is None and fleet.out[flavor] < flavors[flavor].arriving:
                fleet.leave_out(flavor)
                continue
            found = best_place(fleet, flavor, avoid=host)
            if found is None:
                return False
            fleet.add(found[1], found[2])
    return True
