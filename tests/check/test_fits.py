"""VMs that no host could hold are named with the reason; those that some host could hold never are."""

from __future__ import annotations

from typing import Any

import pytest

from placer.check.fits import impossible_vms
from placer.model.host import Device, Reserve
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Cell, CellMode, CpuPolicy, DeviceRequest, EmulatorPolicy, ThreadPolicy, VmSpec


def why(build: Any, spec: Any, *hosts: Any, rules: Any = (), **more: Any) -> str | None:
    """Return why a VM of the spec fits on no host, None where it is not named."""
    return impossible_vms(build.fleet(hosts or [build.host()], [build.vm("v", spec, **more)], rules)).get("v")


def test_too_many_vcpus_for_a_node(build: Any) -> None:
    """The reason names what is needed and the largest node there is."""
    assert why(build, build.spec(5)) == "needs 5 vCPUs on one node, the largest has 4"
    assert why(build, build.spec(4)) is None
    assert why(build, build.spec(5), build.host(), build.host("b", build.topology(cpus=6))) is None


def test_auto_cells_may_help(build: Any) -> None:
    """A VM too large for a node fits in two cells, unless even eight do not help."""
    assert why(build, build.spec(8, cells="auto")) is None
    found = why(build, build.spec(16, cells="auto"))
    assert found is not None and found.startswith("needs 16 vCPUs on one node, the largest has 4; cut into up to 8")


def test_distinct_nodes(build: Any) -> None:
    """Four cells need four nodes, unless they may share one."""
    assert why(build, build.spec(4, 4, cells=4)) == "needs 4 nodes with 1 vCPU and 1GiB each, no host has more than 2"
    assert why(build, build.spec(4, 4, cells=4, share_node=True)) is None
    assert why(build, build.spec(4, 4, cells=4), build.host(topology=build.topology(nodes=4))) is None


def test_unequal_cells(build: Any) -> None:
    """Each given cell needs a node large enough, whichever cell it is."""

    def spec(first: int, second: int) -> VmSpec:
        cells = (
            Cell(vcpus=frozenset(range(first)), memory_kib=build.GIB),
            Cell(vcpus=frozenset(range(first, first + second)), memory_kib=build.GIB),
        )
        return VmSpec(
            vcpus=first + second, memory_kib=2 * build.GIB, cell_mode=CellMode.GIVEN, cells=cells, overhead_kib=0
        )

    assert why(build, spec(1, 4)) is None
    assert why(build, spec(1, 5)) == "needs 5 vCPUs on one node, the largest has 4"
    assert why(build, spec(1, 4), build.host(topology=build.topology(nodes=1))) is not None


def test_memory_and_overhead(build: Any) -> None:
    """Memory that fits to the byte no longer does with its overhead."""
    assert why(build, build.spec(1, 16)) is None
    found = why(build, build.spec(1, 16, overhead_kib=1))
    assert found == "needs 16777217KiB with its overhead on one node, the largest has 16GiB"
    assert why(build, build.spec(1, 16), build.host(reserve=Reserve(memory_kib={0: 1, 1: 1}))) is not None


def test_page_pools(build: Any) -> None:
    """Pages come from pools of their size; ordinary memory is no substitute."""
    spec = build.spec(1, 2, page_kib=build.GIB)
    assert why(build, spec) == "needs 2GiB in pages of 1GiB on one node, the largest has 0KiB"
    pooled = build.host(topology=build.topology(pages={build.GIB: 2}))
    assert why(build, spec, pooled) is None
    assert why(build, build.spec(1, 2.5, page_kib=build.GIB), pooled) is not None
    assert why(build, build.spec(1, 2, page_kib=4)) is None


def test_cpus_and_memory_on_different_hosts(build: Any) -> None:
    """One host has the CPUs, another the memory: no node has both."""
    hosts = [build.host(topology=build.topology(memory_gib=1)), build.host("b", build.topology(cpus=2))]
    assert why(build, build.spec(4, 8), *hosts) == "no node has 4 vCPUs and 8GiB for VMs at once"


def test_thread_policies(build: Any) -> None:
    """Isolated vCPUs need whole cores, required ones cores that nothing is reserved of."""
    isolate = build.spec(3, thread_policy=ThreadPolicy.ISOLATE)
    assert why(build, isolate) == "needs 3 whole cores on one node, the largest has 2"
    require = build.spec(3, thread_policy=ThreadPolicy.REQUIRE)
    assert why(build, require) is None
    reserved = build.host(reserve=Reserve(cpus=frozenset({0, 4})))
    assert why(build, require, reserved) == "needs 3 CPUs of whole cores on one node, the largest has 2"


def test_emulator_threads_take_a_cpu(build: Any) -> None:
    """An isolated emulator CPU is one more on the node."""
    assert why(build, build.spec(3, emulator_threads=EmulatorPolicy.ISOLATE)) is None
    assert why(build, build.spec(4, emulator_threads=EmulatorPolicy.ISOLATE)) is not None


def test_shared_vcpus_and_split_sets(build: Any) -> None:
    """Shared vCPUs fit by the overcommit ratio, dedicated ones only on dedicated CPUs."""
    shared = build.spec(8, cpu_policy=CpuPolicy.SHARED)
    assert why(build, shared) == "needs 8 shared vCPUs on one node, the largest has 4"
    assert why(build, shared, build.host(cpu_ratio=2.0)) is None
    split = build.host(dedicated_cpus=frozenset({0, 1, 4, 5}))
    assert why(build, build.spec(3), split) is not None
    assert why(build, build.spec(4, cpu_policy=CpuPolicy.SHARED), split) is not None
    mixed = build.spec(4, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset({0, 1}))
    assert why(build, mixed, split) is None
    assert (
        why(build, build.spec(4, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset({0, 1, 2})), split) is not None
    )


