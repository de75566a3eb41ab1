"""CPUs that have to be left on the nodes of a host for what floats over one node or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from placer.measure.shortage import short_of
from placer.planning.compile.capacity import NodeCapacity
from placer.planning.compile.loose import NodeSet
from solvers.pins.cores import Core, Item
from solvers.pins.cpu_rows import CoreKind, CpuPolicy, WholeDemand
from solvers.pins.node_rows import node_cpu_rows

Floats = tuple[tuple[NodeSet, int], ...]
"""Sets of nodes, by position, and how many vCPUs of VMs that are not bound to one node a cell float over each."""


def needed(node: NodeCapacity, ratio: Fraction, shared: int) -> int:
    """Return how many CPUs of a node's cores so many shared vCPUs need to float over."""
    elsewhere = len(node.shared_cpus) - sum(len(core.floats) for core in node.cores)
    return max(0, -(-shared * ratio.denominator // ratio.numerator) - elsewhere)


def lack(floats: Floats, shared: Mapping[int, int], left: Mapping[int, int], ratio: Fraction) -> bool:
    """Tell whether vCPUs lack CPUs of those `left` on each node: `shared` ones of a node, and those that float over
    several.
    """
    wanted = Counter({frozenset((node,)): vcpus * ratio.denominator for node, vcpus in shared.items()})
    for nodes, vcpus in floats:
        wanted[frozenset(nodes)] += vcpus * ratio.denominator
    return short_of(wanted, {node: cpus * ratio.numerator for node, cpus in left.items()})[0] > 0


def most_left(cores: Sequence[Core], items: Sequence[Item]) -> int:
    """Return how many CPUs that may be floated over are left of cores by the most sparing pins of the items that the
    CPU rows tell of.
    """
    asked: list[tuple[CpuPolicy, int, CoreKind]] = [(item.policy, item.vcpus, item.kind) for item in items]
    rows = node_cpu_rows([core.room for core in cores], WholeDemand.of(asked), shared=True).rows
    asked.append(("extra", sum(item.extra for item in items), "any"))
    room = (row.capacity - sum(row.demand(*item) for item in asked) for row in rows if row.shared)
    return max(0, min(room, default=0))
