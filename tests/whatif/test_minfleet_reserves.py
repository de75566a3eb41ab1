"""The smallest fleet that survives failures: what is found without them, beside hosts that stay empty."""

from __future__ import annotations

import dataclasses

from placer.check.check import check
from placer.failures.reserve import sweep_of_rule
from placer.failures.sweep import settled
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Vm, VmSpec
from placer.options import SweepOptions
from placer.whatif.minfleet import SmallestFleet, smallest_fleet

GIB = 1024 * 1024
RESERVE = Rule(kind=RuleKind.RESERVE, scope="host", fail=1)


def host(name: str, cpus: int, gib: int, nodes: int = 1) -> Host:
    """Return a host of equal nodes without SMT."""
    each = cpus // nodes
    parts = tuple(
        Node(id=n, cpus=frozenset(range(n * each, (n + 1) * each)), memory_kib=gib // nodes * GIB) for n in range(nodes)
    )
    distances = tuple(tuple(10.0 if a == b else 21.0 for b in range(nodes)) for a in range(nodes))
    topology = Topology(nodes=parts, distances=distances, cores=tuple(frozenset({c}) for c in range(cpus)))
    return Host(name=name, topology=topology)


def vms(*sizes: tuple[int, int]) -> tuple[Vm, ...]:
    """Return VMs of so many vCPUs and GiB."""
    return tuple(
        Vm(name=f"v{n}", spec=VmSpec(vcpus=vcpus, memory_kib=gib * GIB, overhead_kib=0))
        for n, (vcpus, gib) in enumerate(sizes)
    )


def harmful(found: SmallestFleet) -> int:
    """Return how many failures of what is bought lose VMs, or may."""
    plain = dataclasses.replace(found.fleet, rules=())
    swept = sweep_of_rule(settled(plain, found.plan), None, RESERVE, SweepOptions(time_limit_s=10))
    return swept.harmful_in_all + swept.unknown_in_all


def test_many_hosts_that_are_full_survive_with_one_more() -> None:
    """Seventy VMs that fill a host each take 71 hosts of which one may fail, and that is the fewest."""
    fleet = Fleet(hosts=(host("a", 8, 32),), vms=vms(*[(8, 8)] * 70), rules=(RESERVE,))
    found = smallest_fleet(fleet, ["a"], time_limit_s=20)
    assert (found.cost, found.bound, found.status) == (71, 71, "optimal")
    assert not harmful(found) and check(found.fleet, found.plan).ok


def test_each_shape_that_none_stands_in_for_has_a_host_more() -> None:
    """VMs that fill the nodes of large hosts have no place on those with much memory, nor theirs on the large ones."""
    shapes = (host("cpus", 16, 16), host("memory", 4, 256))
    fleet = Fleet(hosts=shapes, vms=vms(*[(16, 8)] * 40, *[(2, 200)] * 40), rules=(RESERVE,))
    found = smallest_fleet(fleet, ["cpus", "memory"], time_limit_s=20)
    assert found.hosts == {"cpus": 41, "memory": 41} and not harmful(found)
