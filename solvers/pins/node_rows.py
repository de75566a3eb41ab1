"""The CPU rows of a node of one kind of core or of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from solvers.pins.cpu_rows import CoreKind, CoreRoom, CpuRow, NodeRows, WholeDemand, main_width, rows_of_any_kind

KINDS: tuple[tuple[CoreKind, bool], ...] = (("performance", False), ("efficiency", True))


def node_cpu_rows(
    cores: Sequence[CoreRoom], whole: WholeDemand, *, floating: int = 0, shared: bool = False
) -> NodeRows:
    """Return the rows of a node: those of `rows_of_any_kind`, or on nodes of two kinds of core of which items ask for
    one those that tell them apart.

    Parameters
    ----------
    cores : those with a thread for dedicated vCPUs.
    whole : what any item, wherever it is, asks of whole cores: other demands are not met rightly.
    floating : CPUs to float over in other cores.
    shared : whether there are shared vCPUs anywhere; without any the rows for them are left out.

    Raises
    ------
    ValueError
        If a core has less than one thread, or more free threads than it has.
    """
    for core in cores:
        if core.width < 1 or min(core.dedicated, core.both, core.floating) < 0:
            raise ValueError(f"a core of {core.width} threads cannot have {core.pinned} free")
        if core.pinned + core.floating > core.width:
            raise ValueError(f"a core of {core.width} threads cannot have {core.pinned + core.floating} free")
    there = {core.slow for core in cores}
    if whole.kinds and len(there) > 1:
        return _TwoKinds(cores, whole, floating, shared).rows()
    found = rows_of_any_kind(cores, whole, floating=floating, shared=shared)
    lacking = [kind for kind, slow in KINDS if kind in whole.kinds and slow not in there]
    return NodeRows(rows=(*found.rows, *map(none_of, lacking)), exact=found.exact)


def none_of(kind: CoreKind) -> CpuRow:
    """Return the row of a node that takes nothing that asks for a kind of core."""
    return CpuRow(name=f"{kind} threads", capacity=0, isolate=1, core=1, loose=1, only=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    """Room of which each whole core takes something, in the order in which cores of a kind are given away; `row` says
    what loose threads take of it, and whether shared vCPUs do.
    """

    row: CpuRow
    slow: tuple[int, ...]
    fast: tuple[int, ...]


class _TwoKinds:
    """A node with performance cores and efficiency cores.

    F, S and A cores are taken by items that must have performance cores, efficiency cores, and any. With g and h what
    an efficiency core and a performance core takes of a sum, and g <= h for all of them, A begins with efficiency
    cores, and by duality of linear programs a sum is kept iff for all prices a <= p ::

        p F + a (A + S) + loose threads <= room + Σ max(0, a - g) + Σ max(0, p - h)

    Loose threads and shared vCPUs fit beside these iff every set of them has as many CPUs as it asks for (Hall).
    """

    def __init__(self, cores: Sequence[CoreRoom], whole: WholeDemand, floating: int, shared: bool) -> None:
        self.cores, self.whole, self.floating, self.shared = cores, whole, floating, shared
        self.width = main_width([core.width for core in cores])
        self.of = {slow: [core for core in cores if core.slow is slow] for _, slow in KINDS}
        self.free = {slow: _in_order(own) for slow, own in self.of.items()}

    def rows(self) -> NodeRows:
        """Return the rows. Nodes of odd widths take no item that asks for a kind where any takes cores whole."""
        if not self.whole.any or all(core.width == 1 for core in self.cores):
            every = rows_of_any_kind(self.cores, WholeDemand(), floating=self.floating, shared=self.shared)
            threads = [replace(row, width=1, isolate=row.loose, core=row.loose) for row in every.rows]
            return NodeRows(rows=(*threads, *self._threads_of_kinds()), exact=True)
        plain = {slow: all(core.pinned == core.width == self.width for core in own) for slow, own in self.free.items()}
        if plain[False] and all(core.width == 1 for core in self.of[True]):
            return self._narrow()
        if plain[False] and plain[True]:
            return self._alike()
        every = rows_of_any_kind(self.cores, self.whole, floating=self.floating, shared=self.shared)
        return NodeRows(rows=(*every.rows, *map(none_of, sorted(self.whole.kinds))), exact=False)

    def _threads_of_kinds(self) -> Iterator[CpuRow]:
        """Yield the rows of threads of each kind that is asked for, alone and beside shared vCPUs."""
        for kind, slow in KINDS:
            if kind in self.whole.kinds:
                row = CpuRow(name=f"{kind} threads", capacity=self._pinned(slow), isolate=1, core=1, loose=1, only=kind)
                yield row
                if self._beside_matters(slow):
                    yield replace(row, name=f"shared beside {kind}", capacity=self._beside(slow), shared=True)

    def _pinned(self, slow: bool) -> int:
        return sum(core.pinned for core in self.of[slow])

    def _beside_matters(self, slow: bool) -> bool:
        """Tell whether cores of the other kind have CPUs that neither this kind's threads nor shared vCPUs may use."""
        return self.shared and any(core.dedicated for core in self.of[not slow])

    def _beside(self, slow: bool) -> int:
        """Return the CPUs that threads of a kind and shared vCPUs may use together."""
        own = sum(core.pinned + core.floating for core in self.of[slow])
        return own + sum(core.floats for core in self.of[not slow]) + self.floating

    def _sums(self) -> list[_Sum]:
        """Return the three sums: threads, CPUs to float over, and all CPUs."""
        threads = CpuRow(name="threads", capacity=sum(core.pinned for core in self.cores), width=self.width, loose=1)
        out = [_Sum(row=threads, slow=self._steps(True, "pinned"), fast=self._steps(False, "pinned"))]
        if self.shared:
            floats = sum(core.floats for core in self.cores) + self.floating
            every = sum(core.pinned + core.floating for core in self.cores) + self.floating
            for name, room, loose, of in (
                ("shared vCPUs beside cores", floats, 0, "floats"),
                ("shared beside dedicated", every, 1, "every"),
            ):
                row = CpuRow(name=name, capacity=room, width=self.width, loose=loose, shared=True)
                out.append(_Sum(row=row, slow=self._steps(True, of), fast=self._steps(False, of)))
        return out

    def _steps(self, slow: bool, of: str) -> tuple[int, ...]:
        """Return what the whole cores of a kind have of a sum, in their order."""
        own = self.free[slow]
        found = {"pinned": [core.pinned for core in own], "floats": [core.floats for core in own]}
        return tuple(found.get(of, [core.pinned + core.floating for core in own]))

    def _floats_row(self) -> list[CpuRow]:
        room = sum(core.floats for core in self.cores) + self.floating
        return [CpuRow(name="shared vCPUs", capacity=room, shared=True)] if self.shared else []

    def _narrow(self) -> NodeRows:
        """Return the rows where efficiency cores have one thread: what must have one takes a core whole by any policy.

        Items of any kind that fill several cores are given performance cores, which is not exact.
        """
        t, one_core = self.width, self.whole.any_fills <= {1}
        narrow, wide = len(self.free[True]), len(self.free[False])
        exact = one_core
        fast_only = CpuRow(
            name="", capacity=0, width=t, core=0 if one_core else t, fast=t, fast_loose=1, slow=0, slow_loose=0
        )
        rows = [
            CpuRow(
                name="whole cores", capacity=narrow + wide, width=t, isolate=1, core=1, fast=1, slow=1, slow_loose=1
            ),
            replace(fast_only, name="performance cores", capacity=wide, core=int(not one_core), fast=1, fast_loose=0),
            CpuRow(name="efficiency threads", capacity=narrow, isolate=1, core=1, loose=1, only="efficiency"),
            replace(fast_only, name="performance threads", capacity=self._pinned(False)),
            replace(
                fast_only,
                name="performance threads beside others",
                capacity=self._pinned(False) + t * narrow,
                isolate=t,
                core=t,
                slow=t,
                slow_loose=t,
            ),
            *self._floats_row(),
        ]
        for one in self._sums():
            least = max(one.slow, default=0)
            if self.whole.any_whole and least > min(one.fast, default=least):
                exact, one = False, replace(one, fast=tuple(max(least, step) for step in one.fast))
            rows += self._priced(one, one_core=one_core)
        if self._beside_matters(False):
            for a in sorted({0, 1, t}):
                saved = sum(max(0, a - core.floats) for core in self.free[True])
                row = replace(fast_only, name=f"shared beside performance by {a}", shared=True, isolate=a)
                rows.append(
                    replace(row, capacity=self._beside(False) + saved, core=a if one_core else t, slow=a, slow_loose=a)
                )
        return NodeRows(rows=tuple(rows), exact=exact)

    def _priced(self, one: _Sum, *, one_core: bool) -> Iterator[CpuRow]:
        """Yield a row of a sum for each pair of prices; the dearest has the plain name."""
        top = max(self.width, *one.fast, *one.slow)
        for p in sorted({*one.fast, top}):
            # Without items of any kind the prices have nothing to do with each other.
            for a in sorted({step for step in one.slow if step < p or not self.whole.any_whole} | {p}):
                saved = sum(max(0, a - step) for step in one.slow) + sum(max(0, p - step) for step in one.fast)
                if p or a:
                    yield replace(
                        one.row,
                        name=one.row.name if a == p == top else f"{one.row.name} by {p} and {a}",
                        capacity=one.row.capacity + saved,
                        isolate=a,
                        core=a if one_core else p,
                        fast=p,
                        slow=a,
                        slow_loose=a,
                    )

    def _alike(self) -> NodeRows:
        """Return the rows where cores of both kinds have t threads. Items of any kind may have cores of both: where
        loose threads must have one kind or the other, t - 1 CPUs may be left over by both together.
        """
        t, flexible = self.width, self.whole.any_whole
        both = {"performance", "efficiency"} <= self.whole.loose
        isolated = self.shared and any(core.dedicated for core in self.cores)
        rows = [
            CpuRow(name="whole cores", capacity=sum(map(len, self.free.values())), width=t, isolate=1, core=1),
            *self._floats_row(),
        ]
        for kind, slow in KINDS:
            cores = CpuRow(name=f"{kind} cores", capacity=len(self.free[slow]), width=t, isolate=1, core=1, only=kind)
            threads = replace(cores, name=f"{kind} threads", capacity=self._pinned(slow), isolate=t, core=t, loose=1)
            others = replace(
                threads,
                name=f"{kind} threads beside others",
                capacity=self._pinned(slow) + t * len(self.free[not slow]),
                loose=0,
                only="any",
                fast_loose=int(not slow),
                slow_loose=int(slow),
            )
            rows += [cores, threads, *([others] if flexible else [])]
            if self._beside_matters(slow):
                rows += self._beside_alike(slow, flexible=flexible)
        for one in self._sums():
            plain = replace(one.row, isolate=t, core=t)
            if one.row.name == "threads" and flexible and both:
                plain = replace(plain, capacity=plain.capacity - t + 1)
            if one.row.loose:
                rows.append(plain)
            elif flexible:
                most = max(*one.slow, *one.fast, 0)
                rows.append(replace(one.row, isolate=most, core=most))
            else:
                rows += self._apart(one)
        return NodeRows(rows=tuple(rows), exact=not (flexible and (both or isolated)))

    def _beside_alike(self, slow: bool, *, flexible: bool) -> Iterator[CpuRow]:
        """Yield the rows of a kind's threads beside shared vCPUs; cores of the other kind take only what may be floated
        over of it.
        """
        t, kind = self.width, "efficiency" if slow else "performance"
        steps = self._steps(not slow, "floats")
        for price in {max(steps, default=0)} if flexible else sorted({0, *steps}):
            yield CpuRow(
                name=f"shared beside {kind} by {price}",
                capacity=self._beside(slow) + (0 if flexible else sum(max(0, price - step) for step in steps)),
                width=t,
                isolate=t if flexible else 0,
                core=t if flexible else 0,
                fast_loose=int(not slow),
                slow_loose=int(slow),
                slow_width=t,
                shared=True,
                slow=t if slow else price,
                fast=price if slow else t,
            )

    def _apart(self, one: _Sum) -> Iterator[CpuRow]:
        """Yield the rows of a sum for prices of each kind by itself, where no item may have any core."""
        for p in sorted({0, *one.fast}):
            for a in sorted({0, *one.slow}):
                saved = sum(max(0, a - step) for step in one.slow) + sum(max(0, p - step) for step in one.fast)
                if p or a:
                    row = replace(one.row, name=f"{one.row.name} by {p} and {a}", capacity=one.row.capacity + saved)
                    yield replace(row, fast=p, slow=a, slow_width=self.width)


def _in_order(cores: Sequence[CoreRoom]) -> list[CoreRoom]:
    """Return the cores that can be taken whole, in the order in which they are given away."""
    free = [core for core in cores if core.whole and core.pinned]
    return sorted(free, key=lambda core: (core.pinned, core.floats))
