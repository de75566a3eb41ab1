"""What a plan puts on each node of a host: cells with their CPUs and memory, and a letter a CPU."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from placer.model.host import Host, Topology
from placer.model.plan import PlanCell, PlanVm

_LETTERS = string.ascii_letters + string.digits[1:]
MANY = "#"
"""The mark of CPUs of VMs beyond the number of letters."""
FREE, RESERVED, SHARED, IDLE, UNTOLD = ".", "0", "~", "-", "?"


def letter(number: int) -> str:
    """Return the mark of the VM of this place among those of its host."""
    return _LETTERS[number] if number < len(_LETTERS) else MANY


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedCell:
    """A cell, or a part of one, on a node: its VM's letter, its vCPUs there and the CPUs they are pinned to.

    `memory_kib` is what of the cell's memory lies on this node. `floats` says that the CPUs are shared with other VMs,
    or that each vCPU has one of them for itself and nobody knows which (`untold`), `across` the nodes that the CPUs are
    of where these are several: the cell stands on the first of them alone.
    """

    mark: str
    vm: PlanVm
    cell: PlanCell
    vcpus: frozenset[int]
    cpus: frozenset[int]
    memory_kib: int
    floats: bool
    across: frozenset[int] = frozenset()
    node: int | None = None
    untold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedNode:
    """One node of a host under a plan; `cores` is empty and `memory_kib` None where its topology is unknown.

    `crossed` are CPUs of the node over which VMs float that stand on another node.
    `breaks` are the places of cores that begin another L3 domain than the core before them. `idle` are CPUs that a
    thread policy keeps empty, `socket` the number of the package around the node, `free_kib` of `room_kib` is what VMs
    may still take of its ordinary memory, None where not known, and `pools` the same of its huge pages: (page size in
    KiB, pages free, pages in all).
    """

    id: int
    cells: tuple[MappedCell, ...]
    cores: tuple[tuple[int, ...], ...] = ()
    memory_kib: int | None = None
    reserved: frozenset[int] = frozenset()
    breaks: frozenset[int] = frozenset()
    idle: frozenset[int] = frozenset()
    socket: int | None = None
    room_kib: int | None = None
    free_kib: int | None = None
    pools: tuple[tuple[int, int, int], ...] = ()
    crossed: frozenset[int] = frozenset()

    @property
    def dedicated(self) -> frozenset[int]:
        """CPUs that one vCPU has for itself."""
        return frozenset().union(*(cell.cpus for cell in self.cells if not cell.floats))

    @property
    def floating(self) -> frozenset[int]:
        """CPUs of the node that shared vCPUs float over."""
        over = self.crossed.union(*(cell.cpus for cell in self.cells if cell.floats and not cell.untold))
        over -= self.dedicated
        own = frozenset(cpu for core in self.cores for cpu in core)
        return over & own if own else over

    @property
    def taken_kib(self) -> int:
        """Memory of VMs on the node (KiB), without the overhead of QEMU."""
        return sum(cell.memory_kib for cell in self.cells)

    @property
    def free(self) -> frozenset[int]:
        """CPUs that nobody has, keeps empty or reserves."""
        held = self.dedicated | self.floating | self.reserved | self.idle
        return frozenset(cpu for core in self.cores for cpu in core) - held

    def row(self) -> str:
        """Return a mark a CPU, a core a word, L3 domains apart: a VM's letter, or free, reserved, shared, kept idle."""
        mark = {cpu: FREE for core in self.cores for cpu in core}
        for cell in self.cells:
            if cell.untold:
                mark |= dict.fromkeys(cell.cpus & mark.keys(), UNTOLD)
        mark |= dict.fromkeys(self.idle & mark.keys(), IDLE)
        mark |= dict.fromkeys(self.reserved & mark.keys(), RESERVED)
        mark |= dict.fromkeys(self.floating & mark.keys(), SHARED)
        for cell in self.cells:
            if not cell.floats:
                mark |= dict.fromkeys(cell.cpus & mark.keys(), cell.mark)
        words = ["".join(mark[cpu] for cpu in core) for core in self.cores]
        return " ".join(f"| {word}" if place in self.breaks else word for place, word in enumerate(words))


