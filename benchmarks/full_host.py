"""Hosts whose CPUs a known set of VMs fills to the last one: a plan that places all exists by construction."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from benchmarks.instances import KIB_PER_GIB, cell_spec, smt_topology
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.vm import Vm, VmSpec

GIB_PER_VCPU = 4


def full_fleet(
    *,
    seed: int,
    packages: int,
    nodes_per_package: int,
    cpus_per_node: int,
    vms: int,
    wide: Sequence[int] = (2, 2, 2, 4),
) -> Fleet:
    """Return one host with SMT-2 cores and `vms` VMs that fill it: 100 % CPU load.

    A fifth of the VMs have several equal cells (numbers of cells drawn from `wide`), cut from as many nodes; what is
    left of every node is cut at random into VMs of one cell, all of even vCPUs so that whole cores are used. Distances
    are 10, 12 within a package and 32 between; memory is ample. The order of the VMs is shuffled.
    """
    random_ = random.Random(seed)
    nodes = packages * nodes_per_package
    topology = smt_topology(
        packages=packages,
        nodes_per_package=nodes_per_package,
        cpus_per_node=cpus_per_node,
        memory_kib=2 * cpus_per_node * GIB_PER_VCPU * KIB_PER_GIB,
    )
    left = [cpus_per_node] * nodes
    specs: list[VmSpec] = []
    for _ in range(vms // 5):
        cells, vcpus = random_.choice(list(wide)), random_.choice((4, 6, 8, 10))
        fitting = [node for node in range(nodes) if left[node] >= vcpus + 2]
        if len(fitting) < cells:
            break
        for node in random_.sample(fitting, cells):
            left[node] -= vcpus
        specs.append(_spec(cells, vcpus))
    single = vms - len(specs)
    parts = _shares(random_, left, single)
    for free, count in zip(left, parts, strict=True):
        cuts = sorted(random_.sample(range(1, free // 2), count - 1))
        bounds = [0, *cuts, free // 2]
        specs += [_spec(1, 2 * (high - low)) for low, high in itertools.pairwise(bounds)]
    random_.shuffle(specs)
    return Fleet(
        hosts=(Host(name="host", topology=topology),),
        vms=tuple(Vm(name=f"vm-{number}", spec=spec) for number, spec in enumerate(specs)),
    )


def _shares(random_: random.Random, left: Sequence[int], count: int) -> list[int]:
    """Return how many VMs each node is cut into: at least one, in all `count`, never more than it has cores."""
    parts = [1] * len(left)
    while sum(parts) < count:
        node = random_.choice([node for node, free in enumerate(left) if parts[node] < free // 2])
        parts[node] += 1
    return parts


def _spec(cells: int, vcpus: int) -> VmSpec:
    return cell_spec(cells, vcpus, vcpus * GIB_PER_VCPU * KIB_PER_GIB)
