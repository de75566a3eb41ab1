"""Structures: what of a host its rows and placements depend on, apart from how much it has. They become the engines'
shapes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from placer.model.balance import MEMORY, MEMORY_GRAIN_KIB
from placer.model.host import Host
from placer.model.units import KIB_PER_MIB
from placer.planning.compile.capacity import FreeCore, HostCapacity
from placer.planning.compile.loose import NodeSet
from placer.planning.compile.needs import Part
from placer.planning.compile.placements import NodeView
from placer.planning.compile.rows import BESIDE, SHARED
from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CoreKind, CpuPolicy, CpuRow, WholeDemand
from solvers.pins.node_rows import node_cpu_rows
from solvers.pins.price_rows import rows_by_prices

MOST_LOAD_UNITS = 64
MOST_UNION_ROWS = 256
"""Rows of one union of nodes, at most: the others are left out, so that the rest is a relaxation there."""
FINEST_MEMORY_KIB = 512


@dataclass(frozen=True, slots=True)
class LoadKinds:
    """What of which places goals of balance look at, (resource, places), and in how many KiB memory is counted."""

    kinds: tuple[tuple[str, str], ...] = ()
    memory_unit: int = 1

    @property
    def memory(self) -> bool:
        """Tell whether any is of memory."""
        return any(resource == MEMORY for resource, _ in self.kinds)


@dataclass(frozen=True, slots=True)
class UnionRow:
    """A row of shared vCPUs over several nodes: of each node the row of its own that is added up, None where it is only
    the CPUs that may be floated over. By Hall's condition what floats over the union is what all its nodes leave, and
    what a node leaves is said by the worst of its rows: so there is one for each choice.
    """

    nodes: NodeSet
    name: str
    rows: tuple[CpuRow | None, ...]

    def of(self, node: int) -> CpuRow | None:
        """Return the row that is taken of a node."""
        return self.rows[self.nodes.index(node)]

    def name_on(self, node: int) -> str:
        """Return the name of the row that is taken of a node."""
        row = self.of(node)
        return SHARED if row is None else row.name


@dataclass(frozen=True, slots=True)
class Structure:
    """What placements and rows of a host depend on; hosts of equal structure share one shape.

    `cpu_rows` are the CPU rows of each node with their capacity left out, `exact` whether they all allow whatever can
    be pinned; `widths` the threads of each node's widest core, `even` whether all its cores have as many; `ratio`
    shared vCPUs a CPU; `page_sizes` (KiB) that any node pools; `usable` and `whole` enter only where a convex goal
    needs them, `loads` are what of which places goals of balance look at, (resource, places). `memory` is
    what VMs may take of each node's memory (KiB), and `memory_unit` in how many KiB its load is counted, where one of
    them is of memory. `cpu_unions` and `memory_unions` are the
    unions of nodes that have rows of their own, for VMs that are not bound to one node a cell (`loose`); `union_rows`
    are those of CPUs. `carrying` are the CPUs of each node
    that may carry shared vCPUs, where a floating VM may be wider than they are; `told` says whether the host's memory
    is known.
    `spread` are the CPUs of each node that VMs may float over and its memory, where it counts what such VMs reach over.
    `soft` are the soft rules that VMs which name them so break by being here, `watts_a_cpu` what a CPU at
    work takes where a goal asks for it.
    """

    view: NodeView
    cpu_rows: tuple[tuple[CpuRow, ...], ...]
    exact: bool
    widths: tuple[int, ...]
    even: tuple[bool, ...]
    ratio: Fraction
    page_sizes: tuple[int, ...]
    pages_told: bool
    node_resources: tuple[str, ...]
    host_resources: tuple[str, ...]
    l3_domains: tuple[int, ...]
    usable: tuple[int, ...] | None = None
    whole: tuple[int, ...] | None = None
    loads: tuple[tuple[str, str], ...] = ()
    memory: tuple[int, ...] | None = None
    memory_unit: int = 1
    cpu_unions: tuple[NodeSet, ...] = ()
    union_rows: tuple[UnionRow, ...] = ()
    memory_unions: tuple[NodeSet, ...] = ()
    carrying: tuple[int, ...] | None = None
    told: bool = True
    spread: tuple[tuple[int, int], ...] | None = None
    soft: tuple[int, ...] = ()
    watts_a_cpu: float | None = None

    @property
    def load_scale(self) -> int:
        """Units a CPU of the rows that balance looks at, so that what floats over all nodes parts into whole ones."""
        if self.usable is None or not self.cpu_unions:
            return 1
        return min(MOST_LOAD_UNITS, sum(self.usable) // max(1, math.gcd(*self.usable)))


def memory_unit(parts: Iterable[Part], *, floats: bool) -> int:
    """Return in how many KiB loads of memory are counted: what divides all that VMs take; else a MiB, rounded down.

    Where any of it `floats` it is as fine as can be, for it parts over nodes.
    """
    found = math.gcd(MEMORY_GRAIN_KIB, *{part.memory_kib + part.overhead_kib for part in parts})
    if found < FINEST_MEMORY_KIB:
        return KIB_PER_MIB
    return math.gcd(found, FINEST_MEMORY_KIB) if floats else found


def structure_of(
    view: NodeView,
    capacity: HostCapacity,
    *,
    whole: WholeDemand,
    any_shared: bool,
    relaxed: bool,
    loads: LoadKinds,
    memory: Sequence[int],
    cores: bool,
    unions: tuple[tuple[NodeSet, ...], tuple[NodeSet, ...]] = ((), ()),
    widest: int = 0,
    spread: tuple[tuple[int, int], ...] | None = None,
    soft: tuple[int, ...] = (),
    watts_a_cpu: float | None = None,
) -> tuple[Structure, tuple[tuple[int, ...], ...]]:
    """Return a host's structure, and apart from it the capacities of its CPU rows a node.

    `relaxed` takes rows that all counts keep which can be pinned where no rows allow just these: they are exact for
    bounds, and an answer under them is one once it is pinned.
    """
    rows, room, widths = [], [], []
    exact = True
    for node in capacity.nodes:
        elsewhere = len(node.shared_cpus) - sum(len(core.floats) for core in node.cores)
        cpus = [core_of(core).room for core in node.cores]
        # What is floated over a union is over there by more than its nodes are, or not: they need rows of their own.
        beside = any_shared or bool(unions[0])
        found = node_cpu_rows(cpus, whole, floating=elsewhere, shared=beside)
        if relaxed and not found.exact:
            found = rows_by_prices(cpus, whole, floating=elsewhere, shared=beside)
        rows.append(tuple(dataclasses.replace(row, capacity=0) for row in found.rows))
        room.append(tuple(row.capacity for row in found.rows))
        widths.append({core.width for core in node.cores} or {1})
        # A core that spans nodes is whole on none of them: what could take it is left out.
        exact &= found.exact and not (node.cores_span and whole.any)
    carrying = tuple(len(node.shared_cpus) for node in capacity.nodes)
    return Structure(
        view=view,
        cpu_rows=tuple(rows),
        exact=exact,
        widths=tuple(max(found) for found in widths),
        even=tuple(len(found) == 1 for found in widths),
        ratio=capacity.ratio,
        pages_told=capacity.pages_told,
        page_sizes=tuple(sorted({size for node in capacity.nodes for size in node.pages})),
        node_resources=tuple(sorted({name for node in capacity.nodes for name in node.resources})),
        host_resources=tuple(sorted(capacity.resources)),
        l3_domains=tuple(node.l3_domains for node in capacity.nodes),
        usable=tuple(node.usable_cpus for node in capacity.nodes) if loads.kinds else None,
        whole=tuple(len(node.cores) for node in capacity.nodes) if cores else None,
        loads=loads.kinds,
        memory=tuple(memory) if loads.memory else None,
        memory_unit=loads.memory_unit,
        cpu_unions=unions[0],
        union_rows=tuple(union_rows(unions[0], rows, room, split=capacity.split)),
        memory_unions=unions[1],
        carrying=carrying if widest > min((n for n in carrying if n), default=0) else None,
        told=any(node.memory_told for node in capacity.nodes),
        spread=spread,
        soft=soft,
        watts_a_cpu=watts_a_cpu,
    ), tuple(room)


def union_rows(
    unions: Sequence[NodeSet],
    rows: Sequence[Sequence[CpuRow]],
    room: Sequence[Sequence[int]],
    *,
    split: bool,
) -> Iterator[UnionRow]:
    """Yield the CPU rows of each union of nodes: all that may be floated over, all CPUs unless they are split, and each
    other choice of rows of its nodes that says more.

    Parameters
    ----------
    rows, room : CPU rows of each node with the capacity left out, and their capacities.
    """
    for union in unions:
        choices: list[list[CpuRow | None]] = [_telling(rows[node], room[node]) for node in union]
        plain = tuple(next((row for row in rows[node] if row.name == BESIDE), None) for node in union)
        yield UnionRow(union, SHARED, (None,) * len(union))
        if not split:
            yield UnionRow(union, BESIDE, plain)
        known = {(None,) * len(union), *(() if split else (plain,))}
        number = 0
        for chosen in itertools.islice(itertools.product(*choices), MOST_UNION_ROWS):
            if chosen not in known:
                number += 1
                yield UnionRow(union, f"{BESIDE} by choice {number}", chosen)


def _telling(rows: Sequence[CpuRow], room: Sequence[int]) -> list[CpuRow | None]:
    """Return the rows of shared vCPUs on a node of which none follows from another; None stands for what only shared
    ones take of.
    """
    shared = [(row, has) for row, has in zip(rows, room, strict=True) if row.shared]
    found: list[CpuRow | None] = []
    for n, (row, has) in enumerate(shared):
        others = [other for m, other in enumerate(shared) if m != n]
        if not any(has >= less and _takes_more(other, row) for other, less in others):
            found.append(None if row.name == SHARED else row)
    return found or [None]


def _takes_more(other: CpuRow, row: CpuRow) -> bool:
    """Tell whether any item takes as much of another row, and some take more."""
    mine, its = _units(row), _units(other)
    return mine != its and all(one <= most for one, most in zip(mine, its, strict=True))


def _units(row: CpuRow) -> tuple[int, ...]:
    items: tuple[tuple[CpuPolicy, int], ...] = (("isolate", 1), ("require", 1), ("require", row.width), ("prefer", 1))
    kinds: tuple[CoreKind, ...] = ("any", "performance", "efficiency")
    return tuple(row.demand(policy, many, kind) for policy, many in items for kind in kinds)


def spread_of(host: Host) -> tuple[tuple[int, int], ...]:
    """Return a node's CPUs that VMs may float over, and its memory."""
    pool = host.shared_pool or host.usable_cpus or host.topology.cpus
    return tuple((len(node.cpus & pool), node.memory_kib) for node in host.topology.nodes)


def core_of(core: FreeCore) -> Core:
    """Return a free core as it is pinned."""
    return Core(cpus=core.cpus, width=core.width, l3=core.l3, floats=core.floats, beside=core.beside, slow=core.slow)