def map_host(vms: Sequence[PlanVm], host: Host | None) -> tuple[MappedNode, ...]:
    """Return the nodes of one host with what the plan's `vms` take of each.

    A cell stands on the node of its CPUs, and once more on a node that only holds memory of it. Without `host` the
    nodes are those of the cells' memory.
    """
    marks = {vm.name: letter(number) for number, vm in enumerate(vms)}
    cells: dict[int, list[MappedCell]] = defaultdict(list)
    node_of = host.topology.node_of_cpu if host is not None else {}
    crossed: frozenset[int] = frozenset()
    pinned = Counter(min(pin) for vm in vms for pin in vm.pins.values() if len(pin) == 1)
    for vm in vms:
        for cell in vm.cells:
            for node, vcpus in _vcpus_by_node(vm, cell, node_of).items():
                for floats in (False, True):
                    some = frozenset(vcpu for vcpu in vcpus if _floats(vm.pins[vcpu], pinned) is floats)
                    if not some and (vcpus or floats):
                        continue
                    cpus = frozenset().union(*(vm.pins[vcpu] for vcpu in some))
                    across = frozenset(node_of[cpu] for cpu in cpus if cpu in node_of) if floats else frozenset()
                    crossed |= cpus if len(across) > 1 else frozenset()
                    cells[node].append(
                        MappedCell(
                            mark=marks[vm.name],
                            vm=vm,
                            cell=cell,
                            vcpus=some,
                            cpus=cpus,
                            # A cell with both kinds of vCPU counts its memory once.
                            memory_kib=0 if floats and some != frozenset(vcpus) else cell.nodes.get(node, 0),
                            floats=floats,
                            across=across if len(across) > 1 else frozenset(),
                            node=node,
                        )
                    )
    if host is None:
        return tuple(MappedNode(id=node, cells=tuple(found)) for node, found in sorted(cells.items()))
    cores = sorted(host.topology.cores, key=lambda core: (_l3(host.topology, core), min(core)))
    found = []
    for at in host.topology.nodes:
        own = [core for core in cores if core <= at.cpus]
        domains = [_l3(host.topology, core) for core in own]
        around = [number for number, package in enumerate(host.topology.packages) if at.cpus <= package]
        found.append(
            MappedNode(
                id=at.id,
                cells=tuple(cells.get(at.id, ())),
                cores=tuple(tuple(sorted(core)) for core in own),
                memory_kib=at.memory_kib,
                reserved=host.reserve.cpus & at.cpus,
                crossed=crossed & at.cpus,
                breaks=frozenset(n for n in range(1, len(own)) if domains[n] != domains[n - 1]),
                socket=around[0] if len(host.topology.packages) > 1 and at.cpus and around else None,
            )
        )
    return tuple(found)


def in_place(vms: Iterable[PlanVm]) -> list[PlanVm]:
    """Return VMs of one host by their CPUs: the order of the letters in every picture of it."""
    return sorted(vms, key=lambda vm: (tuple(sorted(min(pin) for pin in vm.pins.values())), len(vm.cells), vm.name))


def _l3(topology: Topology, core: frozenset[int]) -> int:
    return topology.l3_of_cpu.get(min(core), -1)


def _floats(pin: frozenset[int], pinned: Mapping[int, int]) -> bool:
    """Tell whether a vCPU shares its CPUs: it may use several, or others are pinned to its only one."""
    return len(pin) > 1 or pinned[min(pin)] > 1


def _vcpus_by_node(vm: PlanVm, cell: PlanCell, node_of: Mapping[int, int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {node: [] for node in cell.nodes}
    for vcpu in sorted(cell.vcpus):
        node = node_of.get(min(vm.pins[vcpu]), next(iter(cell.nodes), None))
        # Without its host nobody knows on which node a CPU of a VM that floats is: it is not drawn.
        if node is not None:
            found.setdefault(node, []).append(vcpu)
    return found
