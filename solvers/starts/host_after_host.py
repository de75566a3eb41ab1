"""One host after the other is filled with the VMs that suit best what is still free there, by many measures at once.

The bin-centred heuristics of Panigrahy and others, "Heuristics for Vector Bin Packing", 2011: where several resources
run short at different places they waste less than looking at one VM and all hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.problem import BoolArray, IntArray
from solvers.starts.lines import Lines, least
from solvers.starts.measures import Floats, Measure, cosine, distance, dot, host_ranks, large, shares

MEASURES: tuple[Measure, ...] = (cosine, dot, distance, large)
LOOK = 16
"""Steps after which it is seen whether the time is up or somebody wants to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    measure: Measure
    rank: Floats
    """(H,) the order of hosts."""
    by_demand: bool
    """Whether rows weigh as much as the VMs that are left want of them."""


def hosts_in_turn(fleet: Fleet, most: int, is_over: Callable[[], bool]) -> Iterator[Lines]:
    """Yield the answers of at most so many heuristics that fill host after host.

    Every host is filled with what costs least of its flavor there, and in a second turn with anything.
    """
    tables = fleet.tables
    kinds = [
        _Kind(measure=measure, rank=rank, by_demand=by_demand)
        for rank, by_demand, measure in product(host_ranks(fleet), (False, True), (cosine, dot, distance, large))
    ][:most]
    kinds.sort(key=lambda kind: MEASURES.index(kind.measure))
    ends = np.searchsorted([MEASURES.index(kind.measure) for kind in kinds], np.arange(len(MEASURES) + 1))
    by_demand = np.array([kind.by_demand for kind in kinds])
    turn = np.array([np.argsort(kind.rank, kind="stable") for kind in kinds])
    listed, cheap = _listed(fleet)
    lines = Lines.of(fleet, len(kinds))
    left = np.repeat(np.where(fleet.frozen, 0, fleet.out)[None], len(kinds), axis=0)
    share, shares_of = shares(fleet), tables.scale.T
    wanted = left.astype(np.float64) @ share
    # Who fits nowhere is waited for by no host: all of them would be asked twice.
    left[:, ~_fits_somewhere(fleet, lines)] = 0
    priority = _priority(fleet)
    at = np.zeros(len(kinds), dtype=np.int64)
    line = np.arange(len(kinds))
    steps = 0
    hosts_twice = 2 * tables.hosts
    while (busy := np.flatnonzero((at < hosts_twice) & left.any(axis=1))).size:
        if steps % LOOK == 0 and is_over():
            break
        steps += 1
        host = turn[line, np.minimum(at, hosts_twice - 1) % tables.hosts]
        where = listed[tables.shape[host]]
        flavor = tables.flavor[where]
        room, use = lines.room[:, line, host], lines.use[:, where]
        able = (where >= 0) & (left[line[:, None], flavor] > 0) & (room[:, :, None] >= use).all(axis=0)
        able &= cheap[where] | (at >= tables.hosts)[:, None]
        if tables.allowed is not None:
            able &= tables.allowed[tables.host_class[host][:, None], flavor]
        able &= (at < hosts_twice)[:, None]
        found = able.any(axis=1)
        at[busy] += ~found[busy]
        keep = np.flatnonzero(found)
        if not len(keep):
            continue
        scale = np.where(by_demand[:, None], np.sqrt(np.maximum(wanted, 0.0)), 1.0).T * shares_of[:, host]
        take, free = use * scale[..., None], np.broadcast_to((room * scale)[..., None], use.shape)
        score = np.zeros(able.shape)
        for measure, first, last in zip(MEASURES, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            if first < last:
                score[first:last] = measure(take[:, first:last], free[:, first:last])
        chosen = least(able, priority[flavor][None]) if priority.any() else able
        best = np.where(chosen, score, np.inf)[keep].argmin(axis=1)
        gone = flavor[keep, best]
        lines.put(keep, host[keep], where[keep, best])
        left[keep, gone] -= 1
        wanted[keep] -= share[gone]
    yield lines


def _fits_somewhere(fleet: Fleet, lines: Lines) -> BoolArray:
    """Return (F,) whether a flavor has a placement that takes no more of any row than the emptiest hosts have of it."""
    tables = fleet.tables
    room = lines.room[:, 0]
    most = np.full((len(tables.problem.shapes), len(room)), -1, dtype=room.dtype)
    np.maximum.at(most, tables.shape, room.T)
    able = (most[tables.shape_of] >= lines.use.T).all(axis=1)
    out = np.zeros(len(fleet.out), dtype=np.bool_)
    out[tables.flavor[able]] = True
    return out


def _priority(fleet: Fleet) -> IntArray:
    priority = np.array([flavor.priority for flavor in fleet.tables.problem.flavors], dtype=np.int64)
    return np.asarray(priority.max(initial=0) - priority)


def _listed(fleet: Fleet) -> tuple[IntArray, BoolArray]:
    """Return (S, Q) the placements of VMs that wait in each shape, -1 where there are fewer, and (P,) which placements
    cost least of their flavor in their shape.
    """
    tables = fleet.tables
    open_ = ~tables.stay_only & (fleet.out > 0)[tables.flavor] & ~fleet.frozen[tables.flavor]
    own = [np.flatnonzero(open_ & (tables.shape_of == shape)) for shape in range(len(tables.problem.shapes))]
    listed = np.full((len(own), max(1, *(len(places) for places in own))), -1, dtype=np.int64)
    cheap = np.zeros(len(tables.flavor), dtype=np.bool_)
    for shape, places in enumerate(own):
        listed[shape, : len(places)] = places
        order = places[np.lexsort([*tables.cost[places].T[::-1], tables.flavor[places]])]
        first = np.flatnonzero(np.diff(tables.flavor[order], prepend=-1))
        lowest = np.repeat(order[first], np.diff(np.append(first, len(order))))
        cheap[order] = (tables.cost[order] == tables.cost[lowest]).all(axis=1)
    return listed, cheap
