"""Hosts that VMs fill to the brim: on a few hosts with room for what is left out, all of it is placed anew at once.

Where VMs fill hosts but for next to nothing, exchanging one for another never finds what belongs together. How much
may stay free is known: what the hosts have less what all VMs take that shall be there. So of every host the sets of
VMs that leave a few times its share of that are listed (`solvers.starts.fillings`), and CP-SAT chooses one a host such
that every VM is in one of them. Hosts may all differ, and so may VMs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_model
from solvers.clock import Clock, CutOffError
from solvers.improve.exchange import movable_arrivals
from solvers.improve.fleet import Fleet
from solvers.problem import IntArray, Problem
from solvers.result import Result
from solvers.starts.best_fit import better
from solvers.starts.fillings import Fillings, least_waste
from solvers.starts.plain_fleets import is_tight, plain_fleet

WIDE, NARROW = 40, 10
"""Hosts that are placed anew at a time: all hosts of a small fleet, or a few of any fleet."""
MOST_VMS = 400
"""Above so many VMs on them there are too many pairs."""
GENEROUS = 4
"""How many times its share of what may stay free one host may leave."""
LOOKS, LOOKS_EACH = 150_000_000, 20_000_000
"""Pairs and VMs that are looked at in all, and for one host."""
SETS = 1_000
"""Sets of a host to choose from, those that leave least."""
EFFORT = 12.0
"""Deterministic seconds of CP-SAT."""


def to_the_brim(problem: Problem, first: Result, *, hosts: int, seed: int, clock: Clock) -> tuple[Result, bool]:
    """Return an answer that places all VMs, or the first one; and whether there was a search.

    hosts : how many are placed anew, those with most room, in an order that `seed` shuffles a little where it is not 0.

    A search that the wall clock cuts off counts as never begun.
    """
    fleet = plain_fleet(problem, first)
    chosen = None if fleet is None else _chosen(fleet, hosts, seed)
    if fleet is None or chosen is None:
        return first, False
    try:
        found = _filled(fleet, chosen, seed, clock)
    except CutOffError:
        return first, False
    return (better(problem, first, fleet) if found else first), True


def _chosen(fleet: Fleet, hosts: int, seed: int) -> IntArray | None:
    """Return the hosts to place anew; None where that is of no use."""
    tables = fleet.tables
    share = (fleet.room * tables.scale).sum(axis=1)
    if seed:
        share = share * np.random.default_rng([seed, 7]).uniform(0.2, 1.0, size=len(share))
    chosen = np.sort(np.argsort(-share, kind="stable")[:hosts])
    own = tables.placements_of
    out = sum(int(many) * tables.use[own(flavor)[0]] for flavor, many in enumerate(fleet.out.tolist()) if many)
    many = int(fleet.vms[chosen].sum() + fleet.out.sum())
    tight = is_tight(fleet.room[chosen].sum(axis=0) - out, tables.capacity[chosen].sum(axis=0))
    return chosen if tight and many <= MOST_VMS else None


def _filled(fleet: Fleet, chosen: IntArray, seed: int, clock: Clock) -> bool:
    """Place all VMs of hosts and what is left out on these hosts anew; return whether that came off."""
    tables = fleet.tables
    closed = np.ones(tables.hosts, dtype=np.bool_)
    closed[chosen] = False
    at, places = movable_arrivals(fleet, closed)
    out = np.repeat(np.arange(len(fleet.out)), fleet.out)
    flavors = np.concatenate([tables.flavor[places], out])
    use = tables.use[[int(tables.placements_of(flavor)[0]) for flavor in flavors.tolist()]]
    spare = tables.capacity[chosen].sum(axis=0) - use.sum(axis=0)
    waste = np.minimum(spare, -(-GENEROUS * spare // len(chosen)) + 1)
    listed: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for host in chosen.tolist():
        capacity = tuple(tables.capacity[host].tolist())
        if capacity not in listed:
            clock.check()
            looks = min(LOOKS_EACH, LOOKS // len(chosen))
            listed[capacity] = _sets(tables.capacity[host], use, flavors, waste, looks)
            if not listed[capacity]:
                return False
    options = [listed[tuple(tables.capacity[host].tolist())] for host in chosen.tolist()]
    picked = _cover(options, np.bincount(flavors, minlength=len(fleet.out)), seed, clock)
    if picked is None:
        return False
    for host, place in zip(at.tolist(), places.tolist(), strict=True):
        fleet.remove(host, place)
    for flavor in out.tolist():
        fleet.take_in(flavor)
    for host, held in zip(chosen.tolist(), picked, strict=True):
        for flavor in held:
            own = tables.placements_of(flavor)
            fleet.add(host, int(own[tables.shape_of[own] == tables.shape[host]][0]))
    return True


def _sets(capacity: IntArray, use: IntArray, flavors: IntArray, waste: IntArray, looks: int) -> list[tuple[int, ...]]:
    """Return sets of flavors that fill a host, those that leave least."""
    best: dict[tuple[int, ...], float] = {}
    for sets in Fillings(capacity=capacity, use=use, waste=waste, looks=looks).list():
        kept, left = least_waste(sets, capacity, use, waste, 2 * SETS)
        for one, total in zip(np.sort(flavors[kept], axis=1).tolist(), left.tolist(), strict=True):
            best[tuple(one)] = total
    return sorted(best, key=lambda one: (best[one], one))[:SETS]


def _cover(
    options: Sequence[list[tuple[int, ...]]], demand: IntArray, seed: int, clock: Clock
) -> list[tuple[int, ...]] | None:
    """Return one of each host's sets such that every VM is in one; None where none is found."""
    model = cp_model.CpModel()
    holds: list[list[cp_model.IntVar]] = [[] for _ in demand]
    variables, sets = [], []
    for own in options:
        chosen = [model.new_bool_var("") for _ in own]
        model.add_exactly_one(chosen)
        for one, held in zip(chosen, own, strict=True):
            for flavor in held:
                holds[flavor].append(one)
        variables += chosen
        sets += own
    for have, many in zip(holds, demand.tolist(), strict=True):
        if len(have) < many:
            return None
        if many:
            model.add(sum(have) == many)
    clock.check()
    answer = run_model(
        model,
        budget=EFFORT,
        seconds=clock.left_s,
        seed=seed,
        linearization=2,
        presolve=False,
        interrupt=clock.interrupt,
    )
    if answer.cut or clock.interrupt.requested:
        raise CutOffError
    if answer.values is None:
        return None
    return [held for held, value in zip(sets, answer.values, strict=False) if value]
