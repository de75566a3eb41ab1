"""First answers by many simple heuristics at once: each VM to the place whose room suits it best, by several measures.

The measures are those of Panigrahy and others, "Heuristics for Vector Bin Packing", 2011, and of Gabay and Zaourar,
"Vector bin packing with heterogeneous bins", 2016: what a VM takes and what is free are vectors of shares of the host.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from solvers.evaluate import violations
from solvers.improve.fleet import Fleet
from solvers.improve.relocate import least_rows
from solvers.improve.tables import tables_of
from solvers.problem import Problem
from solvers.result import Interrupt, Result
from solvers.starts.best_fit import hosts_used, rows_of

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
"""Of shares (M, K) that a VM takes and that are free: how badly the places suit it, (M,)."""


def tight(take: Floats, free: Floats) -> Floats:
    """Best fit: the room that is left in the end, in all."""
    return np.asarray((free - take).sum(axis=1))


def dot(take: Floats, free: Floats) -> Floats:
    """Dot product: much is free of what the VM takes much of."""
    return np.asarray(-(take * free).sum(axis=1))


def cosine(take: Floats, free: Floats) -> Floats:
    """Alignment: what is free has the proportions of the VM."""
    length = np.sqrt((take * take).sum(axis=1) * (free * free).sum(axis=1))
    return np.asarray(-(take * free).sum(axis=1) / np.maximum(1e-12, length))


def distance(take: Floats, free: Floats) -> Floats:
    """L2: the room that is left in the end, squared, so that no resource is left much of."""
    return np.asarray(((free - take) ** 2).sum(axis=1))


MEASURES: tuple[Measure, ...] = (cosine, tight, distance, dot)

MOST_VMS, MOST_WORK = 1_500, 20_000_000
"""Above so many VMs, or VMs x places x rows, the family is not tried: it would take more than a few seconds."""
FEW_ALIKE = 3
"""VMs of a flavor, on average, from which on best fit by flavors does as well."""


def best_of_family(problem: Problem, first: Result, interrupt: Interrupt | None = None) -> Result:
    """Return the best answer, in the order of objectives, of all heuristics and the first one.

    What is on the hosts stays there; only what arrives is placed, and the first answer is taken where that is too much
    work.
    """
    tables = tables_of(problem) if first.patterns and _worth_it(problem, first) else None
    if tables is None:
        return first
    fleet = Fleet.of(tables, first.patterns, first.unplaced)
    best, value = first, fleet.vector()
    take_out_arrivals(fleet)
    if not fleet.out.any() or _work(fleet) > MOST_WORK:
        return first
    for order in orders(fleet):
        for measure in MEASURES:
            if interrupt is not None and interrupt.requested:
                return best
            mark = len(fleet.journal)
            place_each(fleet, order, measure)
            if fleet.vector() < value and fleet.within_budget():
                patterns, unplaced = fleet.answer()
                if not violations(problem, patterns, unplaced):
                    best = Result(
                        status="feasible",
                        objectives=rows_of(problem, fleet.vector()),
                        patterns=patterns,
                        unplaced=unplaced,
                        engine=first.engine,
                    )
                    value = fleet.vector()
            fleet.undo(mark)
    return best


def take_out_arrivals(fleet: Fleet) -> None:
    """Take VMs that arrive off their hosts again: those at places where none of their flavor was before."""
    flavors = fleet.tables.problem.flavors
    for host, held in enumerate(fleet.held):
        for place, many in list(held.items()):
            flavor = int(fleet.tables.flavor[place])
            homes = fleet.homes.get(flavor)
            if fleet.frozen[flavor] or (homes is not None and host in homes.hosts):
                continue
            for _ in range(min(many, flavors[flavor].arriving - int(fleet.out[flavor]))):
                fleet.remove(host, place)
                fleet.leave_out(flavor)


def place_each(fleet: Fleet, order: list[int], measure: Measure) -> None:
    """Put VMs that are left out on hosts one after the other: where they cost least, and there where it suits best."""
    scale = fleet.tables.scale
    for flavor in order:
        hosts, places = fleet.open_places(flavor)
        if not len(hosts):
            continue
        value, _, _ = fleet.price(flavor, hosts, places, 1)
        chosen = least_rows(value)
        if len(chosen) > 1:
            hosts, places = hosts[chosen], places[chosen]
            share = scale[hosts]
            suits = measure(fleet.tables.use[places] * share, fleet.room[hosts] * share)
            chosen = np.array([int(np.argmin(suits))])
        fleet.take_in(flavor)
        fleet.add(int(hosts[chosen[0]]), int(places[chosen[0]]))


def orders(fleet: Fleet) -> list[list[int]]:
    """Return orders of the VMs that are left out, the largest first: by sum of shares, by scarce resources, by most."""
    share = shares(fleet)
    waiting = [flavor for flavor in np.flatnonzero(fleet.out).tolist() if not fleet.frozen[flavor]]
    wanted = (share[waiting] * fleet.out[waiting][:, None]).sum(axis=0)
    sizes = (share.sum(axis=1), share @ wanted, share.max(axis=1, initial=0.0))
    flavors = fleet.tables.problem.flavors
    found = []
    for size in sizes:
        ranked = sorted(waiting, key=lambda f: (-flavors[f].priority, -float(size[f]), f))
        found.append([f for f in ranked for _ in range(int(fleet.out[f]))])
    return found


def shares(fleet: Fleet) -> Floats:
    """Return (F, K): what a VM takes of the rows, on average over its placements, as shares of all that there is."""
    tables = fleet.tables
    whole = np.maximum(1, tables.capacity.sum(axis=0)).astype(np.float64)
    count = np.maximum(1, np.diff(tables.flavor_ptr))[:, None]
    out = np.zeros((len(tables.problem.flavors), tables.use.shape[1]))
    np.add.at(out, tables.flavor, tables.use.astype(np.float64))
    return np.asarray(out / count / whole)


def _worth_it(problem: Problem, first: Result) -> bool:
    """Tell whether another order or measure could matter: VMs are left out, or few are alike and hosts are counted."""
    arriving = sum(flavor.arriving for flavor in problem.flavors)
    fewest = hosts_used(first) > 1 and any(objective.host_cost for objective in problem.objectives)
    worth = any(first.unplaced) or (fewest and 0 < arriving < FEW_ALIKE * len(problem.flavors))
    return worth and arriving <= MOST_VMS


def _work(fleet: Fleet) -> int:
    tables = fleet.tables
    return sum(
        int(fleet.out[f]) * len(tables.places(f)[0]) * tables.use.shape[1] for f in np.flatnonzero(fleet.out).tolist()
    )
