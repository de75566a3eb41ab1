"""What a host can give: free cores, memory, pages, devices and resources a node, after what it keeps for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from placer.model.host import Host, NodeKind, Topology
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy, Vm


@dataclass(frozen=True, slots=True)
class FreeCore:
    """A core seen from one node: its free CPUs for dedicated vCPUs, ascending, its full width (threads), its L3
    domain; those of its free CPUs that shared vCPUs may float over, and those that dedicated vCPUs may not have but
    leave idle beside them; whether it is an efficiency core.
    """

    cpus: tuple[int, ...]
    width: int
    l3: int | None
    floats: frozenset[int]
    beside: tuple[int, ...]
    slow: bool


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """One node's capacity. `shared_cpus` may carry shared vCPUs; memory is ordinary memory in KiB; `pages` by size in
    KiB. `cores_span` says whether a core of it has threads on other nodes too. `largest_l3` is how many CPUs for
    dedicated vCPUs one L3 domain has at most, those of fixed pins included; `floats_in_one_l3` says whether all CPUs
    that may carry shared vCPUs are in one, `beside_floats` how many dedicated vCPUs may be there beside a shared one.
    """

    cores: tuple[FreeCore, ...]
    shared_cpus: frozenset[int]
    usable_cpus: int
    largest_l3: int
    floats_in_one_l3: bool
    beside_floats: int
    cores_span: bool
    memory_kib: int
    pages: Mapping[int, int]
    devices: Mapping[str, int]
    resources: Mapping[str, int]
    memory_told: bool = True

    @property
    def l3_domains(self) -> int:
        """L3 domains that its CPUs for VMs are in; one where the host does not tell."""
        return max(1, len({core.l3 for core in self.cores}))

    @property
    def dedicated_cpus(self) -> frozenset[int]:
        """Free CPUs for dedicated vCPUs."""
        return frozenset(cpu for core in self.cores for cpu in core.cpus)


@dataclass(frozen=True, slots=True)
class HostCapacity:
    """Capacity of every node, by position, and what belongs to the host as a whole."""

    nodes: tuple[NodeCapacity, ...]
    devices: Mapping[str, int]
    resources: Mapping[str, int]
    ratio: Fraction
    split: bool
    pages_told: bool = True


def host_capacity(host: Host, taken: frozenset[int] = frozenset()) -> HostCapacity:
    """Return what a host can give; `taken` are CPUs that fixed pins hold (their isolated siblings included)."""
    topology = host.topology
    dedicated = host.dedicated_pool - taken
    shared = host.shared_pool - taken
    unheld = host.usable_cpus - taken
    reserved = reserved_memory(host)
    nodes = []
    for position, node in enumerate(topology.nodes):
        cores: list[FreeCore] = []
        for index in sorted({topology.core_of_cpu[cpu] for cpu in node.cpus & dedicated}):
            core = topology.cores[index]
            free = tuple(sorted(core & node.cpus & dedicated))
            cores.append(
                FreeCore(
                    cpus=free,
                    width=len(core),
                    l3=topology.l3_of_cpu.get(free[0]),
                    floats=core & node.cpus & shared,
                    beside=tuple(sorted((core & node.cpus & unheld) - dedicated)),
                    slow=free[0] in topology.efficiency,
                )
            )
        pages = {size: max(0, count - reserved_pages(host, node.id, size)) for size, count in node.pages.items()}
        ordinary = max(
            0,
            int((node.memory_kib - node.pool_kib - reserved[position]) * Fraction(str(host.memory_ratio))),
        )
        planable = node.kind is not NodeKind.DEVICE
        nodes.append(
            NodeCapacity(
                cores=tuple(cores) if planable else (),
                shared_cpus=(node.cpus & shared) if planable else frozenset(),
                usable_cpus=len(node.cpus & host.usable_cpus),
                largest_l3=_largest_l3(host, node.cpus),
                floats_in_one_l3=len({topology.l3_of_cpu.get(cpu) for cpu in node.cpus & host.shared_pool}) <= 1,
                beside_floats=_beside_floats(host, node.cpus),
                cores_span=any(not topology.cores[topology.core_of_cpu[cpu]] <= node.cpus for cpu in node.cpus),
                memory_kib=ordinary if planable else 0,
                pages=pages if planable else {},
                devices=_count((device.kind, device.count) for device in topology.devices if device.node == node.id),
                resources=node.resources,
                memory_told=node.memory_kib > 0,
            )
        )
    return HostCapacity(
        pages_told=topology.pages_told,
        nodes=tuple(nodes),
        devices=_count(
            (device.kind, device.count) for device in topology.devices if device.node not in topology.node_ids
        ),
        resources=host.resources,
        ratio=Fraction(str(host.cpu_ratio)),
        split=host.dedicated_cpus is not None or host.shared_cpus is not None,
    )


def _largest_l3(host: Host, cpus: frozenset[int]) -> int:
    """Return the most CPUs for dedicated vCPUs that an L3 domain has on a node; those that no domain is told of are
    one.
    """
    return max(Counter(host.topology.l3_of_cpu.get(cpu) for cpu in cpus & host.dedicated_pool).values(), default=0)


def _beside_floats(host: Host, cpus: frozenset[int]) -> int:
    """Return the CPUs for dedicated vCPUs in the L3 domains of a node's CPUs for shared ones, which keep one."""
    l3_of, floats = host.topology.l3_of_cpu, cpus & host.shared_pool
    domains = {l3_of.get(cpu) for cpu in floats}
    own = {cpu for cpu in cpus & host.dedicated_pool if l3_of.get(cpu) in domains}
    return len(own) - (bool(floats) and floats <= own)


