"""Structures: what of a host its rows and placements depend on, apart from how much it has. They become the engines'
shapes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction

from placer.model.host import Host
from placer.planning.compile.capacity import FreeCore, HostCapacity
from placer.planning.compile.loose import NodeSet
from placer.planning.compile.placements import NodeView
from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CpuRow, WholeDemand, node_cpu_rows

MOST_LOAD_UNITS = 64


@dataclass(frozen=True, slots=True)
class Structure:
    """What placements and rows of a host depend on; hosts of equal structure share one shape.

    `cpu_rows` are the CPU rows of each node with their capacity left out, `exact` whether they all allow whatever can
    be pinned; `widths` the threads of each node's widest core, `even` whether all its cores have as many; `ratio`
    shared vCPUs a CPU; `page_sizes` (KiB) that any node pools; `usable` and `whole` enter only where a convex goal
    needs them, `balance` are those goals that look at the load of nodes. `cpu_unions` and `memory_unions` are the
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
    balance: tuple[str, ...] = ()
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


def structure_of(
    view: NodeView,
    capacity: HostCapacity,
    *,
    whole: WholeDemand,
    any_shared: bool,
    balance: tuple[str, ...],
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
        usable=tuple(node.usable_cpus for node in capacity.nodes) if balance else None,
        whole=tuple(len(node.cores) for node in capacity.nodes) if cores else None,
        balance=balance,
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
