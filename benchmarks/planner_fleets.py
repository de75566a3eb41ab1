"""A planner's live fleet: hosts of three kinds, each run in its own way, and some VMs pinned away from their memory."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.instances import KIB_PER_GIB, cell_spec, smt_topology
from placer.model.fleet import Fleet
from placer.model.host import Host, Reserve, Topology
from placer.model.vm import CpuPolicy, Current, Vm

KINDS = ((5, 2, 1, 40, 192), (2, 2, 4, 16, 64), (1, 2, 1, 24, 96))
"""Weight, packages, nodes of a package, CPUs and GiB of a node."""
WAYS = (
    ("pinned", 40, 0.72, 1.0),
    ("by node", 20, 1.5, 2.0),
    ("overcommitted", 25, 2.6, 3.0),
    ("unpinned", 15, 0.7, 1.0),
)
"""How hosts are run, weight, vCPUs per CPU that they carry, and the ratio of shared vCPUs they may."""
SIZES = ((1, 2), (2, 4), (2, 8), (4, 8), (4, 16), (8, 16), (8, 32), (12, 48), (16, 64))
APART = 0.08
TRIES = 200


def planner_fleet(*, seed: int, hosts: int, own_sizes: bool = False) -> Fleet:
    """Return hosts of 2 and 8 nodes with VMs of 1 to 16 vCPUs.

    On pinned hosts `APART` of the VMs have their CPUs on any node; `own_sizes` gives nearly every VM a memory size of
    its own, as years of resizing do.
    """
    draw = random.Random(f"{seed} {hosts} {own_sizes}")
    topologies = [
        smt_topology(packages=a, nodes_per_package=b, cpus_per_node=c, memory_kib=gib * KIB_PER_GIB, across=21.0)
        for _, a, b, c, gib in KINDS
    ]
    machines: list[Host] = []
    vms: list[Vm] = []
    for number in range(hosts):
        kind = draw.choices(range(len(KINDS)), [weight for weight, *_ in KINDS])[0]
        way, _, share, ratio = draw.choices(WAYS, [way[1] for way in WAYS])[0]
        topology = topologies[kind]
        host = Host(
            name=f"host-{number}",
            topology=topology,
            reserve=Reserve(cpus=frozenset({min(topology.cpus)})),
            cpu_ratio=ratio,
            labels={"rack": str(number // 20)},
        )
        machines.append(host)
        filled = _fill(draw, host.name, topology, way, share * draw.uniform(0.75, 1.0), own_sizes)
        vms.extend([replace(vm, name=f"vm-{len(vms) + n}") for n, vm in enumerate(filled)])
    return Fleet(hosts=tuple(machines), vms=tuple(vms))


def _fill(draw: random.Random, host: str, topology: Topology, way: str, share: float, own_sizes: bool) -> list[Vm]:
    """Return VMs of a host, until it carries so many vCPUs per CPU or none fits any more."""
    nodes = range(len(topology.nodes))
    cpus = [len(topology.nodes[node].cpus) - (1 if node == 0 else 0) for node in nodes]
    most = [int(count * max(1.0, share)) for count in cpus]
    free_kib = [topology.nodes[node].memory_kib - 8 * KIB_PER_GIB for node in nodes]
    vms: list[Vm] = []
    taken = 0
    for _ in range(TRIES):
        if taken >= share * sum(cpus):
            break
        vcpus, gib = draw.choice([size for size in SIZES if size[0] <= min(cpus) // 2])
        memory_kib = gib * KIB_PER_GIB // (2 if way == "overcommitted" else 1)
        if own_sizes:
            memory_kib = int(memory_kib * draw.uniform(0.6, 1.1)) // 16384 * 16384
        memory_on = draw.choice(nodes)
        at = draw.choice(nodes) if way == "pinned" and draw.random() < APART else memory_on
        if free_kib[memory_on] < memory_kib or most[at] < vcpus:
            continue
        free_kib[memory_on] -= memory_kib
        most[at] -= vcpus
        taken += vcpus
        spec = cell_spec(1, vcpus, memory_kib)
        if way != "pinned":
            spec = replace(spec, cpu_policy=CpuPolicy.SHARED)
        known = Current(host=host, nodes=(topology.node_ids[at],), memory_nodes=(topology.node_ids[memory_on],))
        vms.append(Vm(name="", spec=spec, current=Current(host=host) if way == "unpinned" else known))
    return vms
