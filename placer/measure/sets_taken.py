"""What placed VMs take of a host by sets of nodes: memory by pool, shared vCPUs, dedicated CPUs a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from placer.model.core_pairs import core_pairs, one_each
from placer.model.host import Host, NodeKind, Topology
from placer.model.plan import PlanVm
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy, Vm, VmSpec

Nodes = frozenset[int]
SMALLEST_PAGE_KIB = 4


@dataclass(slots=True)
class Taken:
    """What one VM takes. Keys are sets of node ids; a set of one is that node.

    `memory` maps (nodes, page size or None) to KiB; `shared` nodes to shared vCPUs; `beyond` are those above the CPUs
    that they may run on; `threads` and `cores` what dedicated vCPUs and own emulator CPUs take on a node, siblings left
    idle included; `floated` those of the CPUs that may be floated over which fixed pins take; `devices` and `resources`
    by node (None: the host).
    """

    memory: Counter[tuple[Nodes, int | None]] = field(default_factory=Counter)
    shared: Counter[Nodes] = field(default_factory=Counter)
    beyond: int = 0
    threads: Counter[int] = field(default_factory=Counter)
    cores: Counter[int] = field(default_factory=Counter)
    floated: Counter[int] = field(default_factory=Counter)
    devices: Counter[tuple[int | None, str]] = field(default_factory=Counter)
    resources: Counter[tuple[int | None, str]] = field(default_factory=Counter)


def taken_by(vm: Vm, host: Host, planned: PlanVm) -> Taken:
    """Return what a placed VM takes of its host."""
    topology, spec = host.topology, vm.spec
    out = Taken()
    for nodes, size, kib in memory_items(spec, topology, planned):
        out.memory[nodes, size] += kib
    node_of = topology.node_of_cpu
    first = next((number for number, cell in enumerate(planned.cells) if cell.vcpus), None)
    held, pairs = own_vcpus(vm, planned), core_pairs(planned.pins)
    for number, cell in enumerate(planned.cells):
        own = sorted(cell.vcpus & held)
        floating = sorted(cell.vcpus - held)
        by_node = Counter(min(node_of[cpu] for cpu in planned.pins[vcpu]) for vcpu in own)
        for node, count in by_node.items():
            width = topology.core_width[node]
            cores = 0 if spec.thread_policy is ThreadPolicy.PREFER else -(-count // width)
            cores = count if spec.thread_policy is ThreadPolicy.ISOLATE else cores
            out.threads[node] += count
            out.cores[node] += cores if width > 1 else 0
            if (
                cores
                and width > 1
                and not any(_is_named(planned, vcpu, pairs) for vcpu in own)
                and _alike(topology, node)
            ):
                # Which siblings it leaves idle is not known: so many they are.
                out.threads[node] += cores * width - count
        # Siblings that are left idle are gone too, as far as they are usable at all, and an emulator's own CPU.
        pinned = {cpu for vcpu in own if _is_named(planned, vcpu, pairs) for cpu in planned.pins[vcpu]}
        beside: set[int] = set()
        if spec.thread_policy is not ThreadPolicy.PREFER:
            beside.update(*(topology.cores[topology.core_of_cpu[cpu]] for cpu in pinned))
        if spec.emulator_threads is EmulatorPolicy.ISOLATE and number == first and (own or not planned.bound):
            beside |= planned.emulator or frozenset()
            if planned.emulator is None:
                # It has a CPU of its own, nobody knows which: on the node of the first part, where plans put it.
                out.threads[node_of[min(planned.pins[min(cell.vcpus)])]] += 1
        for cpu in (beside - pinned) & host.dedicated_pool:
            out.threads[node_of[cpu]] += 1
        for cpu in (beside | pinned) & host.shared_pool if vm.pins_fixed else ():
            out.floated[node_of[cpu]] += 1
        floating = [vcpu for vcpu in floating if spec.is_online(vcpu)]
        if floating and planned.bound:
            nodes = _cpu_set(topology, planned, number, floating)
            carry = sum(len(topology.node(node).cpus & host.shared_pool) for node in nodes)
            most = min(len(floating), carry)
            out.shared[nodes] += most
            out.beyond += len(floating) - most
        for vcpu in () if planned.bound else floating:
            # Of a flat guest whose memory is in parts each vCPU is on the node of its part.
            out.shared[frozenset(node_of[cpu] for cpu in planned.pins[vcpu])] += 1
    for kind, at in planned.devices:
        out.devices[at, kind] += 1
    used = _resource_nodes(topology, vm, planned) if spec.resources else []
    on_nodes = {name for node in topology.nodes for name in node.resources} if spec.resources else set()
    for name, amount in spec.resources.items():
        for at in used if name in on_nodes else [None]:
            out.resources[at, name] += -(-amount // len(used)) if name in on_nodes else amount
    return out


def _is_named(planned: PlanVm, vcpu: int, pairs: frozenset[int]) -> bool:
    """Tell whether it is known which CPU a dedicated vCPU has."""
    return len(planned.pins[vcpu]) == 1 or vcpu in pairs


def _alike(topology: Topology, node: int) -> bool:
    """Tell whether all cores of a node have as many threads."""
    return len({len(topology.cores[topology.core_of_cpu[cpu]]) for cpu in topology.node(node).cpus}) == 1


def beside_shared(taken: Taken, host: Host, room: Mapping[int, int]) -> Iterator[tuple[Nodes, int]]:
    """Yield (nodes, CPUs) taken beside shared vCPUs: of the CPUs that these float over on their node what fixed pins
    have there, all else of any. CPUs that nobody may float over stand for a node of their own, as in `room_beside`.
    """
    split = host.dedicated_cpus is not None or host.shared_cpus is not None
    for node in taken.floated.keys() | taken.threads.keys():
        floated = taken.floated[node]
        if floated:
            yield frozenset((node,)), floated
        if not split and taken.threads[node] > floated:
            both = (node, -1 - node) if room.get(-1 - node) else (node,)
            yield frozenset(both), taken.threads[node] - floated


def room_beside(host: Host) -> dict[int, int]:
    """Return the CPUs of each node that may be floated over, and those for dedicated vCPUs alone by -1 - node."""
    out: dict[int, int] = {}
    for node in host.topology.nodes:
        if node.kind is not NodeKind.DEVICE:
            out[node.id] = len(node.cpus & host.shared_pool)
            out[-1 - node.id] = len((node.cpus & host.dedicated_pool) - host.shared_pool)
    return out


def memory_items(spec: VmSpec, topology: Topology, planned: PlanVm) -> Iterator[tuple[Nodes, int | None, int]]:
    """Yield (nodes, page size of the pool or None, KiB) of all memory that a placed VM takes.

    Where a page size is set, a cell takes whole pages on each of its nodes. The overhead is taken from ordinary memory
    in equal parts, each rounded up to a KiB: a part a node of every cell, or one a cell that floats.
    """
    places: list[Nodes] = []
    for number, cell in enumerate(planned.cells):
        own = spec.page_of(number)
        size = None if own == topology.page_kib or not topology.pages_told else own
        page = own or SMALLEST_PAGE_KIB
        if cell.mode == "floats":
            nodes = bound_memory(topology, planned, number)
            places.append(nodes)
            yield nodes, size, -(-cell.memory_kib // page) * page
            continue
        for node, kib in cell.nodes.items():
            places.append(frozenset((node,)))
            yield places[-1], size, -(-kib // page) * page
    share = -(-spec.overhead_taken_kib // len(places)) if places else 0
    for nodes in places:
        yield nodes, None, share


def bound_memory(topology: Topology, planned: PlanVm, cell: int) -> Nodes:
    """Return the nodes that the memory of a cell may lie on."""
    bound = planned.bound[cell if len(planned.bound) > 1 else 0] if planned.bound else None
    return bound.memory if bound is not None and bound.memory is not None else topology.memory_nodes


def own_vcpus(vm: Vm, planned: PlanVm) -> frozenset[int]:
    """Return the vCPUs that have a CPU of their own: dedicated, and of a VM that is not bound pinned to one alone, now
    as in the plan, or with others to the threads of a core. What floats gets none: where its host has one CPU for VMs
    it floats over that.
    """
    spec = vm.spec
    if spec.cpu_policy is CpuPolicy.SHARED:
        return frozenset()
    dedicated = frozenset(filter(spec.is_dedicated, planned.pins))
    if not planned.bound or not dedicated:
        return dedicated
    pairs = core_pairs(planned.pins)
    now = one_each(vm.current.pins) if vm.current is not None else {}
    alone = (vcpu for vcpu in dedicated if len(planned.pins[vcpu]) == len(now.get(vcpu, ())) == 1)
    return frozenset(alone) | (pairs & dedicated)


def _cpu_set(topology: Topology, planned: PlanVm, number: int, vcpus: list[int]) -> Nodes:
    node_of = topology.node_of_cpu
    if planned.bound:
        bound = planned.bound[number if len(planned.bound) > 1 else 0]
        if bound.cpus is not None:
            return bound.cpus
    # Mostly all vCPUs may run on the same CPUs.
    return frozenset(node_of[cpu] for pin in {planned.pins[vcpu] for vcpu in vcpus} for cpu in pin)


def _resource_nodes(topology: Topology, vm: Vm, planned: PlanVm) -> list[int]:
    """Return the nodes that a free resource of nodes is taken on in equal parts: of each cell's vCPUs, once a cell."""
    out: list[int] = []
    for cell in planned.cells:
        nodes = sorted({topology.node_of_cpu[cpu] for vcpu in cell.vcpus for cpu in planned.pins[vcpu]})
        out += nodes if planned.bound or vm.spec.interleave > 1 else nodes[:1]
    return sorted(set(out)) if planned.bound else out
