"""What a plan uses and leaves free, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.measure.score import PlanValues
from placer.measure.summary import capacity_summary
from placer.model.fleet import Fleet
from placer.model.host import Node, Reserve, Topology
from placer.model.plan import PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy

FOUR = (frozenset(range(4)), frozenset(range(4, 8)))


def summary_of(build: Any, fleet: Fleet, *planned: PlanVm) -> dict[str, Any]:
    """Return the summary of a fleet with these VMs placed."""
    return capacity_summary(PlanValues(fleet, build.plan(*planned)))


def test_cpus_held_and_kept_idle_are_used(build: Any) -> None:
    """A pinned CPU and the sibling that isolate keeps idle are used; what is reserved is neither used nor free."""
    topology = build.topology()
    host = build.host(topology=topology, reserve=Reserve(cpus=frozenset({0}), memory_kib={None: 1024}))
    core = next(core for core in topology.cores if len(core) > 1 and 0 not in core)
    own, sibling = sorted(core)
    spec = build.spec(1, 1, thread_policy=ThreadPolicy.ISOLATE, emulator_threads=EmulatorPolicy.SHARE)
    vm = build.vm(spec=spec)
    node = topology.node_of_cpu[own]
    planned = build.placed(vm, [own], [node])
    found = summary_of(build, build.fleet([host], [vm]), planned)
    total = len(topology.cpus)
    assert sibling != own
    assert found["cpus"] == {"total": total, "used": 2, "reserved": 1, "free": total - 3}
    memory = found["memory_mib"]
    assert (memory["used"], memory["reserved"]) == (1024, 1)
    assert memory["free"] == memory["total"] - 1025


def test_shared_vcpus_count_by_the_ratio(build: Any) -> None:
    """Three shared vCPUs at two a CPU are two CPUs' worth, whole."""
    topology = build.topology()
    host = build.host(topology=topology, cpu_ratio=2.0)
    spec = build.spec(3, 1, cpu_policy=CpuPolicy.SHARED)
    vm = build.vm(spec=spec)
    floor = topology.node(0).cpus
    found = summary_of(build, build.fleet([host], [vm]), build.placed(vm, [floor] * 3, [0]))
    assert found["cpus"]["used"] == 2


def test_what_floats_over_nodes_is_rounded_up_once_a_host(build: Any) -> None:
    """Three shared vCPUs over the CPUs of two equal nodes take three CPUs of the host, not two of each node."""
    nodes = tuple(Node(id=n, cpus=FOUR[n], memory_kib=1 << 20) for n in (0, 1))
    cores = tuple(frozenset({cpu}) for cpu in range(8))
    host = build.host(topology=Topology(nodes=nodes, distances=((10.0, 21.0), (21.0, 10.0)), cores=cores))
    vm = build.vm(spec=build.spec(3, 1, cpu_policy=CpuPolicy.SHARED))
    planned = build.placed(vm, [FOUR[0] | FOUR[1]] * 3, [0])
    found = summary_of(build, build.fleet([host], [vm]), planned)
    assert found["cpus"] == {"total": 8, "used": 3, "reserved": 0, "free": 5}


def test_alike_hosts_count_each_and_failed_ones_not(build: Any) -> None:
    """Totals grow with every host that works; the largest free slot is on the first host that has it."""
    topology = build.topology()
    hosts = [build.host(name, topology, failed=name == "d") for name in "abcd"]
    vms = [build.vm(name) for name in ("a1", "b1")]
    planned = [build.placed(vm, [0, 1], [0], host=vm.name[0]) for vm in vms]
    found = summary_of(build, build.fleet(hosts, vms), *planned)
    assert found["cpus"]["total"] == 3 * len(topology.cpus)
    assert found["cpus"]["used"] == 4
    slot = found["largest_free_slot"]
    largest = max(len(node.cpus) for node in topology.nodes)
    assert slot["cpus"] == largest
    assert (slot["host"], slot["node"]) == ("a", 1)


def test_a_full_fleet_has_no_free_slot(build: Any) -> None:
    """Without a free CPU anywhere there is no slot, not one of size 0."""
    topology = build.topology()
    vm = build.vm(spec=build.spec(len(topology.cpus), 1))
    planned = build.placed(vm, sorted(topology.cpus), [0])
    found = summary_of(build, build.fleet([build.host(topology=topology)], [vm]), planned)
    assert found["largest_free_slot"] is None


def test_no_slot_is_told_where_nobody_comes(build: Any) -> None:
    """Hosts that are to be emptied or that have no KVM hold the most free CPUs, and no VM may come there."""
    large = build.topology(nodes=1, cpus=16)
    hosts = [build.host("a", large), build.host("b", large, kvm=False), build.host("c", build.topology(nodes=1))]
    drain = Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})
    fleet = build.fleet(hosts, [], [drain])
    slot = summary_of(build, fleet)["largest_free_slot"]
    assert (slot["host"], slot["cpus"]) == ("c", 4)


def test_a_node_without_memory_has_the_slot_of_one_that_lends(build: Any) -> None:
    """Where only CPUs of a node without memory are free, a VM has its memory from another one."""
    topology = build.topology(nodes=2, cpus=8)
    nodes = (replace(topology.nodes[0], memory_kib=0), topology.nodes[1])
    host = build.host(topology=replace(topology, nodes=nodes))
    own = sorted(nodes[1].cpus)
    vm = build.vm(spec=build.spec(len(own), 1))
    slot = summary_of(build, build.fleet([host], [vm]), build.placed(vm, own, [1]))["largest_free_slot"]
    assert (slot["cpus"], slot["node"], slot["memory_node"]) == (len(nodes[0].cpus), 0, 1)
    assert 0 < slot["memory_mib"] < nodes[1].memory_kib / 1024
