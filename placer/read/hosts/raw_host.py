"""What one machine file tells of a host, before `normal_form` fills the holes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.host import Device

MAX_NODE = 65535
"""The largest node id taken."""
MAX_NODES = 1024
"""The most nodes taken, and the most that Linux knows: the distance matrix is square in them."""
MAX_PLACED = 1_000_000
"""The most CPUs that all nodes together may list; where no CPU is in two nodes it is `MAX_CPU` at most."""


@dataclass(slots=True, kw_only=True)
class RawNode:
    """One NUMA node as the file shows it; None is what it does not tell."""

    cpus: set[int] = field(default_factory=set)
    memory_kib: int | None = None
    free_kib: int | None = None
    pages: dict[int, int] = field(default_factory=dict)
    free_pages: dict[int, int] = field(default_factory=dict)
    device_memory: bool | None = None
    """True where the file says the memory is a GPU's, False where it says it is not."""


@dataclass(slots=True, kw_only=True)
class RawHost:
    """What one file tells of a host. Pairs of node ids (CPU side, memory side) key the matrices."""

    source: str
    nodes: dict[int, RawNode] = field(default_factory=dict)
    online: set[int] = field(default_factory=set)
    offline: set[int] = field(default_factory=set)
    efficiency: set[int] = field(default_factory=set)
    cores: list[frozenset[int]] | None = None
    threads: int | None = None
    """How many threads a core has, where that is told and not of which CPUs."""
    packages: list[frozenset[int]] | None = None
    dies: list[frozenset[int]] = field(default_factory=list)
    clusters: list[frozenset[int]] = field(default_factory=list)
    l3: list[frozenset[int]] = field(default_factory=list)
    distances: dict[tuple[int, int], float] = field(default_factory=dict)
    latencies: dict[tuple[int, int], float] = field(default_factory=dict)
    bandwidths_mib_s: dict[tuple[int, int], float] = field(default_factory=dict)
    devices: list[Device] = field(default_factory=list)
    memory_kib: int | None = None
    """Memory of the whole host, for a file without nodes."""
    page_kib: int | None = None
    arch: str | None = None
    model: str | None = None
    kvm: bool | None = None
    pages_told: bool = True
    """False where such a file never tells pools of huge pages."""
    assumptions: list[str] = field(default_factory=list)
    placed: int = 0
    """How many CPUs `place` was given so far."""

    def place(self, node_id: int, cpus: AbstractSet[int]) -> None:
        """Add CPUs to a node.

        Raises
        ------
        InputError
            The nodes list more CPUs than can be, though each might be legal by itself.
        """
        self.nodes[node_id].cpus |= cpus
        self.placed += len(cpus)
        if self.placed > MAX_PLACED:
            raise InputError(f"the nodes list more than {MAX_PLACED} CPUs in all", file=self.source)


def node_names(ids: list[int]) -> str:
    """Return the nodes as a sentence names them."""
    return f"node {ids[0]}" if len(ids) == 1 else f"nodes {format_cpuset(ids)}"
