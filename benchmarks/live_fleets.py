"""Fleets that run already, filled at random as greedy schedulers leave them: full here, empty there, cells apart."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.instances import KIB_PER_GIB, cell_spec, smt_topology
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.vm import Current, Vm, VmSpec

MISSES = 6
"""So many VMs in a row that do not fit end the filling of a host."""


@dataclass(slots=True)
class _Node:
    cpus: int
    memory_kib: int


def two_node_fleet(*, seed: int, hosts: int) -> Fleet:
    """Return hosts of 2 nodes x 44 CPUs / 180 GiB, each filled to 70-98 % of its CPUs by 11 flavors.

    Flavors of 32 vCPUs and more have two cells, one on each node.
    """
    topology = smt_topology(packages=2, nodes_per_package=1, cpus_per_node=44, memory_kib=180 * KIB_PER_GIB, across=21)
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
    return _filled(seed, [topology] * hosts, flavors)


def many_node_fleet(*, seed: int, hosts: int) -> Fleet:
    """Return hosts of 4 nodes x 32 CPUs and of 8 nodes x 16 CPUs by turns, with VMs of 1, 2 and 4 cells anywhere."""
    four = smt_topology(packages=2, nodes_per_package=2, cpus_per_node=32, memory_kib=128 * KIB_PER_GIB)
    eight = smt_topology(packages=2, nodes_per_package=4, cpus_per_node=16, memory_kib=64 * KIB_PER_GIB)
    flavors = [
        (cell_spec(cells, vcpus, vcpus * gib * KIB_PER_GIB), weight)
        for cells, vcpus, gib, weight in (
            (1, 2, 4, 20),
            (1, 4, 2, 20),
            (1, 4, 4, 20),
            (1, 8, 4, 14),
            (1, 12, 4, 4),
            (2, 4, 4, 8),
            (2, 8, 4, 6),
            (4, 4, 4, 2),
            (4, 6, 2, 1),
        )
    ]
    return _filled(seed, [(four, eight)[number % 2] for number in range(hosts)], flavors)


def _filled(seed: int, topologies: list[Topology], flavors: list[tuple[VmSpec, int]]) -> Fleet:
    random_ = random.Random(f"{seed} {len(topologies)}")
    specs, weights = [spec for spec, _ in flavors], [weight for _, weight in flavors]
    hosts: list[Host] = []
    vms: list[Vm] = []
    for number, topology in enumerate(topologies):
        host = Host(name=f"host-{number}", topology=topology)
        hosts.append(host)
        free = [_Node(len(node.cpus), node.memory_kib) for node in topology.nodes]
        target = len(topology.cpus) * random_.uniform(0.7, 0.98)
        taken = misses = 0
        while misses < MISSES and taken < target:
            spec = random_.choices(specs, weights)[0]
            chosen = random_.sample(range(len(free)), len(spec.cells))
            wanted = [
                (free[node], len(cell.vcpus), cell.memory_kib) for node, cell in zip(chosen, spec.cells, strict=True)
            ]
            if any(node.cpus < vcpus or node.memory_kib < memory for node, vcpus, memory in wanted):
                misses += 1
                continue
            misses = 0
            for node, vcpus, memory in wanted:
                node.cpus -= vcpus
                node.memory_kib -= memory
            taken += spec.vcpus
            ids = tuple(topology.node_ids[node] for node in chosen)
            vms.append(
                Vm(name=f"vm-{len(vms)}", spec=spec, current=Current(host=host.name, nodes=ids, memory_nodes=ids))
            )
    return Fleet(hosts=tuple(hosts), vms=tuple(vms))
