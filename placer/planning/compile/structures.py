"""Structures: what of a host its rows and placements depend on, apart from how much it has. They become the engines'
shapes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from placer.model.balance import MEMORY, MEMORY_GRAIN_KIB
from placer.model.host import Host
from placer.model.units import KIB_PER_MIB
from placer.planning.compile.capacity import FreeCore, HostCapacity
from placer.planning.compile.loose import NodeSet
from placer.planning.compile.needs import Part
from placer.planning.compile.placements import NodeView
from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CpuRow, WholeDemand
from solvers.pins.node_rows import node_cpu_rows

MOST_LOAD_UNITS = 64
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
class Structure:
    """What placements and rows of a host depend on; hosts of equal structure share one shape.

    `cpu_rows` are the CPU rows of each node with their capacity left out, `exact` whether they all allow whatever can
    be pinned; `widths` the threads of each node's widest core, `even` whether all its cores have as many; `ratio`
    shared vCPUs a CPU; `page_sizes` (KiB) that any node pools; `usable` and `whole` enter only where a convex goal
    needs them, `loads` are what of which places goals of balance look at, (resource, places). `memory` is
    what VMs may take of each node's memory (KiB), and `memory_unit` in how many KiB its load is counted, where one of
    them is of memory. `cpu_unions` and `memory_unions` are the
    unions of nodes that have a row of their own, for VMs that are not bound to one node a cell (`loose`), `split` says
    whether dedicated and shared CPUs are apart there. `carrying` are the CPUs of each node that may carry shared vCPUs,
    where a floating VM may be wider than they are; `told` says whether the host's memory is known.
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
    split: bool = False
    cpu_unions: tuple[NodeSet, ...] = ()
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
    loads: LoadKinds,
    memory: Sequence[int],
    cores: bool,
    unions: tuple[tuple[NodeSet, ...], tuple[NodeSet, ...]] = ((), ()),
    widest: int = 0,
    spread: tuple[tuple[int, int], ...] | None = None,
    soft: tuple[int, ...] = (),
    watts_a_cpu: float | None = None,
) -> tuple[Structure, tuple[tuple[int, ...], ...]]:
    """Return a host's structure, and apart from it the capacities of its CPU rows a node."""
    rows, room, widths = [], [], []
    exact = True
    for node in capacity.nodes:
        elsewhere = len(node.shared_cpus) - sum(len(core.floats) for core in node.cores)
        cpus = [core_of(core).room for core in node.cores]
        found = node_cpu_rows(cpus, whole, floating=elsewhere, shared=any_shared)
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
        split=capacity.split if unions[0] else False,
        cpu_unions=unions[0],
        memory_unions=unions[1],
        carrying=carrying if widest > min((n for n in carrying if n), default=0) else None,
        told=any(node.memory_told for node in capacity.nodes),
        spread=spread,
        soft=soft,
        watts_a_cpu=watts_a_cpu,
    ), tuple(room)


def spread_of(host: Host) -> tuple[tuple[int, int], ...]:
    """Return a node's CPUs that VMs may float over, and its memory."""
    pool = host.shared_pool or host.usable_cpus or host.topology.cpus
    return tuple((len(node.cpus & pool), node.memory_kib) for node in host.topology.nodes)


def core_of(core: FreeCore) -> Core:
    """Return a free core as it is pinned."""
    return Core(cpus=core.cpus, width=core.width, l3=core.l3, floats=core.floats, beside=core.beside, slow=core.slow)
