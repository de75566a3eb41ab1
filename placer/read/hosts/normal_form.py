"""The one builder all topology readers go through: what a file told, made into placer's normal form.

A reader fills a `RawHost` with what its file says and nothing else; `build` fills the holes by the rules below
and writes each of them down in `Topology.assumptions`:

- CPUs that are offline leave every set. A CPU in two nodes or two cores is refused;
  L3 domains that overlap are left out.
- No node told: one node, 0, with all CPUs and memory.
- Threads per core not told: every CPU is a core. Packages not told: every node with CPUs is one.
- Memory not told counts as 0. Page pools that exceed their node's memory are left out.
- A diagonal that is not 10 becomes 10. A distance not told is that of the way back if that is told, else 20, the
  figure the kernel takes itself (``REMOTE_DISTANCE`` in ``include/linux/topology.h``).
- Where latencies are told for every pair of a node with CPUs and a node with memory, they replace the SLIT figures:
  10 × latency / local latency (ACPI 6.5, 5.2.28.4).
- A node without CPUs is memory-only, unless it is a device's memory (see `gpu_memory`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from placer.errors import Fault, InputError
from placer.model.cpuset import MAX_CPU, format_cpuset
from placer.model.host import LOCAL, THREADS_UNTOLD, UNREACHABLE, Device, Node, NodeKind, Topology
from placer.model.units import format_kib
from placer.read.hosts.cpu_groups import distinct, likely_slower, overlap
from placer.read.hosts.gpu_memory import device_nodes
from placer.read.hosts.raw_host import MAX_NODE, MAX_NODES, RawHost, RawNode, node_names

ONE_NODE = "no NUMA nodes are told: one node with all CPUs and memory is assumed"
REMOTE_DEFAULT = 20.0
"""The kernel's distance between nodes of which the firmware says nothing."""
MAX_MEMORY_KIB = 2**53
"""The largest memory taken for one node (8 ZiB): above it the file is damaged."""


NARROW_ARE_SLOW = "cores of one thread beside cores of several are taken for efficiency cores"


def build(raw: RawHost) -> Topology:
    """Return the host in normal form.

    Raises
    ------
    InputError
        The file contradicts itself or tells no CPUs; every such fault is in it.
    """
    raw.online -= raw.offline
    faults = _impossible(raw)
    if faults:
        raise InputError(faults)
    assumptions = list(raw.assumptions)
    if raw.offline:
        which = f"CPU {min(raw.offline)} is" if len(raw.offline) == 1 else f"CPUs {format_cpuset(raw.offline)} are"
        assumptions.append(f"{which} offline: left out")
    _assume_one_node(raw, assumptions)
    _take_cpus(raw, assumptions)
    cores = _cores(raw, assumptions)
    packages = distinct(raw.packages or [], raw.online)
    if set().union(*packages) != raw.online or sum(map(len, packages)) != len(raw.online):
        packages = distinct([frozenset(node.cpus) for node in raw.nodes.values()], raw.online)
        if len(raw.nodes) > 1:
            assumptions.append("packages are not told: every NUMA node with CPUs is taken as one")
    l3 = distinct(raw.l3, raw.online)
    if twice := overlap(l3):
        first, second = format_cpuset(twice[1]), format_cpuset(twice[2])
        assumptions.append(f"L3 domains {first} and {second} overlap, which cannot be: none is taken")
        l3 = ()
    efficiency = _efficiency(raw, cores, assumptions)
    _refine(raw, assumptions)
    distances = _distances(raw, assumptions)
    nodes = _nodes(raw, assumptions)
    ids = sorted(raw.nodes)
    bandwidth = None
    if raw.bandwidths_mib_s:
        bandwidth = tuple(tuple(raw.bandwidths_mib_s.get((i, j)) for j in ids) for i in ids)
    return Topology(
        pages_told=raw.pages_told,
        nodes=nodes,
        distances=distances,
        cores=cores,
        packages=packages,
        dies=distinct(raw.dies, raw.online),
        clusters=distinct(raw.clusters, raw.online),
        l3=l3,
        devices=_devices(raw),
        page_kib=raw.page_kib or 4,
        arch=raw.arch,
        model=raw.model,
        kvm=raw.kvm,
        offline=frozenset(raw.offline),
        efficiency=efficiency,
        bandwidth_mib_s=bandwidth,
        assumptions=tuple(assumptions),
        source=raw.source,
    )


