"""What lies in what: packages, dies, NUMA nodes, L3 domains, clusters, cores and CPUs of a host as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from placer.model.host import Topology


class Kind(StrEnum):
    """The kinds of parts, the outer first where two hold the same CPUs."""

    HOST = "host"
    PACKAGE = "package"
    DIE = "die"
    NODE = "node"
    L3 = "L3"
    CLUSTER = "cluster"
    CORE = "core"
    CPU = "CPU"


@dataclass(slots=True, kw_only=True)
class Part:
    """One part: its number (the real id of a node or CPU, else its place in the topology), CPUs and inner parts."""

    kind: Kind
    number: int
    cpus: frozenset[int]
    parts: list[Part] = field(default_factory=list)

    def walk(self) -> Iterator[Part]:
        """Yield this part and all inside it, the outer before the inner."""
        yield self
        for part in self.parts:
            yield from part.walk()


def part_tree(topology: Topology) -> Part:
    """Return the host as a tree by inclusion of CPU sets.

    Machines nest in either order (a node in a package, or several packages in one node), so the tree follows the sets.
    Nodes without CPUs hang on the host. A set that overlaps others without lying in one hangs on the smallest that
    holds all of it.
    """
    host = Part(kind=Kind.HOST, number=0, cpus=topology.cpus)
    sets = [
        *((Kind.PACKAGE, number, cpus) for number, cpus in enumerate(topology.packages)),
        *((Kind.DIE, number, cpus) for number, cpus in enumerate(topology.dies)),
        *((Kind.NODE, node.id, node.cpus) for node in topology.nodes),
        *((Kind.L3, number, cpus) for number, cpus in enumerate(topology.l3)),
        *((Kind.CLUSTER, number, cpus) for number, cpus in enumerate(topology.clusters)),
        *((Kind.CORE, number, cpus) for number, cpus in enumerate(topology.cores)),
        *((Kind.CPU, cpu, frozenset([cpu])) for cpu in topology.cpus),
    ]
    rank = {kind: number for number, kind in enumerate(Kind)}
    sets.sort(key=lambda entry: (-len(entry[2]), rank[entry[0]], min(entry[2], default=0), entry[1]))
    chain_of: dict[int, list[Part]] = {cpu: [host] for cpu in topology.cpus}
    for kind, number, cpus in sets:
        part = Part(kind=kind, number=number, cpus=cpus)
        around = chain_of[min(cpus)] if cpus else [host]
        holder = next(outer for outer in reversed(around) if cpus <= outer.cpus)
        holder.parts.append(part)
        for cpu in cpus:
            chain_of[cpu].append(part)
    for part in host.walk():
        part.parts.sort(key=lambda inner: (not inner.cpus, min(inner.cpus, default=0), inner.number))
    return host
