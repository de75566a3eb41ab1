"""Which shared vCPUs of a VM float over which nodes: their cpusets follow the VMs around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from placer.model.host import Topology
from placer.model.vm import CpuPolicy, Vm
from placer.moves.model import Place
from placer.planning.compile.needs import part_vcpus

Nodes = tuple[int, ...]


def floating_vcpus(vm: Vm, topology: Topology, place: Place) -> Mapping[Nodes, frozenset[int]]:
    """Return node ids -> the shared vCPUs that float over CPUs of just these.

    What is pinned nowhere floats over all CPUs of its host, held ones too, and no cpuset of it follows. vCPUs whose
    cpusets are not known float over the node of their cell.
    """
    if vm.spec.cpu_policy is CpuPolicy.DEDICATED:
        return {}
    if place.bound and all(one.cpus is None for one in place.bound):
        return {}
    nodes = place.nodes if not place.bound else None
    runs = part_vcpus(vm.spec, len(nodes)) if nodes is not None else ()
    of_cell = {vcpu: node for node, run in zip(nodes or (), runs, strict=False) for vcpu in run}
    found: defaultdict[Nodes, set[int]] = defaultdict(set)
    for vcpu in range(vm.spec.vcpus):
        if vm.spec.is_dedicated(vcpu):
            continue
        pin = place.pins.get(vcpu, frozenset())
        over = {topology.node_of_cpu[cpu] for cpu in pin if cpu in topology.node_of_cpu}
        if over or vcpu in of_cell:
            found[tuple(sorted(over)) or (of_cell[vcpu],)].add(vcpu)
    return {over: frozenset(vcpus) for over, vcpus in found.items()}