def _efficiency(raw: RawHost, cores: tuple[frozenset[int], ...], assumptions: list[str]) -> frozenset[int]:
    """Return the CPUs of efficiency cores: whole cores, and never all of a host."""
    slow = frozenset().union(*(core for core in cores if core & raw.efficiency))
    if not slow and (slow := likely_slower(cores, raw.offline)):
        assumptions.append(NARROW_ARE_SLOW)
    return slow if slow < raw.online else frozenset()


def _devices(raw: RawHost) -> tuple[Device, ...]:
    """Return the devices by address; on a host of one node all of them hang on it, whatever the firmware leaves out. A
    root port with one device behind is no group.
    """
    if len(raw.nodes) == 1:
        (only,) = raw.nodes
        raw.devices = [replace(device, node=only) for device in raw.devices]
    ports = Counter(device.group for device in raw.devices)
    near = [device if ports[device.group] > 1 else replace(device, group=None) for device in raw.devices]
    return tuple(sorted(near, key=lambda device: device.address))


def _impossible(raw: RawHost) -> list[Fault]:
    """Return what no rule can mend: CPUs in several nodes, numbers out of any range, nothing to run on."""
    faults: list[Fault] = []

    def fault(message: str, cure: str | None = None) -> None:
        faults.append(Fault(message=message, file=raw.source, cure=cure))

    if not raw.online:
        fault("the file tells no CPU that is online", "take one that names CPUs: virsh capabilities, or a tar of /sys")
    if raw.online and max(raw.online) > MAX_CPU:
        fault(f"CPU {max(raw.online)} is above the largest CPU number {MAX_CPU}")
    if len(raw.nodes) > MAX_NODES:
        fault(f"{len(raw.nodes)} NUMA nodes are more than {MAX_NODES}")
    strange = [node for node in raw.nodes if not 0 <= node <= MAX_NODE]
    if strange:
        fault(f"NUMA node id {strange[0]} is not between 0 and {MAX_NODE}")
    for node_id, node in raw.nodes.items():
        if node.memory_kib is not None and node.memory_kib > MAX_MEMORY_KIB:
            fault(f"node {node_id} has {node.memory_kib} KiB of memory, more than any machine")
    for pair, distance in raw.distances.items():
        if not 0 <= distance <= UNREACHABLE:
            fault(f"the distance from node {pair[0]} to node {pair[1]} is {distance:g}, not between 0 and 255")
            break
    owner: dict[int, int] = {}
    shared: dict[tuple[int, int], set[int]] = {}
    for node_id in sorted(raw.nodes):
        for cpu in raw.nodes[node_id].cpus & raw.online:
            if cpu in owner:
                shared.setdefault((owner[cpu], node_id), set()).add(cpu)
            owner.setdefault(cpu, node_id)
    if shared:
        (first, second), cpus = min(shared.items())
        more = f" (and {len(shared) - 1} more such pairs of nodes)" if len(shared) > 1 else ""
        fault(
            f"the file shows CPUs {format_cpuset(cpus)} in NUMA node {first} and in node {second}{more}; "
            "a CPU is in one node",
            "gather the host again without numa=fake, or correct the node's cpus",
        )
    twice = overlap(distinct(raw.cores or [], raw.online))
    if twice:
        fault(f"CPU {twice[0]} is in two cores, {format_cpuset(twice[1])} and {format_cpuset(twice[2])}")
    return faults


def _assume_one_node(raw: RawHost, assumptions: list[str]) -> None:
    if not raw.nodes:
        raw.nodes[0] = RawNode(cpus=set(raw.online), memory_kib=raw.memory_kib)
        assumptions.append(ONE_NODE)


def _take_cpus(raw: RawHost, assumptions: list[str]) -> None:
    """Leave only online CPUs in the nodes; refuse CPUs of which no node is known."""
    for node in raw.nodes.values():
        node.cpus &= raw.online
    placed: set[int] = set().union(*(node.cpus for node in raw.nodes.values()))
    homeless = raw.online - placed
    if homeless and not placed and len(raw.nodes) == 1:
        next(iter(raw.nodes.values())).cpus |= homeless
        assumptions.append("the only NUMA node does not tell its CPUs: all of them are taken")
    elif homeless:
        raise InputError(
            f"CPUs {format_cpuset(homeless)} are online and in no NUMA node",
            file=raw.source,
            cure="gather the host again: a node's CPU list is missing or cut off",
        )


