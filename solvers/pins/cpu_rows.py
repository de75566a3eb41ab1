"""The CPU rows of a NUMA node: linear rows such that counts which fit them can always be pinned.

The compiler takes the rows as capacity rows of a shape, the pinning engine relies on them: one definition for both. A
*core* is a tuple (width, free): how many threads it has, and how many of them nobody holds; it is *whole* when all are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CpuPolicy = Literal["prefer", "isolate", "require", "extra"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRow:
    """One row: what each policy takes of `capacity`.

    Attributes
    ----------
    name : ``threads``, ``whole cores`` and their like, for messages; the names of a node depend on its widths only.
    capacity : units there are when nothing movable is placed.
    width : threads of the cores that `require` takes, t.
    isolate : units per vCPU of an isolate item.
    require_whole : units per core of a require item, which takes ⌈n / t⌉ cores.
    prefer : units per vCPU of a prefer item.
    extra : units per emulator CPU (a thread of its own on any core).
    """

    name: str
    capacity: int
    width: int
    isolate: int
    require_whole: int
    prefer: int
    extra: int

    def demand(self, policy: CpuPolicy, vcpus: int) -> int:
        """Return the units that an item of `vcpus` vCPUs takes: the rounding up to whole cores is per item."""
        match policy:
            case "isolate":
                return self.isolate * vcpus
            case "require":
                return self.require_whole * -(-vcpus // self.width)
            case "prefer":
                return self.prefer * vcpus
            case "extra":
                return self.extra * vcpus


def main_width(widths: Sequence[int]) -> int:
    """Return the width t > 1 that has most threads among cores of these widths (a tie: the wider), 1 if there is none.

    `require` is served by whole cores of this width only. Cores of yet another width above 1 (a core of which some
    threads are offline) serve as loose threads: that wastes them for `isolate`, and keeps the rows sufficient.
    """
    threads = Counter(width for width in widths if width > 1)
    return max(threads, key=lambda width: (width * threads[width], width), default=1)


def node_cpu_rows(cores: Sequence[tuple[int, int]]) -> tuple[CpuRow, ...]:
    """Return the rows of a node whose cores are given as (width, free threads).

    With W_1 and W_t whole cores of one thread and of t threads, T free threads in all, i vCPUs of isolate items,
    r = Σ ⌈n / t⌉ over require items and p = vCPUs of prefer items plus emulator CPUs, counts can be pinned iff::

        r <= W_t        i + r <= W_1 + W_t        i + t r + p <= T        t i + t r + p <= T + (t - 1) W_1

    (isolate takes the narrow cores first, which waste nothing: i + (t - 1) max(0, i - W_1) threads; what is left of the
    whole cores, and every half-taken core, is filled thread by thread). With one width only the rows that say something
    are kept: two for t > 1, one for t = 1. Which rows there are depends on the widths alone, not on what is free, so
    hosts of one shape have the same rows whatever they hold.

    Raises
    ------
    ValueError
        If a core has less than one thread, or more free threads than it has.
    """
    for width, free in cores:
        if width < 1 or not 0 <= free <= width:
            raise ValueError(f"a core of {width} threads cannot have {free} free")
    widths = [width for width, _ in cores]
    t = main_width(widths)
    total = sum(free for _, free in cores)
    whole = sum(1 for width, free in cores if width == t and free == t)

    def row(name: str, capacity: int, isolate: int, require_whole: int, loose: int = 1) -> CpuRow:
        return CpuRow(
            name=name,
            capacity=capacity,
            width=t,
            isolate=isolate,
            require_whole=require_whole,
            prefer=loose,
            extra=loose,
        )

    if t == 1:
        return (row("threads", total, 1, 1),)
    if 1 not in widths:
        return (row("whole cores", whole, 1, 1, loose=0), row("threads", total, t, t))
    narrow = sum(1 for width, free in cores if width == 1 and free == 1)
    return (
        row("whole wide cores", whole, 0, 1, loose=0),
        row("whole cores", narrow + whole, 1, 1, loose=0),
        row("free threads", total, 1, t),
        row("threads", total + (t - 1) * narrow, t, t),
    )


def fits(rows: Sequence[CpuRow], items: Sequence[tuple[CpuPolicy, int]]) -> bool:
    """Tell whether the items, (policy, vCPUs) each, fit all rows."""
    return all(sum(row.demand(policy, vcpus) for policy, vcpus in items) <= row.capacity for row in rows)
