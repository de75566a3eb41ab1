"""Each VM to the place that suits it best, in many orders and by many measures at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from solvers.improve.fleet import Fleet
from solvers.problem import IntArray
from solvers.starts.lines import Lines, least
from solvers.starts.measures import Floats, Measure, cosine, distance, dot, host_ranks, orders, roomy, tight

FEWEST, BLOCK = 12, 16_384
"""Heuristics that are tried at once, and numbers that they look at in a step: so many stay near the processor."""
LOOK = 16
"""Steps after which it is seen whether the time is up or somebody wants to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of heuristic, whatever the order of VMs: the cheapest places first or not, and which suits best."""

    measure: Measure | None
    rank: Floats | None = None
    by_host: bool = True
    """Whether all rows of the host are looked at, rather than those that the VM takes of."""
    own_shares: bool = True
    """Whether shares are of the host itself, rather than of the largest."""
    cheapest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """All places of W flavors, M of each: hosts and placements (W, M), and which of them there are."""

    flavors: IntArray
    hosts: IntArray
    places: IntArray
    there: NDArray[np.bool_]


def vms_in_turn(fleet: Fleet, most: int, is_over: Callable[[], bool]) -> Iterator[Lines]:
    """Yield the answers of at most so many heuristics that place VM by VM, some at a time."""
    waiting = np.array([f for f in np.flatnonzero(fleet.out).tolist() if not fleet.frozen[f]], dtype=np.int64)
    places = _places(fleet, waiting)
    sequences = orders(fleet, waiting)
    kinds = _kinds(fleet, places)
    # The first of each are the best bet: those go first where there is no time for all.
    pairs = sorted(product(range(len(kinds)), range(len(sequences))), key=lambda pair: (sum(pair), pair))[:most]
    pairs.sort()
    each = max(FEWEST, BLOCK // (places.hosts.shape[1] * fleet.tables.use.shape[1]))
    for first in range(0, len(pairs), each):
        if is_over():
            return
        some = pairs[first : first + each]
        numbers = [kind for kind, _ in some]
        blocks = [(kinds[n], numbers.index(n), len(numbers) - numbers[::-1].index(n)) for n in sorted(set(numbers))]
        yield _placed(fleet, places, blocks, np.array([sequences[n] for _, n in some]), is_over)


def _placed(
    fleet: Fleet, places: _Places, blocks: list[tuple[_Kind, int, int]], sequence: IntArray, is_over: Callable[[], bool]
) -> Lines:
    """Return the answers of heuristics in blocks of a kind (kind, first, end), each with its order of VMs (C, N)."""
    tables = fleet.tables
    lines = Lines.of(fleet, len(sequence))
    largest = np.broadcast_to(1.0 / np.maximum(1, tables.capacity.max(axis=0)), tables.scale.shape)
    scale = (np.ascontiguousarray(tables.scale.T), np.ascontiguousarray(largest.T))
    cheapest = np.array([kind.cheapest for kind, first, end in blocks for _ in range(first, end)])[:, None]
    costs = _costs_differ(fleet, places)
    line = np.arange(len(sequence))[:, None]
    for step in range(sequence.shape[1]):
        if step % LOOK == 0 and is_over():
            break
        which = sequence[:, step]
        hosts, where = places.hosts[which], places.places[which]
        room, use = lines.room[:, line, hosts], lines.use[:, where]
        able = places.there[which] & (room >= use).all(axis=0)
        keep = np.flatnonzero(able.any(axis=1))
        if not len(keep):
            continue
        score = np.zeros(able.shape)
        for kind, first, end in blocks:
            score[first:end] = _score(kind, hosts[first:end], use[:, first:end], room[:, first:end], scale)
        cost = lines.cost(line, hosts, where) if costs else None
        chosen = able if cost is None else np.where(cheapest, least(able, cost), able)
        score = np.where(chosen, score, np.inf)
        chosen = chosen & (score == score.min(axis=1, keepdims=True))
        if cost is not None:
            chosen = least(chosen, cost)
        at = chosen[keep].argmax(axis=1)
        lines.put(keep, hosts[keep, at], where[keep, at])
    return lines


def _score(kind: _Kind, hosts: IntArray, use: IntArray, room: IntArray, scale: tuple[Floats, Floats]) -> Floats:
    if kind.measure is None:
        assert kind.rank is not None
        return kind.rank[hosts]
    share = scale[0 if kind.own_shares else 1][:, hosts]
    if not kind.by_host:
        share = np.where(use > 0, share, 0.0)
    return kind.measure(use * share, room * share)


def _kinds(fleet: Fleet, places: _Places) -> list[_Kind]:
    """Return the kinds of heuristics that are not all the same on these hosts, the better bet first."""
    tables = fleet.tables
    differ = bool((tables.capacity != tables.capacity[:1]).any())
    partly = bool((tables.use[places.places[places.there]] == 0).any())
    kinds = [
        _Kind(measure=measure, by_host=by_host, own_shares=own, cheapest=cheapest)
        for cheapest in ((True, False) if _costs_differ(fleet, places) else (True,))
        for own in ((True, False) if differ else (True,))
        for by_host in ((True, False) if partly else (True,))
        for measure in (cosine, tight, distance, dot, roomy)
    ]
    for cheapest in (True, False) if _costs_differ(fleet, places) else (True,):
        kinds[4:4] = [_Kind(measure=None, rank=rank, cheapest=cheapest) for rank in host_ranks(fleet)]
    return kinds


def _costs_differ(fleet: Fleet, places: _Places) -> bool:
    """Tell whether places of a flavor may cost more than others of it."""
    tables = fleet.tables
    if tables.convex or tables.penalty is not None or any(one.host_cost for one in tables.problem.objectives):
        return True
    cost = tables.cost[places.places]
    return bool(((cost != cost[:, :1]).any(axis=2) & places.there).any())


def _places(fleet: Fleet, flavors: IntArray) -> _Places:
    """Return the places of flavors; those that hold only so many VMs (`HostClass.at_most`) are left away."""
    tables = fleet.tables
    listed = [tables.places(flavor) for flavor in flavors.tolist()]
    most = max(1, *(len(hosts) for hosts, _ in listed))
    hosts, places = np.zeros((2, len(flavors), most), dtype=np.int64)
    there = np.zeros((len(flavors), most), dtype=np.bool_)
    for n, (own_hosts, own_places) in enumerate(listed):
        order = np.argsort(own_hosts, kind="stable")
        hosts[n, : len(order)], places[n, : len(order)] = own_hosts[order], own_places[order]
        there[n, : len(order)] = True
    for number in np.flatnonzero(tables.limited).tolist():
        first = int(tables.first[tables.problem.classes[number].shape])
        named = [first + place for place in tables.problem.classes[number].at_most]
        there &= ~((tables.host_class[hosts] == number) & np.isin(places, named))
    return _Places(flavors=flavors, hosts=hosts, places=places, there=there)