def _cores(raw: RawHost, assumptions: list[str]) -> tuple[frozenset[int], ...]:
    cores = distinct(raw.cores or [], raw.online)
    alone = raw.online - set().union(*cores)
    if alone:
        which = "every CPU counts" if len(alone) == len(raw.online) else f"CPUs {format_cpuset(alone)} count each"
        told = f" CPU by CPU, only that there are {raw.threads}" if (raw.threads or 1) > 1 else ""
        assumptions.append(f"{THREADS_UNTOLD}{told}: {which} as a core")
        cores = distinct([*cores, *(frozenset({cpu}) for cpu in alone)], raw.online)
    return cores


def _distances(raw: RawHost, assumptions: list[str]) -> tuple[tuple[float, ...], ...]:
    """Return the whole SLIT matrix over the nodes in order of id, its holes filled."""
    ids = sorted(raw.nodes)
    mended = [i for i in ids if raw.distances.get((i, i), LOCAL) != LOCAL]
    if mended:
        assumptions.append(f"the distance of {node_names(mended)} to itself is not 10 in the file: 10 is taken")
    told = {pair: value for pair, value in raw.distances.items() if pair[0] != pair[1] and value >= LOCAL}
    back = default = 0
    near: list[tuple[int, int]] = []
    rows = []
    for i in ids:
        row = []
        for j in ids:
            value = LOCAL if i == j else told.get((i, j))
            # Nothing runs on a node without CPUs: what its row holds is of no account, and not worth a word.
            counts = bool(raw.nodes[i].cpus)
            if value is None and (j, i) in told:
                value, back = told[j, i], back + counts
            if value is None:
                value, default = REMOTE_DEFAULT, default + counts
            if i != j and value == LOCAL and counts:
                near.append((i, j))
            row.append(value)
        rows.append(tuple(row))
    if default and not told:
        assumptions.append("distances are not told: 20 between any two nodes, as the kernel assumes")
    elif default:
        assumptions.append(f"{default} distances between nodes are not told: 20 each, as the kernel assumes")
    if back:
        assumptions.append(f"{back} distances are told one way only: the same is taken for the way back")
    if near:
        first, second = near[0]
        assumptions.append(
            f"node {second} is as near to node {first} as its own memory (distance 10) in {len(near)} pairs: "
            "the firmware's table may be wrong"
        )
    return tuple(rows)


def _refine(raw: RawHost, assumptions: list[str]) -> None:
    """Put latencies in place of SLIT figures where every pair that a VM can use was measured."""
    initiators = [i for i, node in raw.nodes.items() if node.cpus]
    targets = [i for i, node in raw.nodes.items() if node.memory_kib or node.cpus or (i, i) in raw.latencies]
    pairs = {(i, j) for i in initiators for j in targets}
    if len(targets) < 2 or any(raw.latencies.get(pair, 0) <= 0 for pair in pairs):
        return
    assumptions.append(
        "distances between CPUs and memory are 10 x latency / local latency (HMAT), not the SLIT figures"
    )
    for i, j in pairs:
        raw.distances[i, j] = relative_distance(raw.latencies[i, j], raw.latencies[i, i])


def relative_distance(latency: float, local: float) -> float:
    """Return the SLIT-like figure of a measured latency: 10 × latency / local latency, within 10 and 254.

    255 would mean unreachable, which a node with a measured latency is not; nothing is nearer than local memory.
    """
    return round(min(max(LOCAL * latency / local, LOCAL), UNREACHABLE - 1), 6)


def _nodes(raw: RawHost, assumptions: list[str]) -> tuple[Node, ...]:
    unknown = [i for i in sorted(raw.nodes) if raw.nodes[i].memory_kib is None]
    if unknown:
        assumptions.append(f"memory of {node_names(unknown)} is not told: it counts as 0")
    devices = device_nodes(raw, assumptions)
    nodes = []
    for i in sorted(raw.nodes):
        node = raw.nodes[i]
        memory = node.memory_kib or 0
        pages = {size: count for size, count in sorted(node.pages.items()) if count}
        pool = sum(size * count for size, count in pages.items())
        if pool > memory:
            assumptions.append(
                f"page pools of node {i} take {format_kib(pool)}, more than its memory of {format_kib(memory)}: "
                "left out"
            )
            pages = {}
        kind = NodeKind.NORMAL if node.cpus else NodeKind.DEVICE if i in devices else NodeKind.MEMORY_ONLY
        nodes.append(
            Node(
                id=i,
                cpus=frozenset(node.cpus),
                memory_kib=memory,
                pages=pages,
                kind=kind,
                free_kib=node.free_kib,
                free_pages={size: count for size, count in sorted(node.free_pages.items()) if size in pages},
            )
        )
    return tuple(nodes)
