"""The CPU rows of a NUMA node: linear rows such that counts which fit them can always be pinned.

The compiler takes the rows as capacity rows of a shape, the pinning engine relies on them: one definition for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

CpuPolicy = Literal["prefer", "isolate", "require", "pairs", "extra"]
"""`extra` is an emulator thread with a CPU of its own: a thread on any core, as those of `prefer` are."""

CoreKind = Literal["any", "performance", "efficiency"]
"""Which cores the vCPUs of an item may have."""

WHOLE = ("isolate", "require", "pairs")
"""Policies that take whole cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRoom:
    """A core in numbers: its `width` in threads, and how many of them are free for whom.

    `dedicated` are free for dedicated vCPUs only (isolated CPUs, or those of Nova's dedicated set), `both` for
    dedicated vCPUs or to float over, `floating` to float over only. `whole` says that nobody holds a thread of it, so
    that a policy which leaves siblings idle may have it. `slow` marks an efficiency core.
    """

    width: int
    dedicated: int = 0
    both: int = 0
    floating: int = 0
    whole: bool = False
    slow: bool = False

    @property
    def pinned(self) -> int:
        """Threads that dedicated vCPUs may have: those that the core takes of them when it goes to one VM whole."""
        return self.dedicated + self.both

    @property
    def floats(self) -> int:
        """Threads to float over that go when the core goes to one VM whole."""
        return self.both + self.floating


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeDemand:
    """What items ask of cores anywhere: whether any isolates, how many vCPUs those have that fill cores, and which
    kinds of core are asked for; of those that may have any kind whether any isolates, and how many vCPUs those have
    that fill cores; kinds that items without whole cores ask for.
    """

    isolate: bool = False
    filling: frozenset[int] = frozenset()
    kinds: frozenset[CoreKind] = frozenset()
    any_isolates: bool = False
    any_fills: frozenset[int] = frozenset()
    loose: frozenset[CoreKind] = frozenset()

    @property
    def any(self) -> bool:
        """Tell whether there is any such item."""
        return self.isolate or bool(self.filling)

    @property
    def any_whole(self) -> bool:
        """Tell whether an item takes whole cores of any kind."""
        return self.any_isolates or bool(self.any_fills)

    @staticmethod
    def of(items: Iterable[tuple[CpuPolicy, int, CoreKind]]) -> WholeDemand:
        """Return what items, (policy, vCPUs, kind of core) each, ask."""
        asked = {item for item in items if item[1]}
        isolates = {kind for policy, _, kind in asked if policy == "isolate"}
        fills = [(vcpus, kind) for policy, vcpus, kind in asked if policy in ("require", "pairs")]
        return WholeDemand(
            isolate=bool(isolates),
            filling=frozenset(vcpus for vcpus, _ in fills),
            kinds=frozenset(kind for _, _, kind in asked if kind != "any"),
            any_isolates="any" in isolates,
            any_fills=frozenset(vcpus for vcpus, kind in fills if kind == "any"),
            loose=frozenset(kind for policy, _, kind in asked if policy not in WHOLE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRow:
    """One row: what each policy takes of `capacity`.

    Attributes
    ----------
    name : ``threads``, ``whole cores`` and their like, for messages.
    capacity : CPUs or cores there are when nothing movable is placed.
    width : threads of the cores that `require` fills, t.
    isolate : units per vCPU of an isolate item.
    core : units per core of an item that fills cores: ⌈n / t⌉ of them.
    filled : units per vCPU of such an item.
    loose : units per vCPU of a prefer item, and per emulator CPU.
    shared : whether shared vCPUs take of the row, each 1 / overcommit.
    only : the row counts items that ask for this kind of core alone.
    fast, slow : units of a core that an item takes whole and that must be of this kind; `fast_loose` and `slow_loose`
        those per thread of an item that takes none whole. None: as for any core.
    slow_width : threads of efficiency cores that are filled.
    """

    name: str
    capacity: int
    width: int = 1
    isolate: int = 0
    core: int = 0
    filled: int = 0
    loose: int = 0
    shared: bool = False
    only: CoreKind = "any"
    fast: int | None = None
    slow: int | None = None
    fast_loose: int | None = None
    slow_loose: int | None = None
    slow_width: int = 1

    def demand(self, policy: CpuPolicy, vcpus: int, kind: CoreKind = "any") -> int:
        """Return the units that an item of `vcpus` vCPUs takes: the rounding up to whole cores is per item."""
        if self.only not in ("any", kind):
            return 0
        whole = policy in WHOLE
        fast, slow = (self.fast, self.slow) if whole else (self.fast_loose, self.slow_loose)
        own = fast if kind == "performance" else slow if kind == "efficiency" else None
        if own is not None:
            width = 1 if not whole or policy == "isolate" else self.width if kind == "performance" else self.slow_width
            return own * -(-vcpus // width)
        match policy:
            case "isolate":
                return self.isolate * vcpus
            case "require" | "pairs":
                return self.core * -(-vcpus // self.width) + self.filled * vcpus
            case "prefer" | "extra":
                return self.loose * vcpus


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRows:
    """The rows of a node; `exact` says that they also hold for all that can be pinned, so that a bound may rely on
    them.
    """

    rows: tuple[CpuRow, ...]
    exact: bool


def main_width(widths: Sequence[int]) -> int:
    """Return the width t > 1 that has most threads among cores of these widths (a tie: the wider), 1 if none has."""
    threads = Counter(width for width in widths if width > 1)
    return max(threads, key=lambda width: (width * threads[width], width), default=1)


def rows_of_any_kind(
    cores: Sequence[CoreRoom], whole: WholeDemand, *, floating: int = 0, shared: bool = False
) -> NodeRows:
    """Return the rows of a node all of whose items may have cores of any kind.

    Take the whole cores G in the order in which one would give them away, and let d(U), f(U), b(U) be how many CPUs the
    first U of them have for dedicated vCPUs, to float over, and in all. With U cores that policies take whole, P vCPUs
    of prefer items and emulator CPUs, s shared vCPUs and the overcommit r, counts can be pinned iff::

        U <= |G|    d(U) + P <= D    f(U) + s / r <= F    b(U) + P + s / r <= B

    as loose threads take those CPUs first that nobody may float over. One order serves wherever all three sums grow
    along it: they are convex then, and a row a slope says the same. An isolated vCPU takes one core; an item that fills
    cores takes ⌈n / t⌉ where all cores have t threads, and one where it is smaller than any core.

    Where whole cores have one thread or t, and every item fills cores but for a rest of at most one vCPU, such rests
    and isolated vCPUs are the same to a node: on a core of one thread they waste nothing. With n the vCPUs of items
    that fill cores, i isolated ones, and W_1, W_t whole cores, counts can be pinned iff::

        i + Σ ⌈n / t⌉ <= W_1 + W_t        i + Σ n <= W_1 + t W_t
        i + Σ n + P <= D                  t i + t Σ ⌈n / t⌉ + P <= D + (t - 1) W_1

    All else is served by rows that are sufficient and not `exact`: items fill cores of the main width only, and none
    but those and cores of one thread are taken whole.

    Parameters
    ----------
    cores, whole, floating, shared : as `solvers.pins.node_rows.node_cpu_rows` has them.
    """
    node = _Node(cores, whole, floating, shared)
    return node.in_order() or node.one_and_t() or node.sufficient()


class _Node:
    """One node, and the forms its rows may have; a form is None where it does not hold for this node."""

    def __init__(self, cores: Sequence[CoreRoom], whole: WholeDemand, floating: int, shared: bool) -> None:
        self.cores, self.whole, self.shared = cores, whole, shared
        # A core of one thread that is free is whole for a loose thread too: units and threads are the same there.
        self.free = [core for core in cores if core.whole and core.pinned]
        self.width = main_width([core.width for core in self.free or cores])
        self.widest = max((core.width for core in cores), default=1)
        self.pinned = sum(core.pinned for core in cores)
        self.floats = sum(core.floats for core in cores) + floating
        self.either = sum(core.pinned + core.floating for core in cores) + floating
        self.apart = not any(core.both for core in cores)
        """No CPU is for both: Nova's two sets."""
        self.alike = not any(core.dedicated or core.floating for core in cores)
        """Every CPU for dedicated vCPUs is for both."""

    def in_order(self) -> NodeRows | None:
        """Return rows for whole cores that all demands take in one order."""
        if self.widest == 1:
            return self._rows([], 1, exact=True)
        least = min((core.pinned for core in self.free), default=self.widest)
        uniform = all(core.width == core.pinned == self.width for core in self.free)
        if not uniform and any(size > least for size in self.whole.filling):
            return None
        order = sorted(self.free, key=lambda core: (core.pinned, core.floats))
        # In this order the first sum grows; without shared vCPUs no other matters.
        rising = not self.shared or all(
            one.floats <= other.floats and one.pinned + one.floating <= other.pinned + other.floating
            for one, other in pairwise(order)
        )
        if self.whole.any and not rising:
            return None
        return self._rows(order, self.width if uniform else max(least, 1), exact=True)

    def one_and_t(self) -> NodeRows | None:
        """Return rows for whole cores of one thread and of t, filled but for a rest of at most one vCPU."""
        t = self.width
        plain = all(core.pinned == core.width and core.width in (1, t) for core in self.free)
        if not plain or any(size % t > 1 for size in self.whole.filling):
            return None
        if self.shared and not (self.alike or self.apart):
            return None
        narrow = sum(1 for core in self.free if core.width == 1)
        wide = len(self.free) - narrow
        beside = self.shared and self.alike
        rows = [
            CpuRow(name="whole cores", capacity=narrow + wide, width=t, isolate=1, core=1),
            CpuRow(name="threads of whole cores", capacity=narrow + t * wide, width=t, isolate=1, filled=1),
            CpuRow(name="free threads", capacity=self.pinned, width=t, isolate=1, filled=1, loose=1),
            CpuRow(name="threads", capacity=self.pinned + (t - 1) * narrow, width=t, isolate=t, core=t, loose=1),
        ]
        if self.shared:
            rows.append(CpuRow(name="shared vCPUs", capacity=self.floats, shared=True))
        if beside:
            rows += [
                CpuRow(
                    name="shared beside free threads",
                    capacity=self.either,
                    width=t,
                    isolate=1,
                    filled=1,
                    loose=1,
                    shared=True,
                ),
                CpuRow(
                    name="shared beside dedicated",
                    capacity=self.either + (t - 1) * narrow,
                    width=t,
                    isolate=t,
                    core=t,
                    loose=1,
                    shared=True,
                ),
            ]
        return NodeRows(rows=tuple(rows), exact=True)

    def sufficient(self) -> NodeRows:
        """Return rows that only ever allow too little."""
        t = self.width
        own = [core for core in self.free if core.width == core.pinned and core.width in (1, t)]
        order = sorted(own, key=lambda core: (core.pinned, core.floats))
        found = self._rows(order, t, exact=False)
        wide = CpuRow(name="whole wide cores", capacity=sum(core.width == t for core in own), width=t, core=int(t > 1))
        # An item that fills wide cores takes t threads of each, whatever slope the row has.
        rows = tuple(
            CpuRow(
                name=row.name,
                capacity=row.capacity,
                width=t,
                isolate=row.isolate,
                core=max(row.core, t) if row.loose or (row.shared and row.core) else row.core,
                loose=row.loose,
                shared=row.shared,
            )
            for row in found.rows
        )
        # Narrow cores that nothing floats over are of no use to such an item.
        most = max((core.floats for core in own if core.width == t), default=0)
        floats = CpuRow(name="shared vCPUs beside wide cores", capacity=self.floats, width=t, core=most, shared=True)
        beside = [floats] if self.shared and most and not self.alike else []
        return NodeRows(rows=(wide, *rows, *beside, *self._beside_others(own)), exact=False)

    def _beside_others(self, own: Sequence[CoreRoom]) -> list[CpuRow]:
        """Return a row for what is on more cores than the rows give away: it has others, and what floats over those
        goes. Of U cores U - |own| are such ones, each with f threads at most: f U + s / r <= F + f |own|.
        """
        most = max((core.floats for core in self.free if core not in own), default=0)
        if not self.shared or not most:
            return []
        capacity = self.floats + most * len(own)
        name = "shared vCPUs beside other cores"
        return [CpuRow(name=name, capacity=capacity, width=self.width, isolate=most, core=most, shared=True)]

    def _rows(self, order: Sequence[CoreRoom], t: int, *, exact: bool) -> NodeRows:
        """Return a row a slope of each of the three sums over cores in this order."""
        rows: list[CpuRow] = []
        if self.widest > 1:
            rows.append(CpuRow(name="whole cores", capacity=len(order), width=t, isolate=1, core=1))
        rows += self._slopes("threads", [core.pinned for core in order], self.pinned, t, loose=1)
        if not self.shared:
            return NodeRows(rows=tuple(rows), exact=exact)
        rows.append(CpuRow(name="shared vCPUs", capacity=self.floats, shared=True))
        if not self.alike and self.widest > 1 and any(core.floats for core in order):
            steps = [core.floats for core in order]
            rows += self._slopes("shared vCPUs beside cores", steps, self.floats, t, loose=0, shared=True)
        if not self.apart:
            steps = [core.pinned + core.floating for core in order]
            rows += self._slopes("shared beside dedicated", steps, self.either, t, loose=1, shared=True)
        return NodeRows(rows=tuple(rows), exact=exact)

    def _slopes(
        self, name: str, steps: Sequence[int], room: int, t: int, *, loose: int, shared: bool = False
    ) -> list[CpuRow]:
        """Return rows that say sum(first U steps) + loose threads (+ shared vCPUs) <= room."""
        rows = []
        steps = steps if list(steps) == sorted(steps) else [max(steps)] * len(steps)
        steepest = max(self.widest, *steps) if loose and steps else max(steps, default=self.widest)
        for slope in sorted({*steps, steepest}) if self.whole.any else [steepest]:
            if not slope:
                continue
            saved = sum(slope - step for step in steps if step < slope) if self.whole.any else 0
            rows.append(
                CpuRow(
                    name=name if slope == steepest else f"{name} by {slope}",
                    capacity=room + saved,
                    width=t,
                    isolate=slope,
                    core=slope,
                    loose=loose,
                    shared=shared,
                )
            )
        return rows


def fits(rows: Sequence[CpuRow], items: Sequence[tuple[CpuPolicy, int, CoreKind]]) -> bool:
    """Tell whether the items, (policy, vCPUs, kind of core) each, fit all rows."""
    return all(sum(row.demand(*item) for item in items) <= row.capacity for row in rows)