def test_devices_and_resources(build: Any) -> None:
    """What a host has of devices and free resources in all must suffice."""
    nic = Device(address="0000:01:00.0", kind="nic", node=0)
    host = build.host(topology=build.topology(devices=(nic,)), resources={"disk": 10})
    assert why(build, build.spec(devices=(DeviceRequest(kind="nic"),)), host) is None
    assert (
        why(build, build.spec(devices=(DeviceRequest(kind="nic", count=2),)), host)
        == "needs 2 nic devices, the host with the most has 1"
    )
    assert why(build, build.spec(resources={"disk": 11}), host) == "needs 11 disk, the host with the most has 10"
    both = build.spec(devices=(DeviceRequest(kind="nic"),), resources={"disk": 11})
    other = build.host("b", resources={"disk": 20})
    assert why(build, both, host, other) == "no host has all its devices and free resources together"


def test_hosts_that_may_not_take_it(build: Any) -> None:
    """KVM, failures, drains and rules leave some VMs no host; the others are not touched by that."""
    assert why(build, build.spec(), build.host(kvm=False)) is not None
    assert why(build, build.spec(kvm=False), build.host(kvm=False)) is None
    assert why(build, build.spec(), build.host(failed=True)) is not None
    assert why(build, build.spec(), rules=[Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})]) is not None
    hosts = [build.host(), build.host("b", build.topology(cpus=8))]
    within = Rule(kind=RuleKind.WITHIN, members={"name": "v"}, hosts={"name": "a"})
    assert why(build, build.spec(6), *hosts) is None
    assert why(build, build.spec(6), *hosts, rules=[within]) == "needs 6 vCPUs on one node, the largest has 4"
    assert (
        why(
            build,
            build.spec(6, labels={"app": "x"}),
            *hosts,
            rules=[Rule(kind=RuleKind.OUTSIDE, members={"app": "x"}, hosts={"name": "b"})],
        )
        is not None
    )


def test_present_vms_are_never_named(build: Any) -> None:
    """A VM that is on a host that works fits there, whatever the numbers say; one of a failed host is looked at."""
    assert why(build, build.spec(5), current=build.now()) is None
    assert why(build, build.spec(5), build.host(failed=True), build.host("b"), current=build.now()) is not None


def test_memory_elsewhere_is_no_reason(build: Any) -> None:
    """Nodes without memory take it from others, and memory_tier any may use a memory-only node."""
    from dataclasses import replace

    topology = build.topology()
    bare = replace(topology, nodes=(topology.nodes[0], replace(topology.nodes[1], memory_kib=0)))
    assert why(build, build.spec(4, 16), build.host(topology=bare)) is None
    tiered = build.topology(nodes=3, memory_only=[2])
    big = replace(tiered, nodes=(*tiered.nodes[:2], replace(tiered.nodes[2], memory_kib=64 * build.GIB)))
    assert why(build, build.spec(1, 40), build.host(topology=big)) is not None
    assert why(build, build.spec(1, 40, memory_tier="any"), build.host(topology=big)) is None


@pytest.mark.parametrize("seed", range(30))
def test_nothing_possible_is_named(seed: int, build: Any) -> None:
    """Whatever fits alone on an empty host by a search over CPUs and nodes is never called impossible."""
    import itertools
    import random

    rng = random.Random(seed)
    topology = build.topology(nodes=rng.choice([1, 2, 4]), cpus=rng.choice([2, 4]), memory_gib=rng.choice([2, 4]))
    host = build.host(
        topology=topology, reserve=Reserve(cpus=frozenset(rng.sample(sorted(topology.cpus), rng.randint(0, 2))))
    )
    for _ in range(20):
        policy = rng.choice(list(ThreadPolicy))
        count = rng.choice([1, 1, 2, 4])
        spec = build.spec(count * rng.randint(1, 4), count * rng.randint(1, 5), cells=count, thread_policy=policy)
        each, memory = spec.vcpus // count, spec.memory_kib // count

        def room(node: Any, policy: ThreadPolicy = policy) -> int:
            cores = [core for core in topology.cores if core <= node.cpus]
            free = [core - host.reserve.cpus for core in cores]
            if policy is ThreadPolicy.PREFER:
                return sum(map(len, free))
            whole = [core for core, left in zip(cores, free, strict=True) if left == core]
            return len(whole) if policy is ThreadPolicy.ISOLATE else sum(map(len, whole))

        fits = any(
            all(room(node) >= each and node.memory_kib >= memory for node in nodes)
            for nodes in itertools.combinations(topology.nodes, count)
        )
        assert (why(build, spec, host) is None) is fits, spec


def test_what_leaves_no_host_is_named(build: Any) -> None:
    """The last thing that keeps a VM out is said: KVM, siblings, a drain, or the rule by its name."""
    plain = build.topology(threads=1)
    hosts = [build.host("a", plain), build.host("b", plain, kvm=False)]
    within = Rule(kind=RuleKind.WITHIN, members={"name": "v"}, hosts={"name": "c"}, name="on c")
    drain = Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})
    require = build.spec(2, 1, thread_policy=ThreadPolicy.REQUIRE)

    def said(*rules: Rule, spec: Any = None) -> str:
        vms = [build.vm("v", spec or build.spec(2, 1))]
        return impossible_vms(build.fleet(hosts, vms, list(rules)))["v"].removeprefix("no host may take it: ")

    assert said(drain) == "KVM is on none that is left"
    assert said(drain, Rule(kind=RuleKind.DRAIN, hosts={"name": "b"})) == "all have failed or are to be emptied"
    assert said(spec=require) == "thread_policy require wants thread siblings, and none that is left has any"
    assert said(within) == f"the rule {within.label} leaves none"
