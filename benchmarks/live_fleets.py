"""Fleets that run already, filled at random as greedy schedulers leave them: full here, empty there, some VMs apart
from their memory.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.instances import KIB_PER_GIB, cell_spec, smt_topology
from placer.model.fleet import Fleet
from placer.model.host import Host, Reserve, Topology
from placer.model.vm import Current, Vm, VmSpec

MISSES = 12
"""So many VMs in a row that do not fit end the filling of a host."""
TRIES = 30
"""Choices of nodes that a VM gets on a host before it counts as not fitting."""
_VCPUS = ((1, 6), (2, 14), (4, 22), (8, 18), (12, 4), (16, 10), (24, 3), (32, 3), (48, 1))
_GIB_PER_VCPU = ((2, 1), (4, 2), (8, 1))
_EQUAL_CELLS = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Hosts of one kind: CPUs and KiB that VMs may take of each node, and the flavors that run there with weights."""

    topology: Topology
    reserve: Reserve
    cpus: int
    memory_kib: int
    flavors: tuple[VmSpec, ...]
    weights: tuple[int, ...]

    @property
    def packages(self) -> tuple[int, ...]:
        """The package of each node, by position."""
        return tuple(
            next(n for n, package in enumerate(self.topology.packages) if node.cpus <= package)
            for node in self.topology.nodes
        )


def two_node_fleet(*, seed: int, hosts: int, remote_share: float = 0.0) -> Fleet:
    """Return hosts of 2 nodes x 44 CPUs / 180 GiB, each filled to 70-98 % of its CPUs by 10 flavors.

    Flavors of 32 vCPUs and more have two cells, one on each node. Of the others `remote_share` have their CPUs on one
    node and their memory on the other.
    """
    flavors = [
        (cell_spec(1, vcpus, vcpus * gib * KIB_PER_GIB), weight)
        for vcpus, gib, weight in (
            (2, 2, 8),
            (4, 2, 12),
            (4, 4, 12),
            (8, 2, 10),
            (8, 4, 14),
            (16, 2, 6),
            (16, 4, 8),
            (12, 8, 3),
        )
    ]
    flavors += [
        (cell_spec(2, vcpus, vcpus * gib * KIB_PER_GIB), weight) for vcpus, gib, weight in ((16, 4, 4), (22, 4, 1))
    ]
    kind = _Kind(
        topology=smt_topology(
            packages=2, nodes_per_package=1, cpus_per_node=44, memory_kib=180 * KIB_PER_GIB, across=21
        ),
        reserve=Reserve(),
        cpus=44,
        memory_kib=180 * KIB_PER_GIB,
        flavors=tuple(spec for spec, _ in flavors),
        weights=tuple(weight for _, weight in flavors),
    )
    random_ = random.Random(f"{seed} {hosts}")
    loads = [random_.uniform(0.7, 0.98) for _ in range(hosts)]
    return _filled(random_, [kind] * hosts, loads, remote_share)


def many_node_fleet(*, seed: int, hosts: int, load: float = 0.84, remote_share: float = 0.05) -> Fleet:
    """Return hosts of 4 nodes x 31 CPUs and of 8 nodes x 15 CPUs by turns, each filled to `load` of its CPUs.

    VMs of 1 to 48 vCPUs have the fewest equal cells with which they fit a node of where they run. Of all VMs
    `remote_share` are badly placed: those of one cell have their memory on another node, the others lie across the
    packages of an eight-node host.
    """
    kinds = (
        _many_node_kind(packages=4, nodes_per_package=1, cpus_per_node=32, memory_gib=124, across=21.0),
        _many_node_kind(packages=2, nodes_per_package=4, cpus_per_node=16, memory_gib=92, across=32.0),
    )
    chosen = [kinds[number % 2] for number in range(hosts)]
    return _filled(random.Random(f"{seed} {hosts} {load}"), chosen, [load] * hosts, remote_share)


def _many_node_kind(
    *, packages: int, nodes_per_package: int, cpus_per_node: int, memory_gib: int, across: float
) -> _Kind:
    topology = smt_topology(
        packages=packages,
        nodes_per_package=nodes_per_package,
        cpus_per_node=cpus_per_node,
        memory_kib=memory_gib * KIB_PER_GIB,
        across=across,
    )
    cpus = cpus_per_node - 1
    flavors, weights = [], []
    for vcpus, weight in _VCPUS:
        for gib, share in _GIB_PER_VCPU:
            for cells in _EQUAL_CELLS:
                if vcpus % cells == 0 and vcpus // cells <= cpus and vcpus // cells * gib <= memory_gib:
                    flavors.append(cell_spec(cells, vcpus // cells, vcpus // cells * gib * KIB_PER_GIB))
                    weights.append(weight * share)
                    break
    return _Kind(
        topology=topology,
        reserve=Reserve(cpus=frozenset(min(node.cpus) for node in topology.nodes)),
        cpus=cpus,
        memory_kib=memory_gib * KIB_PER_GIB,
        flavors=tuple(flavors),
        weights=tuple(weights),
    )


def _filled(random_: random.Random, kinds: Sequence[_Kind], loads: Sequence[float], remote_share: float) -> Fleet:
    hosts: list[Host] = []
    vms: list[Vm] = []
    for number, (kind, load) in enumerate(zip(kinds, loads, strict=True)):
        host = Host(name=f"host-{number}", topology=kind.topology, reserve=kind.reserve)
        hosts.append(host)
        free_cpus = [kind.cpus] * len(kind.topology.nodes)
        free_kib = [kind.memory_kib] * len(kind.topology.nodes)
        whole = sum(free_cpus)
        misses = 0
        while misses < MISSES and whole - sum(free_cpus) < load * whole:
            spec = random_.choices(kind.flavors, kind.weights)[0]
            where = _where(random_, kind, spec, free_cpus, free_kib, bad=random_.random() < remote_share)
            if where is None:
                misses += 1
                continue
            misses = 0
            for node, memory_node, cell in zip(*where, spec.cells, strict=True):
                free_cpus[node] -= len(cell.vcpus)
                free_kib[memory_node] -= cell.memory_kib
            nodes, memory_nodes = (tuple(kind.topology.node_ids[node] for node in part) for part in where)
            current = Current(host=host.name, nodes=nodes, memory_nodes=memory_nodes)
            vms.append(Vm(name=f"vm-{len(vms)}", spec=spec, current=current))
    return Fleet(hosts=tuple(hosts), vms=tuple(vms))


def _where(
    random_: random.Random,
    kind: _Kind,
    spec: VmSpec,
    free_cpus: Sequence[int],
    free_kib: Sequence[int],
    *,
    bad: bool,
) -> tuple[list[int], list[int]] | None:
    """Return nodes of the cells' CPUs and of their memory with room for them; None where no try finds any.

    `bad` splits a VM of one cell from its memory; a VM of several cells that is not stays in one package if it can.
    """
    packages, nodes = kind.packages, range(len(free_cpus))
    for number in range(TRIES):
        at = random_.sample(nodes, len(spec.cells))
        memory_at = at
        if len(at) == 1 and bad:
            memory_at = [random_.choice([node for node in nodes if node != at[0]])]
        together = len({packages[node] for node in at}) == 1 or len(set(packages)) == len(packages)
        if len(at) > 1 and not bad and not together and number < 2 * TRIES // 3:
            continue
        if all(
            free_cpus[node] >= len(cell.vcpus) and free_kib[memory_node] >= cell.memory_kib
            for node, memory_node, cell in zip(at, memory_at, spec.cells, strict=True)
        ):
            return at, memory_at
    return None
