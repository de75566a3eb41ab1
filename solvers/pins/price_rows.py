"""Rows that whatever can be pinned on a node keeps: prices of its cores, where no linear rows say just what fits.

Counts that keep them may still not fit; so they prove bounds, and an answer under them is one once it is pinned.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.pins.cpu_rows import WHOLE, CoreKind, CoreRoom, CpuPolicy, CpuRow, NodeRows, WholeDemand
from solvers.pins.node_rows import KINDS, none_of

IntArray = NDArray[np.int64]

BESIDE = "shared beside dedicated"
MOST_CLASSES, MOST_ROWS = 2, 1500
"""Of how many classes of cores each has prices of its own, and how many rows are looked at for one node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a core of a class costs: `whole` where one item takes it, `thread` for each thread of one that none does.

    The class are its `width`, its `room` in threads for dedicated vCPUs, and whether it is `slow`; `many` of it can be
    taken whole.
    """

    slow: bool
    width: int
    room: int
    many: int
    whole: int
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow(CpuRow):
    """A row in which each item takes what the cheapest cores for it cost.

    `prices` are those of cores that can be taken whole; `threads` what a loose thread costs at least, by kind of core;
    `beyond` is what an item takes that the node cannot hold even alone: more than there is.
    """

    prices: tuple[Price, ...] = ()
    threads: tuple[tuple[CoreKind, int], ...] = ()
    beyond: int = 0

    def demand(self, policy: CpuPolicy, vcpus: int, kind: CoreKind = "any") -> int:
        """Return the least that cores for an item of `vcpus` vCPUs cost."""
        if policy not in WHOLE:
            return vcpus * dict(self.threads).get(kind, 0)
        own = tuple(one for one in self.prices if kind == "any" or one.slow is (kind == "efficiency"))
        if not vcpus:
            return 0
        if policy == "isolate":
            return vcpus * min((one.whole for one in own), default=self.beyond)
        least = _filled(own, vcpus)
        return self.beyond if least is None else least


@lru_cache(maxsize=4096)
def _filled(prices: tuple[Price, ...], vcpus: int) -> int | None:
    """Return what cores cost at least that an item fills, one of them perhaps in part; None where it fits none."""
    found = [_full(prices, vcpus)[vcpus]]
    for number, one in enumerate(prices):
        others = (*prices[:number], replace(one, many=one.many - 1), *prices[number + 1 :])
        full = _full(others, vcpus)
        found += [full[vcpus - rest] + one.whole for rest in range(1, min(one.room, one.width - 1, vcpus) + 1)]
    least = min(found)
    return None if math.isinf(least) else int(least)


def _full(prices: Sequence[Price], vcpus: int) -> list[float]:
    """Return what cores cost at least of which an item fills just as many threads, for every number up to `vcpus`."""
    least = [0.0, *[math.inf] * vcpus]
    for one in prices:
        if one.room == one.width:
            least = [
                min(least[n - k * one.width] + k * one.whole for k in range(min(one.many, n // one.width) + 1))
                for n in range(vcpus + 1)
            ]
    return least


def rows_by_prices(
    cores: Sequence[CoreRoom], whole: WholeDemand, *, floating: int = 0, shared: bool = False
) -> NodeRows:
    """Return rows that all counts keep which can be pinned on a node. They prove bounds like exact ones.

    Let a core cost what one item pays that takes it whole, or so much a thread, and a CPU to float over 0 or 1. Items
    have no core in common, so together they pay no more than the node is worth, where each core counts for what can be
    had for it at most: whole, or by thread beside what is left to float over. An item pays at least what the cheapest
    cores for it cost, so that is what it takes of the row, and the worth of the node is what the row has.

    Parameters
    ----------
    cores, whole, floating, shared : as `solvers.pins.node_rows.node_cpu_rows` has them.
    """
    return _rows(tuple(cores), whole, floating, shared)


@lru_cache(maxsize=1024)
def _rows(cores: tuple[CoreRoom, ...], whole: WholeDemand, floating: int, shared: bool) -> NodeRows:
    asked = _asked(whole)
    found = {}
    for z in (1, 0) if shared else (0,):
        for number, prices in enumerate(itertools.islice(_tables(cores, z), MOST_ROWS)):
            row = _priced(cores, prices, z, floating, f"{BESIDE if z else _name(prices)} by prices {number}")
            taken = [row.demand(*item) for item in asked]
            if any(taken):
                # Units of all items are multiples of this: what is above a multiple is of no use to them.
                least = 1 if z else math.gcd(*(units for units in taken if units <= row.capacity)) or 1
                row = replace(row, capacity=row.capacity - row.capacity % least)
                found[row] = (z, *taken)
    there = {core.slow for core in cores if core.pinned}
    lacking = [kind for kind, slow in KINDS if kind in whole.kinds and slow not in there]
    every = floating + sum(core.floats for core in cores)
    plain = [CpuRow(name="shared vCPUs", capacity=every, shared=True)] if shared else []
    return NodeRows(rows=(*plain, *_telling(found), *map(none_of, lacking)), exact=True)


def _name(prices: Sequence[Price]) -> str:
    return "threads" if any(one.thread for one in prices) else "whole cores"


def _asked(whole: WholeDemand) -> list[tuple[CpuPolicy, int, CoreKind]]:
    """Return one item of each sort that is asked for: what others take is a multiple of one."""
    kinds: list[CoreKind] = ["any", *sorted(whole.kinds)]
    out: list[tuple[CpuPolicy, int, CoreKind]] = [("prefer", 1, kind) for kind in kinds]
    out += [("isolate", 1, kind) for kind in kinds if whole.isolate]
    return out + [("require", many, kind) for many in sorted(whole.filling) for kind in kinds]


def _tables(cores: Sequence[CoreRoom], z: int) -> Iterator[tuple[Price, ...]]:
    """Yield prices of all classes of cores. Where there are many all have the same, or those of one kind none."""
    many = Counter((core.slow, core.width, core.pinned) for core in cores if core.pinned and core.whole)
    classes = sorted({(core.slow, core.width, core.pinned) for core in cores if core.pinned})
    top = max((core.width for core in cores), default=1)
    if len(classes) <= MOST_CLASSES:
        yield from itertools.product(*(_of_class(*one, many[one], top) for one in classes))
        return
    kinds = {slow for slow, _, _ in classes}
    for counted in {frozenset(kinds), *(frozenset({slow}) for slow in kinds)}:
        for thread, least in itertools.product((0, 1), range(top + 1)):
            yield tuple(
                Price(
                    slow=slow,
                    width=width,
                    room=room,
                    many=many[slow, width, room],
                    whole=max(thread * room, least) if slow in counted else 0,
                    thread=thread if slow in counted else 0,
                )
                for slow, width, room in classes
            )


def _of_class(slow: bool, width: int, room: int, many: int, top: int) -> Iterator[Price]:
    """Yield prices of cores: one that is taken whole costs what all of its threads do at least, or it could cost more
    for nothing.
    """
    steps = sorted({0, 1, 2, 3, top, 2 * top, 3 * top, top * top})
    for thread in sorted({0, 1, 2, top}):
        for whole in steps:
            if whole >= thread * room and (room > 1 or whole == thread):
                yield Price(slow=slow, width=width, room=room, many=many, whole=whole, thread=thread)


def _priced(cores: Sequence[CoreRoom], prices: tuple[Price, ...], z: int, floating: int, name: str) -> PriceRow:
    """Return the row of prices; a CPU to float over costs `z`."""
    of = {(one.slow, one.width, one.room): one for one in prices}
    worth = z * floating
    for core in cores:
        one = of.get((core.slow, core.width, core.pinned))
        thread = 0 if one is None else one.thread
        loose = [
            many * thread + z * (core.floats - max(0, many - core.dedicated))
            for many in (0, min(core.dedicated, core.pinned), core.pinned)
        ]
        worth += max(*loose, one.whole if one is not None and core.whole else 0)
    threads: list[tuple[CoreKind, int]] = []
    for kind, slows in (("any", (False, True)), *((kind, (slow,)) for kind, slow in KINDS)):
        own = [one.thread for one in prices if one.slow in slows]
        threads.append((kind, min(own, default=0)))
    return PriceRow(
        name=name,
        capacity=worth,
        width=max((core.width for core in cores), default=1),
        core=max((one.whole for one in prices), default=0),
        loose=max((one.thread for one in prices), default=0),
        shared=bool(z),
        prices=tuple(one for one in prices if one.many),
        threads=tuple(threads),
        beyond=worth + 1,
    )


def _telling(found: Mapping[PriceRow, Sequence[int]]) -> list[PriceRow]:
    """Return the rows that do not follow from one other row each."""
    kept: list[tuple[PriceRow, IntArray]] = []
    for row, taken in sorted(found.items(), key=lambda one: (-sum(map(bool, one[1])), one[0].name)):
        units = np.array(taken)
        if any(_follows(units, row.capacity, others, one.capacity) for one, others in kept):
            continue
        kept = [(one, others) for one, others in kept if not _follows(others, one.capacity, units, row.capacity)]
        kept.append((row, units))
    return [row for row, _ in kept]


def _follows(units: IntArray, room: int, others: IntArray, its: int) -> bool:
    """Tell whether what keeps a row of these units and this room keeps this one."""
    if not its:
        return bool((others[units > 0] > 0).all())
    return bool((units * its <= others * room).all())
