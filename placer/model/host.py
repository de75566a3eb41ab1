"""Hosts: the topology a machine file tells, and what an administrator says of the host on top of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.pci import pci_address

LOCAL = 10.0
"""The SLIT figure of a node's own memory."""
UNREACHABLE = 255.0
"""The SLIT figure that says one node cannot reach the other's memory."""
THREADS_UNTOLD = "threads per core are not told"
"""How the assumption begins that takes CPUs for cores because no source tells siblings."""


class NodeKind(StrEnum):
    """What a NUMA node is to the planner."""

    NORMAL = "normal"
    """CPUs, with or without memory."""
    MEMORY_ONLY = "memory-only"
    """Memory without CPUs (PMEM, CXL): planned for only when a VM asks for it."""
    DEVICE = "device"
    """Memory of a GPU or another device: never planned for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One NUMA node of a host.

    `cpus` are its online CPUs; `memory_kib` is its total memory (KiB), page pools included; `pages`
    maps a huge page size (KiB) to how many pages its pool holds in all. `free_kib` and `free_pages`
    are what was free when the file was made: they inform, they never limit a plan.
    """

    id: int
    cpus: frozenset[int] = frozenset()
    memory_kib: int = 0
    pages: Mapping[int, int] = field(default_factory=dict)
    kind: NodeKind = NodeKind.NORMAL
    free_kib: int | None = None
    free_pages: Mapping[int, int] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)

    @property
    def pool_kib(self) -> int:
        """Memory held by the huge page pools, in KiB."""
        return sum(size * count for size, count in self.pages.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device, or `count` alike, with the node it hangs on (None where the host does not say).

    `functions` are the addresses of the virtual functions that are there, where VMs get those. `group` names what it
    shares with others near it: a PCIe root port with a switch behind, or an island of NVLink.
    """

    address: str
    kind: str
    node: int | None = None
    count: int = 1
    functions: tuple[str, ...] = ()
    group: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of which a VM is given one; none where it is several that are not told apart."""
        return self.functions or ((self.address,) if self.count == 1 else ())

    @property
    def card(self) -> str | None:
        """The PCI address of the card itself where it is not one of `addresses`: a VM that has it has all of them."""
        return self.address if self.address not in self.addresses and pci_address(self.address) is not None else None

    def held(self, names: Set[str]) -> int:
        """Return how many of its devices a VM has that has these addresses."""
        return self.count if self.card in names else len(names & set(self.addresses))


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What a machine file tells of one host, in placer's one normal form.

    `nodes` ascend by their real ids (holes allowed). `distances[i][j]` is the SLIT figure (10 = local,
    255 = not reachable) of memory on ``nodes[j]`` seen from ``nodes[i]``: positional over `nodes`, asymmetry
    kept, measured latencies already turned into 10 × latency / local latency. `cores`, `l3`, `packages`,
    `dies` and `clusters` are sets of online CPUs; every online CPU is in exactly one core and package. `efficiency` are
    the CPUs of efficiency cores of a hybrid host.
    `kvm` says whether KVM can run there (None: the source does not tell). `assumptions` are plain
    sentences on what the source did not tell and placer filled in. Where pools of huge pages are not
    told (`pages_told`) they are taken to be made out of the memory of the nodes as VMs need them.
    `bandwidth_mib_s[i][j]` where measured. `source` is what it was read from, no part of what it is.
    """

    nodes: tuple[Node, ...]
    distances: tuple[tuple[float, ...], ...]
    cores: tuple[frozenset[int], ...]
    packages: tuple[frozenset[int], ...] = ()
    dies: tuple[frozenset[int], ...] = ()
    clusters: tuple[frozenset[int], ...] = ()
    l3: tuple[frozenset[int], ...] = ()
    devices: tuple[Device, ...] = ()
    page_kib: int = 4
    pages_told: bool = True
    arch: str | None = None
    model: str | None = None
    kvm: bool | None = None
    offline: frozenset[int] = frozenset()
    efficiency: frozenset[int] = frozenset()
    bandwidth_mib_s: tuple[tuple[float | None, ...], ...] | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def threads_told(self) -> bool:
        """Tell whether the source names the threads of all cores; else every CPU, or every other one, is one core."""
        return not any(said.startswith(THREADS_UNTOLD) for said in self.assumptions)

    source: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a topology that contradicts itself."""
        ids = [node.id for node in self.nodes]
        if not ids:
            raise InputError("a host has at least one NUMA node", file=self.source)
        if ids != sorted(set(ids)):
            raise InputError(f"NUMA node ids {ids} are not ascending and unique", file=self.source)
        seen: dict[int, int] = {}
        for node in self.nodes:
            for cpu in sorted(node.cpus):
                if cpu in seen:
                    both = sorted(node.cpus & next(n for n in self.nodes if n.id == seen[cpu]).cpus)
                    raise InputError(
                        f"the file shows CPUs {format_cpuset(both)} in NUMA node {seen[cpu]} and in node {node.id}; "
                        "a CPU is in one node",
                        file=self.source,
                        cure="gather the host again without numa=fake, or correct the node's cpus",
                    )
                seen[cpu] = node.id
        if len(self.distances) != len(ids) or any(len(row) != len(ids) for row in self.distances):
            raise InputError(f"distances are not a {len(ids)} x {len(ids)} matrix", file=self.source)
        for name in ("cores", "l3"):
            taken: set[int] = set()
            for group in getattr(self, name):
                if taken & group:
                    raise InputError(f"CPU {min(taken & group)} is in two {name}", file=self.source)
                taken |= group
        if set().union(*self.cores) != set(seen):
            raise InputError("cores and nodes do not name the same CPUs", file=self.source)

    @cached_property
    def smt(self) -> bool:
        """Whether any core has several threads online."""
        return any(len(core) > 1 for core in self.cores)

    @cached_property
    def cpus(self) -> frozenset[int]:
        """All online CPUs."""
        return frozenset().union(*(node.cpus for node in self.nodes))

    @cached_property
    def node_ids(self) -> tuple[int, ...]:
        """Real node ids in order; the position in it indexes `distances`."""
        return tuple(node.id for node in self.nodes)

    @cached_property
    def node_of_cpu(self) -> Mapping[int, int]:
        """Node id of every online CPU."""
        return {cpu: node.id for node in self.nodes for cpu in node.cpus}

    @cached_property
    def core_width(self) -> Mapping[int, int]:
        """Width of most cores of every node, counted by CPUs; 1 where a node has none."""
        widths = {node.id: Counter(len(self.cores[self.core_of_cpu[cpu]]) for cpu in node.cpus) for node in self.nodes}
        return {node: max((cpus, width) for width, cpus in of.items())[1] if of else 1 for node, of in widths.items()}

    @cached_property
    def core_of_cpu(self) -> Mapping[int, int]:
        """Index into `cores` of every online CPU."""
        return {cpu: index for index, core in enumerate(self.cores) for cpu in core}

    @cached_property
    def l3_of_cpu(self) -> Mapping[int, int]:
        """Index into `l3` of every online CPU that has an L3 domain."""
        return {cpu: index for index, group in enumerate(self.l3) for cpu in group}

    @cached_property
    def l3_domain_of_cpu(self) -> Mapping[int, int]:
        """The L3 domain of every online CPU as rules see it: its index into `l3`; of those on a node that no domain is
        told of, one domain for the node: −1 − its id.
        """
        return {cpu: self.l3_of_cpu.get(cpu, -1 - node) for cpu, node in self.node_of_cpu.items()}

    @cached_property
    def memory_nodes(self) -> frozenset[int]:
        """Ids of the nodes that the kernel may put a floating VM's memory on: all with any but devices'; where no node
        tells of memory, those with CPUs.
        """
        told = frozenset(node.id for node in self.nodes if node.memory_kib and node.kind is not NodeKind.DEVICE)
        return told or frozenset(node.id for node in self.nodes if node.cpus)

    @cached_property
    def _by_id(self) -> Mapping[int, Node]:
        return {node.id: node for node in self.nodes}

    def node(self, node_id: int) -> Node:
        """Return the node with this real id; KeyError if the host has none."""
        return self._by_id[node_id]

    def distance(self, cpu_node: int, memory_node: int) -> float:
        """Return the measure's d[i][j]: relative distance of `memory_node` seen from `cpu_node`, 1 = local."""
        return self.distances[self.node_ids.index(cpu_node)][self.node_ids.index(memory_node)] / LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """What the host keeps for itself: CPUs by number, memory (KiB) and pages per node id; key None = whole host.

    Memory reserved for the whole host is taken in equal parts from the nodes with CPUs and memory.
    """

    cpus: frozenset[int] = frozenset()
    memory_kib: Mapping[int | None, int] = field(default_factory=dict)
    pages: Mapping[int | None, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Settings of the host's kernel and daemons that work against a plan; None: not known.

    `thp` is the mode of transparent huge pages, `swap_kib` the swap space (KiB, 0: none).
    """

    numa_balancing: bool | None = None
    ksm: bool | None = None
    ksm_across_nodes: bool | None = None
    thp: Literal["always", "madvise", "never"] | None = None
    numad: bool | None = None
    swap_kib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A KVM host: a topology (shared by all hosts of its entry) and what was said of it.

    `dedicated_cpus` and `shared_cpus` are Nova's two sets (None: not split; if one is given the other is the rest);
    `isolated_cpus` take no cpuset of several CPUs. `cpu_ratio` is shared vCPUs per CPU, `memory_ratio` the same for
    ordinary memory. `idle_watts` is what the host takes while it holds VMs that do nothing, `busy_watts` with all its
    usable CPUs at work (None: as much as idle). `settings` are only linted.
    Live moves stay within a `migration_domain` and go to hosts of the same or a higher `gen`.
    `source` is the file that tells its topology, as the inventory names it: hosts of different files may share one.
    `wide_vms` lets it take VMs with more vCPUs than it has usable CPUs. `failed` hosts hold nothing; a drained host is
    a rule, not a field.
    """

    name: str
    topology: Topology
    source: str | None = None
    uuid: str | None = None
    reserve: Reserve = field(default_factory=Reserve)
    dedicated_cpus: frozenset[int] | None = None
    shared_cpus: frozenset[int] | None = None
    isolated_cpus: frozenset[int] = frozenset()
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    cost: float = 1.0
    idle_watts: float | None = None
    busy_watts: float | None = None
    kvm: bool = True
    wide_vms: bool = False
    failed: bool = False
    uri: str | None = None
    migration_domain: str | None = None
    gen: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)
    settings: HostSettings = field(default_factory=HostSettings)

    @property
    def usable_cpus(self) -> frozenset[int]:
        """Online CPUs that are not reserved for the host."""
        return self.topology.cpus - self.reserve.cpus

    @property
    def smt(self) -> bool:
        """Tell whether any core has several threads online."""
        return self.topology.smt

    def takes_live_from(self, other: Host) -> bool:
        """Tell whether a VM that runs on another host may move here live."""
        return self.migration_domain == other.migration_domain and self.gen >= other.gen

    @property
    def widest_vm(self) -> float:
        """How many vCPUs a VM that comes here may have: as many as there are usable CPUs, unless `wide_vms`."""
        return math.inf if self.wide_vms else len(self.usable_cpus)

    @property
    def dedicated_pool(self) -> frozenset[int]:
        """CPUs that a dedicated vCPU may be pinned to."""
        if self.dedicated_cpus is not None:
            return self.dedicated_cpus & self.usable_cpus
        return self.usable_cpus - (self.shared_cpus or frozenset())

    @property
    def shared_pool(self) -> frozenset[int]:
        """CPUs that shared vCPUs may float over."""
        if self.shared_cpus is not None:
            return (self.shared_cpus & self.usable_cpus) - self.isolated_cpus
        return self.usable_cpus - (self.dedicated_cpus or frozenset()) - self.isolated_cpus

    @property
    def housekeeping_cpus(self) -> frozenset[int]:
        """CPUs for emulator threads and IOThreads: the reserved ones, else the shared set where the CPUs are split."""
        reserved = self.reserve.cpus & self.topology.cpus
        if reserved:
            return reserved
        return self.shared_pool if self.shared_cpus is not None or self.dedicated_cpus is not None else frozenset()