def reserved_memory(host: Host) -> list[int]:
    """Return KiB reserved on each node: its own reserve, and an equal part of the host's over nodes with CPUs and
    memory.
    """
    nodes = host.topology.nodes
    reserve = host.reserve.memory_kib
    out = [reserve.get(node.id, 0) for node in nodes]
    whole = reserve.get(None, 0)
    if whole:
        sharing = [i for i, node in enumerate(nodes) if node.cpus and node.memory_kib] or list(range(len(nodes)))
        for position in sharing:
            out[position] += -(-whole // len(sharing))
    return out


def reserved_pages(host: Host, node_id: int, size_kib: int) -> int:
    """Return how many pages of a size the node's reserve keeps, with an equal part (rounded up) of the whole host's."""
    own = host.reserve.pages.get(node_id, {}).get(size_kib, 0)
    whole = host.reserve.pages.get(None, {}).get(size_kib, 0)
    if whole:
        holders = sum(1 for node in host.topology.nodes if node.pages.get(size_kib))
        own += -(-whole // max(1, holders))
    return own


def _count(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for kind, count in pairs:
        total[kind] += count
    return dict(total)


def with_idle(policy: str, cpus: Iterable[int], topology: Topology) -> set[int]:
    """Return CPUs with the siblings that a thread policy leaves idle beside them."""
    own = set(cpus)
    if policy == ThreadPolicy.PREFER:
        return own
    return own.union(*(topology.cores[topology.core_of_cpu[cpu]] for cpu in own if cpu in topology.core_of_cpu))


def held_cpus(vm: Vm, host: Host) -> set[int]:
    """Return the CPUs that a VM's fixed pins keep from others: pinned ones, siblings that its thread policy leaves
    idle, and the one that its emulator threads have for themselves.
    """
    held: set[int] = set()
    spec = vm.spec
    if spec.emulator_threads is EmulatorPolicy.ISOLATE and vm.current is not None and vm.current.emulator:
        held |= vm.current.emulator
    for vcpu, cpus in (vm.current.pins if vm.current else {}).items():
        if spec.cpu_policy is CpuPolicy.SHARED or not spec.is_dedicated(vcpu):
            continue
        held |= with_idle(spec.thread_policy, cpus, host.topology)
    return held
