"""The checker accepts good plans made by hand and refuses each kind of damage to them, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from placer.check.check import check
from placer.measure.score import goal_values
from placer.model.host import Device, Reserve
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, DeviceRequest, EmulatorPolicy, Movable, ThreadPolicy

Case = tuple[Any, Any, Any]
"""Fleet, a good plan, a damaged plan."""

CASES: dict[str, tuple[Callable[[Any], Case], str]] = {}


def case(name: str, expected: str) -> Callable[[Callable[[Any], Case]], Callable[[Any], Case]]:
    """Register a kind of damage and the words that refuse it."""

    def register(make: Callable[[Any], Case]) -> Callable[[Any], Case]:
        assert name not in CASES
        CASES[name] = (make, expected)
        return make

    return register


def with_vm(plan: Any, **changes: Any) -> Any:
    """Return the plan with fields of its first VM changed."""
    return replace(plan, vms=(replace(plan.vms[0], **changes), *plan.vms[1:]))


def with_cell(plan: Any, number: int = 0, **changes: Any) -> Any:
    """Return the plan with fields of a cell of its first VM changed."""
    cells = list(plan.vms[0].cells)
    cells[number] = replace(cells[number], **changes)
    return with_vm(plan, cells=tuple(cells))


def pins(*cpus: int | tuple[int, ...]) -> Mapping[int, frozenset[int]]:
    """Return vCPU -> cpuset."""
    return {n: frozenset({cpu} if isinstance(cpu, int) else cpu) for n, cpu in enumerate(cpus)}


def simple(build: Any, spec: Any = None, host: Any = None, cpus: Any = (0, 1), memory: Any = (0,), **more: Any) -> Any:
    """Return a fleet of one VM on one host and a good plan of it."""
    vm = build.vm(spec=spec)
    return build.fleet([host or build.host()], [vm]), build.plan(build.placed(vm, cpus, memory, **more))


# --- Names and numbers ---


@case("another fleet's digest", "the plan is of another fleet")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, replace(plan, fleet_digest="d2")


@case("unknown VM", "VM 'ghost' is not in the fleet")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    ghost = replace(plan.vms[0], name="ghost", pins=pins(2, 3), emulator=frozenset({2, 3}))
    return fleet, plan, replace(plan, vms=(*plan.vms, ghost))


@case("missing VM", "neither places nor leaves out: 'v'")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, replace(plan, vms=())


@case("VM twice", "VM 'v' is there 2 times")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, replace(plan, vms=plan.vms * 2)


@case("VM placed and unplaced", "both placed and unplaced: 'v'")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, replace(plan, unplaced=build.plan(unplaced=["v"]).unplaced)


@case("unknown host", "the fleet has no such host")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, host="nowhere")


@case("failed host", "the host has failed")
def _(build: Any) -> Case:
    vm = build.vm()
    fleet = build.fleet([build.host(), build.host("b", failed=True)], [vm])
    plan = build.plan(build.placed(vm, [0, 1], [0]))
    return fleet, plan, with_vm(plan, host="b")


@case("host without KVM", "cannot run KVM")
def _(build: Any) -> Case:
    vm, tcg = build.vm(), build.vm("t", build.spec(kvm=False))
    fleet = build.fleet([build.host(), build.host("b", kvm=False)], [vm, tcg])
    plan = build.plan(build.placed(vm, [0, 1], [0]), build.placed(tcg, [2, 3], [0], host="b"))
    return fleet, plan, with_vm(plan, host="b")


@case("another UUID", "its UUID is u-1, and the plan says u-2")
def _(build: Any) -> Case:
    vm = build.vm(uuid="u-1")
    plan = build.plan(build.placed(vm, [0, 1], [0]))
    return build.fleet([build.host()], [vm]), plan, with_vm(plan, uuid="u-2")


@case("CPU that the host lacks", "the host has no CPUs 99 online")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0, 99))


@case("node that the host lacks", "the host has no node 7")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_cell(plan, nodes={7: 2 * build.GIB})


@case("vCPU without a pin", "no pin for vCPUs 1")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0), emulator=frozenset({0}))


@case("empty cpuset", "an empty cpuset")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0, ()))


# --- Cells ---


@case("vCPU in two cells", "do not hold each of its 4 vCPUs exactly once")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    return fleet, plan, with_cell(plan, vcpus=frozenset({0, 1, 2}))


@case("cells with other vCPUs than the guest's", "not those of its guest")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2, share_node=True), cpus=(0, 1, 2, 3), memory=(0, 0))
    swapped = with_cell(with_cell(plan, 0, vcpus=frozenset({0, 2})), 1, vcpus=frozenset({1, 3}))
    return fleet, plan, swapped


@case("cells with other memory than the guest's", "not those of its guest (2 given cells)")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    less, more = build.GIB, 3 * build.GIB
    bad = with_cell(with_cell(plan, 0, memory_kib=less, nodes={0: less}), 1, memory_kib=more, nodes={1: more})
    return fleet, plan, bad


@case("a flat guest in cells", "not those of its guest (one flat guest)")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4), cpus=(0, 1, 2, 3))
    _, cut = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    return fleet, plan, cut


@case("unequal chosen cells", "2 cells do not share its 6 vCPUs equally")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(6, 4, cells="auto"), cpus=(0, 1, 2, 4, 5, 6), memory=(0, 1))
    bad = with_cell(with_cell(plan, 0, vcpus=frozenset({0, 1, 2, 3})), 1, vcpus=frozenset({4, 5}))
    return fleet, plan, with_vm(bad, pins=pins(0, 1, 2, 3, 4, 5), emulator=frozenset(range(6)))


@case("chosen cells with unequal memory", "pages of 4 KiB equally")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells="auto"), cpus=(0, 1, 4, 5), memory=(0, 1))
    less, more = build.GIB, 3 * build.GIB
    bad = with_cell(with_cell(plan, 0, memory_kib=less, nodes={0: less}), 1, memory_kib=more, nodes={1: more})
    return fleet, plan, bad


@case("more than eight chosen cells", "has 9 cells, more than 8")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(nodes=9))
    fleet, plan = simple(
        build,
        build.spec(9, 9, cells="auto"),
        host,
        (0, 1, 2, 4, 5, 6, 8, 9, 10),
        (0, 1, 2),
    )
    bad = build.plan(build.placed(fleet.vms[0], [4 * n for n in range(9)], list(range(9))))
    return fleet, plan, bad


@case("cells of a running auto guest changed", "has 1 cells, and its guest is running with 2")
def _(build: Any) -> Case:
    vm = build.vm(spec=build.spec(4, 4, cells="auto"), current=build.now(nodes=(0, 1)))
    plan = build.plan(build.placed(vm, [0, 1, 4, 5], [0, 1], change=build.Change.REPIN))
    one = build.placed(vm, [0, 1, 2, 3], [0], change=build.Change.RESTART, new_cells=True)
    return build.fleet([build.host()], [vm]), plan, build.plan(one)


@case("new cells for a guest that has its own", "says that its cells are new")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    return fleet, plan, with_vm(plan, new_cells=True)


@case("chosen cells not called new", "says that its cells are not new")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(2, 2, cells="auto"))
    return fleet, plan, with_vm(plan, new_cells=False)


@case("given cells hidden from the guest", "does not see its cells")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    return fleet, plan, with_vm(plan, shown=False)


@case("two cells on one node", "cells 0 and 1 are both on node 0")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(4, 4, cells=2), cpus=(0, 1, 4, 5), memory=(0, 1))
    return fleet, plan, with_vm(plan, pins=pins(0, 1, 2, 3), emulator=frozenset(range(4)))


@case("a cell's vCPUs on two nodes", "the vCPUs of cell 0 are on nodes [0, 1]")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0, 4), emulator=frozenset({0, 4}))


@case("strict memory on two nodes", "strict memory lies on exactly one node, not on 2")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_cell(plan, nodes={0: build.GIB, 1: build.GIB})


@case("memory that does not add up", "KiB lie on nodes, the cell has")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_cell(plan, nodes={0: build.GIB})


@case("interleaving nobody asked for", "its memory is interleaved, which the VM does not ask for")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_cell(plan, mode="interleave", nodes={0: build.GIB, 1: build.GIB})


@case("unequal interleaved parts", "these are not equal")
def _(build: Any) -> Case:
    half = 2 * build.GIB
    fleet, plan = simple(build, build.spec(4, 4, interleave=2), cpus=(0, 1, 4, 5), memory=({0: half, 1: half},))
    return fleet, plan, with_cell(plan, nodes={0: half - build.GIB, 1: half + build.GIB})


@case("interleaved vCPUs unevenly spread", "not spread evenly over 2 nodes: 3 on node 0, 1 on node 1")
def _(build: Any) -> Case:
    half = 2 * build.GIB
    fleet, plan = simple(build, build.spec(4, 4, interleave=2), cpus=(0, 1, 4, 5), memory=({0: half, 1: half},))
    return fleet, plan, with_vm(plan, pins=pins(0, 1, 2, 4), emulator=frozenset({0, 1, 2, 4}))


@case("parts beside far memory torn", "its vCPUs are not those of 2 equal parts: 1 on node 0, 3 on node 1")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(nodes=3, memory_only=[2]))
    half = 2 * build.GIB
    spec = build.spec(4, 4, interleave=2, memory_tier="any")
    fleet, plan = simple(build, spec, host, cpus=(4, 5, 6, 7), memory=({1: half, 2: half},))
    return fleet, plan, with_vm(plan, pins=pins(0, 4, 5, 6), emulator=frozenset({0, 4, 5, 6}))


@case("memory on a memory-only node", "has memory only, and the VM does not say memory_tier: any")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(nodes=3, memory_only=[2]))
    any_tier = build.vm("t", build.spec(memory_tier="any"))
    vm = build.vm()
    plan = build.plan(build.placed(vm, [0, 1], [0]), build.placed(any_tier, [2, 3], [2]))
    return build.fleet([host], [vm, any_tier]), plan, with_cell(plan, nodes={2: 2 * build.GIB})


@case("memory of a device", "is a device's memory")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(nodes=3, device_memory=[2]))
    fleet, plan = simple(build, build.spec(memory_tier="any"), host)
    return fleet, plan, with_cell(plan, nodes={2: 2 * build.GIB})


@case("memory out of reach", "on node 0 cannot reach memory on node 1")
def _(build: Any) -> Case:
    fleet, plan = simple(build, host=build.host(topology=build.topology(far=255)))
    return fleet, plan, with_cell(plan, nodes={1: 2 * build.GIB})


# --- CPUs ---


@case("one CPU for two VMs", "CPU 1 is also pinned for VM 'w'")
def _(build: Any) -> Case:
    vm, other = build.vm(), build.vm("w")
    plan = build.plan(build.placed(vm, [0, 1], [0]), build.placed(other, [2, 3], [0]))
    bad = replace(plan, vms=(plan.vms[0], build.placed(other, [1, 3], [0])))
    return build.fleet([build.host()], [vm, other]), plan, bad


@case("one CPU for two vCPUs", "dedicated vCPU 0 shares CPU 0 with another vCPU")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0, 0), emulator=frozenset({0}))


@case("a dedicated vCPU that floats", "dedicated vCPU 1 has the CPUs 1-2, not one of its own")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, pins=pins(0, (1, 2)), emulator=frozenset({0, 1, 2}))


@case("a reserved CPU", "CPU 0 is reserved")
def _(build: Any) -> Case:
    host = build.host(reserve=Reserve(cpus=frozenset({0})))
    fleet, plan = simple(build, host=host, cpus=(1, 2), emulator=frozenset({0}))
    return fleet, plan, with_vm(plan, pins=pins(0, 1))


@case("a CPU of the shared set", "CPU 3 is for shared vCPUs")
def _(build: Any) -> Case:
    host = build.host(dedicated_cpus=frozenset({0, 1}), shared_cpus=frozenset({2, 3}))
    fleet, plan = simple(build, host=host, emulator=frozenset({2, 3}))
    return fleet, plan, with_vm(plan, pins=pins(0, 3))


@case("the sibling of an isolated vCPU given away", "CPU 1 must stay idle: it is a sibling under thread policy isolate")
def _(build: Any) -> Case:
    vm, other = build.vm(spec=build.spec(1, thread_policy=ThreadPolicy.ISOLATE)), build.vm("w", build.spec(1))
    plan = build.plan(build.placed(vm, [0], [0]), build.placed(other, [2], [0]))
    return (
        build.fleet([build.host()], [vm, other]),
        plan,
        replace(plan, vms=(plan.vms[0], build.placed(other, [1], [0]))),
    )


@case("isolated vCPUs on one core", "must stay idle")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(2, thread_policy=ThreadPolicy.ISOLATE), cpus=(0, 2))
    return fleet, plan, with_vm(plan, pins=pins(0, 1), emulator=frozenset({0, 1}))


@case("an isolated vCPU beside a reserved CPU", "thread policy is isolate, and sibling 0 is reserved")
def _(build: Any) -> Case:
    host = build.host(reserve=Reserve(cpus=frozenset({0})))
    spec = build.spec(1, thread_policy=ThreadPolicy.ISOLATE)
    fleet, plan = simple(build, spec, host, (2,), emulator=frozenset({0}))
    return fleet, plan, with_vm(plan, pins=pins(1))


@case("the rest of a required core given away", "CPU 3 must stay idle: it is a sibling under thread policy require")
def _(build: Any) -> Case:
    vm = build.vm(spec=build.spec(3, thread_policy=ThreadPolicy.REQUIRE))
    other = build.vm("w", build.spec(1))
    plan = build.plan(build.placed(vm, [0, 1, 2], [0]), build.placed(other, [4], [0]))
    return (
        build.fleet([build.host()], [vm, other]),
        plan,
        replace(plan, vms=(plan.vms[0], build.placed(other, [3], [0]))),
    )


@case("required cores half empty", "leaves 2 cores of node 0 partly empty")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(2, thread_policy=ThreadPolicy.REQUIRE))
    return fleet, plan, with_vm(plan, pins=pins(0, 2), emulator=frozenset({0, 2}))


@case("a shared vCPU over a pinned CPU", "shared vCPU 0 floats over 0-3; the node's free shared CPUs are 2-3")
def _(build: Any) -> Case:
    vm, other = build.vm(spec=build.spec(2, cpu_policy=CpuPolicy.SHARED)), build.vm("w")
    plan = build.plan(build.placed(vm, [(2, 3), (2, 3)], [0]), build.placed(other, [0, 1], [0]))
    wide = frozenset(range(4))
    return build.fleet([build.host()], [vm, other]), plan, with_vm(plan, pins={0: wide, 1: wide}, emulator=wide)


@case("a shared vCPU kept from free CPUs", "shared vCPU 0 floats over 0; the node's free shared CPUs are 0-3")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(1, cpu_policy=CpuPolicy.SHARED), cpus=((0, 1, 2, 3),))
    return fleet, plan, with_vm(plan, pins=pins(0), emulator=frozenset({0}))


@case("more shared vCPUs than overcommit allows", "shared vCPUs, and 2 unpinned CPUs × overcommit 2 carry 4")
def _(build: Any) -> Case:
    host = build.host(cpu_ratio=2.0)
    vm, other = build.vm(spec=build.spec(5, cpu_policy=CpuPolicy.SHARED)), build.vm("w")
    floor = (0, 1, 2, 3)
    plan = build.plan(build.placed(vm, [floor] * 5, [0]), build.placed(other, [4, 5], [1]))
    bad = build.plan(build.placed(vm, [(2, 3)] * 5, [0]), build.placed(other, [0, 1], [0]))
    return build.fleet([host], [vm, other]), plan, bad


@case("a mixed VM's dedicated vCPU that floats", "dedicated vCPU 0 has the CPUs")
def _(build: Any) -> Case:
    spec = build.spec(2, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset({0}))
    fleet, plan = simple(build, spec, cpus=(0, (1, 2, 3)))
    return fleet, plan, with_vm(plan, pins=pins((0, 1), (2, 3)), emulator=frozenset(range(4)))


@case("isolated emulator threads on a vCPU's CPU", "not one CPU of their own")
def _(build: Any) -> Case:
    spec = build.spec(emulator_threads=EmulatorPolicy.ISOLATE)
    fleet, plan = simple(build, spec, emulator=frozenset({2}))
    return fleet, plan, with_vm(plan, emulator=frozenset({1}))


@case("isolated emulator threads on another's CPU", "CPU 3 is also pinned for VM 'w'")
def _(build: Any) -> Case:
    vm, other = build.vm(spec=build.spec(emulator_threads=EmulatorPolicy.ISOLATE)), build.vm("w", build.spec(1))
    plan = build.plan(build.placed(vm, [0, 1], [0], emulator=frozenset({2})), build.placed(other, [3], [0]))
    return build.fleet([build.host()], [vm, other]), plan, with_vm(plan, emulator=frozenset({3}))


@case("isolated emulator threads on another node", "emulator threads are on node 1, cell 0 on node 0")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(emulator_threads=EmulatorPolicy.ISOLATE), emulator=frozenset({2}))
    return fleet, plan, with_vm(plan, emulator=frozenset({5}))


@case("emulator threads off the housekeeping CPUs", "not the housekeeping CPUs 0")
def _(build: Any) -> Case:
    host = build.host(reserve=Reserve(cpus=frozenset({0})))
    fleet, plan = simple(build, host=host, cpus=(1, 2), emulator=frozenset({0}))
    return fleet, plan, with_vm(plan, emulator=frozenset({1, 2}))


@case("emulator threads off the VM's own CPUs", "not the VM's own CPUs 0-1")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(emulator_threads=EmulatorPolicy.SHARE))
    return fleet, plan, with_vm(plan, emulator=frozenset({2}))


@case("an IOThread missing", "names the IOThreads [1], and the VM has [1, 2]")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(iothreads=(1, 2)))
    return fleet, plan, with_vm(plan, iothreads={1: frozenset({0, 1})})


@case("an IOThread elsewhere", "IOThread 1 has CPUs 3")
def _(build: Any) -> Case:
    fleet, plan = simple(build, build.spec(iothreads=(1,)))
    return fleet, plan, with_vm(plan, iothreads={1: frozenset({3})})


# --- Capacity ---


@case("more memory than a node has", "node 0: memory has 16GiB, and VMs take 20GiB")
def _(build: Any) -> Case:
    one, two = build.vm("v", build.spec(2, 10)), build.vm("w", build.spec(2, 10))
    plan = build.plan(build.placed(one, [0, 1], [0]), build.placed(two, [4, 5], [1]))
    bad = build.plan(build.placed(one, [0, 1], [0]), build.placed(two, [2, 3], [0]))
    return build.fleet([build.host()], [one, two]), plan, bad


@case("the overhead does not fit", "node 0: memory has 16GiB, and VMs take")
def _(build: Any) -> Case:
    vm = build.vm("v", build.spec(2, 15.9, overhead_kib=None))
    roomy = build.host("b", build.topology(memory_gib=17))
    plan = build.plan(build.placed(vm, [0, 1], [0], host="b"))
    return build.fleet([build.host(), roomy], [vm]), plan, with_vm(plan, host="a")


@case("more pages than a pool has", "node 0: the pool of 1GiB pages has 2GiB, and VMs take 3GiB")
def _(build: Any) -> Case:
    topology = build.topology(pages={build.GIB: 3})
    host = build.host(topology=topology, reserve=Reserve(pages={0: {build.GIB: 1}}))
    fleet, plan = simple(build, build.spec(2, 2.5, page_kib=build.GIB), host, cpus=(4, 5), memory=(1,))
    return (
        fleet,
        plan,
        with_vm(
            with_cell(plan, nodes={0: plan.vms[0].cells[0].memory_kib}), pins=pins(0, 1), emulator=frozenset({0, 1})
        ),
    )


@case("pages of a size that no pool has", "the pool of 2MiB pages has 0KiB")
def _(build: Any) -> Case:
    vm = build.vm("v", build.spec(page_kib=2048))
    pooled = build.host("b", build.topology(pages={2048: 1024}))
    plan = build.plan(build.placed(vm, [0, 1], [0], host="b"))
    return build.fleet([build.host(), pooled], [vm]), plan, with_vm(plan, host="a")


@case("memory reserved for the host", "memory has 15GiB")
def _(build: Any) -> Case:
    vm = build.vm("v", build.spec(2, 16))
    reserved = build.host("b", reserve=Reserve(memory_kib={None: 2 * build.GIB}))
    plan = build.plan(build.placed(vm, [0, 1], [0]))
    return build.fleet([build.host(), reserved], [vm]), plan, with_vm(plan, host="b")


@case("a device given twice", "has 1 devices of kind nic, and its VMs have 2")
def _(build: Any) -> Case:
    nic = Device(address="0000:01:00.0", kind="nic", node=0)
    topology = build.topology(devices=(nic,))
    spec = build.spec(devices=(DeviceRequest(kind="nic"),))
    one, two = build.vm("v", spec), build.vm("w", spec)
    first = build.placed(one, [0, 1], [0], devices=(("nic", 0),))
    second = build.placed(two, [2, 3], [0], host="b", devices=(("nic", 0),))
    fleet = build.fleet([build.host(topology=topology), build.host("b", topology)], [one, two])
    return fleet, build.plan(first, second), build.plan(first, replace(second, host="a"))


@case("a required device on another node", "requires a nic on a node of its own, and has one on node 1")
def _(build: Any) -> Case:
    nics = tuple(Device(address=f"0000:0{n}:00.0", kind="nic", node=n) for n in (0, 1))
    host = build.host(topology=build.topology(devices=nics))
    spec = build.spec(devices=(DeviceRequest(kind="nic", policy="required"),))
    fleet, plan = simple(build, spec, host, devices=(("nic", 0),))
    return fleet, plan, with_vm(plan, devices=(("nic", 1),))


@case("a device on a node that has none", "has 0 devices of kind nic on node 1")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(devices=(Device(address="0000:01:00.0", kind="nic", node=0),)))
    fleet, plan = simple(build, build.spec(devices=(DeviceRequest(kind="nic"),)), host, devices=(("nic", 0),))
    return fleet, plan, with_vm(plan, devices=(("nic", 1),))


@case("a device forgotten", "its devices are of the kinds [], and it asks for ['nic']")
def _(build: Any) -> Case:
    host = build.host(topology=build.topology(devices=(Device(address="0000:01:00.0", kind="nic", node=0),)))
    fleet, plan = simple(build, build.spec(devices=(DeviceRequest(kind="nic"),)), host, devices=(("nic", 0),))
    return fleet, plan, with_vm(plan, devices=())


@case("more of a host's resource than it has", "host 'a' has 10 of disk, and its VMs take 12")
def _(build: Any) -> Case:
    spec = build.spec(resources={"disk": 6})
    one, two = build.vm("v", spec), build.vm("w", spec)
    hosts = [build.host(resources={"disk": 10}), build.host("b", resources={"disk": 10})]
    plan = build.plan(build.placed(one, [0, 1], [0]), build.placed(two, [2, 3], [0], host="b"))
    return build.fleet(hosts, [one, two]), plan, replace(plan, vms=(plan.vms[0], replace(plan.vms[1], host="a")))


@case("more of a node's resource than it has", "host 'a', node 1, has 0 of vf")
def _(build: Any) -> Case:
    plain = build.topology()
    nodes = (replace(plain.nodes[0], resources={"vf": 4}), plain.nodes[1])
    host = build.host(topology=replace(plain, nodes=nodes))
    fleet, plan = simple(build, build.spec(resources={"vf": 4}), host)
    moved = with_vm(with_cell(plan, nodes={1: 2 * build.GIB}), pins=pins(4, 5), emulator=frozenset({4, 5}))
    return fleet, plan, moved


# --- Moves ---


def live(build: Any, change: Any = None, hosts: Any = None, cpus: Any = (0, 1), nodes: Any = (0,), **more: Any) -> Any:
    """Return a fleet of one VM that is on host a now, and a plan that keeps it there."""
    now = build.now(nodes=nodes, pins=pins(*cpus), emulator=frozenset(cpus))
    vm = build.vm(current=now, **more)
    plan = build.plan(build.placed(vm, cpus, [nodes[0]], change=change or build.Change.NONE))
    return build.fleet(hosts or [build.host(), build.host("b")], [vm]), plan


def away(build: Any, plan: Any, **more: Any) -> Any:
    """Return the plan with its VM migrated to host b."""
    return with_vm(plan, host="b", from_host="a", change=more.pop("change", build.Change.MIGRATE), **more)


@case("a running VM left out", "VM 'v' runs on host 'a', which works, and is left without a place")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    return fleet, plan, build.plan(unplaced=["v"])


@case("an immovable VM moved", "it is not movable (hostdev), and it changes host")
def _(build: Any) -> Case:
    fleet, plan = live(build, movable=Movable.NO, movable_why=("hostdev",))
    return fleet, plan, away(build, plan)


@case("fixed pins changed", "its pins are fixed, and vCPU 1 goes from CPUs 1 to CPUs 2")
def _(build: Any) -> Case:
    fleet, plan = live(build, pins_fixed=True)
    return fleet, plan, with_vm(plan, pins=pins(0, 2), change=build.Change.REPIN)


@case("a VM with fixed pins moved", "its pins are fixed, and it changes host")
def _(build: Any) -> Case:
    fleet, plan = live(build, pins_fixed=True)
    return fleet, plan, away(build, plan)


@case("a live move across migration domains", "crosses from migration domain 'x' to 'y'")
def _(build: Any) -> Case:
    hosts = [build.host(migration_domain="x"), build.host("b", migration_domain="y")]
    fleet, plan = live(build, hosts=hosts)
    return fleet, plan, away(build, plan)


@case("a repin called nothing", "says change none, and it is repin")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    return fleet, plan, with_vm(plan, pins=pins(2, 3), emulator=frozenset({2, 3}))


@case("a change of node called a repin", "says change repin, and it is renode")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    moved = with_vm(plan, pins=pins(4, 5), emulator=frozenset({4, 5}), change=build.Change.REPIN)
    return fleet, plan, with_cell(moved, nodes={1: 2 * build.GIB})


@case("memory moved and called nothing", "says change none, and it is renode")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    return fleet, plan, with_cell(plan, nodes={1: 2 * build.GIB})


@case("a cold move called a migration", "says change migrate, and it is restart")
def _(build: Any) -> Case:
    fleet, plan = live(build, movable=Movable.COLD)
    return fleet, plan, away(build, plan)


@case("an arrival called a migration", "says change migrate, and it is none")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    return fleet, plan, with_vm(plan, change=build.Change.MIGRATE)


@case("a migration from another host", "says that it comes from 'z', and it is on 'a'")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    good = away(build, plan)
    return fleet, good, with_vm(good, from_host="z")


@case("more migrations than allowed", "VMs that change host: 1 ('v'), and max_migrations is 0")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    good = replace(away(build, plan), options={"max_migrations": 1})
    return fleet, good, replace(good, options={"max_migrations": 0})


@case("more moves than allowed", "VMs that change host or node: 1 ('v'), and max_moves is 0")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    moved = with_cell(
        with_vm(plan, pins=pins(4, 5), emulator=frozenset({4, 5}), change=build.Change.RENODE), nodes={1: 2 * build.GIB}
    )
    return fleet, replace(moved, options={"max_moves": 1}), replace(moved, options={"max_moves": 0})


# --- Rules ---


def pair(build: Any, rule: Rule, hosts: Any = None, **more: Any) -> Any:
    """Return a fleet of two VMs labelled app=x under a rule, each on a host of its own."""
    spec = build.spec(labels={"app": "x"})
    one, two = build.vm("v", spec, **more), build.vm("w", spec)
    plan = build.plan(build.placed(one, [0, 1], [0]), build.placed(two, [2, 3], [0], host="b"))
    return build.fleet(hosts or [build.host(), build.host("b")], [one, two], [rule]), plan


def gathered(plan: Any) -> Any:
    """Return the plan with both VMs on host a."""
    return replace(plan, vms=(plan.vms[0], replace(plan.vms[1], host="a")))


APP = {"app": "x"}


@case("anti-affinity broken", "2 of its VMs are in host 'a', 1 too many; at the start it is 0 too many")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.ANTI_AFFINITY, members=APP))
    return fleet, plan, gathered(plan)


@case("anti-affinity a rack broken", "2 of its VMs are in rack 'r1'")
def _(build: Any) -> Case:
    labels = [{"rack": "r1"}, {"rack": "r2"}, {"rack": "r1"}]
    hosts = [build.host(name, labels=rack) for name, rack in zip("abc", labels, strict=True)]
    fleet, plan = pair(build, Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="rack"), hosts)
    return fleet, plan, replace(plan, vms=(plan.vms[0], replace(plan.vms[1], host="c")))


@case("anti-affinity a node broken", "2 of its VMs are in node ('a', 0)")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="node"))
    return fleet, plan, gathered(plan)


@case("anti-affinity an L3 domain broken", "2 of its VMs are in l3 ('a', 0)")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.ANTI_AFFINITY, members=APP, scope="l3"))
    return fleet, plan, gathered(plan)


@case("affinity broken", "its VMs are in 2 domains of scope host, 1 too many")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.AFFINITY, members=APP))
    return fleet, gathered(plan), plan


@case("outside the hosts of a rule", "its VMs may not be on host 'b', and the plan puts 'w' there")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.WITHIN, members=APP, hosts={"name": "a"}))
    return fleet, gathered(plan), plan


@case("on a host that a rule forbids", "its VMs may not be on host 'b'")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.OUTSIDE, members=APP, hosts={"name": "b"}))
    return fleet, gathered(plan), plan


@case("newly on a drained host", "host 'b' is to be drained, and the plan puts 'w' there")
def _(build: Any) -> Case:
    fleet, plan = pair(build, Rule(kind=RuleKind.DRAIN, hosts={"name": "b"}))
    return fleet, gathered(plan), plan


# --- Goals ---


def valued(build: Any, **changes: Any) -> Any:
    """Return a fleet with a plan of two goals, and the plan with fields of the second changed."""
    fleet, plan = simple(build, memory=(1,))
    goals = (build.goal("placed", 0, 0), build.goal("remote", 2.2, 2.0))
    good = replace(plan, goals=goals)
    return fleet, good, replace(good, goals=(goals[0], replace(goals[1], **changes)))


@case("another value than measured", "goal 'remote': its value is 1.1, and 2.2 is measured")
def _(build: Any) -> Case:
    return valued(build, value=1.1, bound=1.0, gap=0.1 / 1.1)


@case("a bound above the value", "its bound 2.5 is above its value 2.2")
def _(build: Any) -> Case:
    return valued(build, bound=2.5, gap=0.3 / 2.5)


@case("a wrong gap", "its gap is 0.5, and value 2.2 and bound 2 make 0.0909091")
def _(build: Any) -> Case:
    return valued(build, gap=0.5)


@case("a gap without a bound", "its gap is 0, and its bound is unknown")
def _(build: Any) -> Case:
    return valued(build, bound=None, gap=0.0)


@case("no value for a plan", "its status is feasible and it has no value")
def _(build: Any) -> Case:
    return valued(build, value=None, gap=None)


@case("a bound from nowhere", "does not say where it comes from")
def _(build: Any) -> Case:
    return valued(build, source="")


@case("optimal with a gap", "says optimal, and its value 2.2 is not its bound 2")
def _(build: Any) -> Case:
    return valued(build, status="optimal")


@case("optimal behind a goal that is not", "says optimal, and the earlier goal 'placed' is not")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    first = build.goal("placed", 0, None)
    good = replace(plan, goals=(first, build.goal("remote", 0.0, 0.0, status="feasible", held_at="placed")))
    return fleet, good, replace(good, goals=(first, build.goal("remote", 0.0, 0.0)))


@case("the wrong goal held", "says that it is held at None, and the first goal not proven is 'placed'")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    first = build.goal("placed", 0, None)
    good = replace(plan, goals=(first, build.goal("remote", 0.0, 0.0, status="feasible", held_at="placed")))
    return fleet, good, replace(good, goals=(first, replace(good.goals[1], held_at=None)))


@case("a plan called optimal", "the plan says that it is optimal, and its goal 'remote' is not")
def _(build: Any) -> Case:
    fleet, good, _ = valued(build)
    return fleet, good, replace(good, status="optimal")


@case("a headroom bound below its value", "its bound 1 is below its value 3")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    good = replace(plan, goals=(build.goal("headroom:2x0", 3, 4),))
    return fleet, good, replace(good, goals=(build.goal("headroom:2x0", 3, 1),))


@case("more headroom than fits", "goal 'headroom:2x0': its value is 4, and 3 is measured")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    good = replace(plan, goals=(build.goal("headroom:2x0", 3, 4),))
    return fleet, good, replace(good, goals=(build.goal("headroom:2x0", 4, 4),))


@case("a headroom bound below what fits", "its bound is 2, and 3 is measured")
def _(build: Any) -> Case:
    fleet, plan = simple(build)
    good = replace(plan, goals=(build.goal("headroom:2x0", 2, 3),))
    return fleet, good, replace(good, goals=(build.goal("headroom:2x0", 2, 2),))


@case("a part of a goal with another value", "goal 'moves', VMs that change host or node: its value is 1")
def _(build: Any) -> Case:
    fleet, plan = live(build)
    tiers = ({"part": "VMs that change host", "value": 0}, {"part": "VMs that change host or node", "value": 0})
    good = replace(plan, goals=(build.goal("moves", 0, 0, tiers=tiers),))
    return fleet, good, replace(good, goals=(build.goal("moves", 0, 0, tiers=(tiers[0], {**tiers[1], "value": 1})),))


@case("a goal left out", "asked for the goals ['placed', 'remote'] and reports on ['placed']")
def _(build: Any) -> Case:
    fleet, good, _ = valued(build)
    good = replace(good, options={"goals": ["placed", "remote~0.01"]})
    return fleet, good, replace(good, goals=good.goals[:1])


@pytest.mark.parametrize("name", CASES)
def test_good_plan_accepted_damaged_plan_refused(name: str, build: Any) -> None:
    """The good plan has no fault at all; its damaged twin is refused in the words that name the damage."""
    make, expected = CASES[name]
    fleet, good, bad = make(build)
    assert [str(fault) for fault in check(fleet, good).faults] == []
    found = [str(fault) for fault in check(fleet, bad).faults]
    assert any(expected in fault for fault in found), found


def warned(fleet: Any, plan: Any, words: str) -> bool:
    """Tell whether the plan is accepted with a warning that holds the words."""
    report = check(fleet, plan)
    assert [str(fault) for fault in report.faults] == []
    return any(words in warning for warning in report.warnings)


def test_memory_over_capacity_may_stay_but_not_grow(build: Any) -> None:
    """Two VMs that overfill a node now may stay with a warning; one more is refused."""
    spec = build.spec(1, 10)
    vms = [build.vm(name, spec, current=build.now(pins=pins(n))) for n, name in enumerate("vw")]
    arriving = build.vm("z", build.spec(1, 1))
    fleet = build.fleet([build.host()], [*vms, arriving])
    stay = [build.placed(vm, [n], [0]) for n, vm in enumerate(vms)]
    assert warned(fleet, build.plan(*stay, unplaced=["z"]), "memory has 16GiB, and VMs take 20GiB; now they take 20GiB")
    report = check(fleet, build.plan(*stay, build.placed(arriving, [2], [0])))
    assert any("VMs take 21GiB" in str(fault) for fault in report.faults)


def test_shared_overload_may_stay_but_takes_nobody_new(build: Any) -> None:
    """Shared vCPUs beyond the ratio that are there now warn; with an arrival the same overload is refused."""
    spec = build.spec(3, 1, cpu_policy=CpuPolicy.SHARED)
    floor = (0, 1, 2, 3)
    vms = [build.vm(name, spec, current=build.now()) for name in "vw"]
    stay = [build.placed(vm, [floor] * 3, [0]) for vm in vms]
    assert warned(build.fleet([build.host()], vms), build.plan(*stay), "6 shared vCPUs, and 4 unpinned CPUs")
    fleet = build.fleet([build.host()], [vms[0], build.vm("w", spec)])
    assert not check(fleet, build.plan(*stay)).ok


def test_shared_overload_may_change_hands_but_not_grow(build: Any) -> None:
    """Where six shared vCPUs float over four CPUs now, one may come for one as large, not for a smaller one."""
    floor = (0, 1, 2, 3)
    sizes = {"v": 3, "w": 3, "x": 2, "new": 3}
    specs = {name: build.spec(size, 1, cpu_policy=CpuPolicy.SHARED) for name, size in sizes.items()}

    def fleet(*there: str) -> Any:
        pins_now = {name: build.now(pins={n: frozenset(floor) for n in range(sizes[name])}) for name in there}
        vms = [build.vm(name, specs[name], current=pins_now.get(name)) for name in ("v", *there[1:], "new")]
        return build.fleet([build.host(), build.host("b")], vms)

    def plan(fleet: Any, gone: str) -> Any:
        vms = {vm.name: vm for vm in fleet.vms}
        pins = [floor] * sizes[gone]
        away = build.placed(vms[gone], pins, [0], host="b", from_host="a", change=build.Change.MIGRATE)
        rest = [build.placed(vm, [floor] * sizes[name], [0]) for name, vm in vms.items() if name != gone]
        return build.plan(*rest, away)

    same = fleet("v", "w")
    assert warned(same, plan(same, "w"), "6 shared vCPUs, and 4 unpinned CPUs")
    more = fleet("v", "x")
    assert not check(more, plan(more, "x")).ok


def test_a_rule_broken_at_the_start_may_stay_or_mend(build: Any) -> None:
    """Two VMs that may not share a host and do now: staying warns, parting is clean, a third is refused."""
    spec = build.spec(1, 1, labels=APP)
    vms = [build.vm(name, spec, current=build.now(pins=pins(n))) for n, name in enumerate("vw")]
    third = build.vm("z", spec)
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, members=APP)
    fleet = build.fleet([build.host(), build.host("b")], [*vms, third], [rule])
    stay = [build.placed(vm, [n], [0]) for n, vm in enumerate(vms)]
    assert warned(fleet, build.plan(*stay, unplaced=["z"]), "as at the start or better")
    parted = replace(stay[1], host="b", from_host="a", change=build.Change.MIGRATE)
    assert not warned(fleet, build.plan(stay[0], parted, unplaced=["z"]), "as at the start")
    worse = build.plan(*stay, build.placed(third, [2], [0]))
    assert any("at the start it is 1 too many" in str(fault) for fault in check(fleet, worse).faults)


def test_a_vm_may_stay_on_a_drained_host(build: Any) -> None:
    """A VM that is on a drained host stays with a warning and counts in the goal rules."""
    vm = build.vm(current=build.now(pins=pins(0, 1)))
    fleet = build.fleet([build.host()], [vm], [Rule(kind=RuleKind.DRAIN, hosts={"name": "a"})])
    plan = build.plan(build.placed(vm, [0, 1], [0]), goals=[build.goal("rules", 1, 1)])
    assert warned(fleet, plan, "1 VM stays on host 'a', where it may not be")


def test_an_odd_place_may_stay(build: Any) -> None:
    """Cells that share a node now, though the VM may not have that, stay where they are without a fault."""
    spec = build.spec(2, 2, cells=2)
    vm = build.vm(spec=spec, current=build.now(nodes=(0, 0), pins=pins(0, 1)))
    plan = build.plan(build.placed(vm, [0, 1], [0, 0]))
    assert check(build.fleet([build.host()], [vm]), plan).ok
    arrival = build.vm(spec=spec)
    assert not check(build.fleet([build.host()], [arrival]), build.plan(build.placed(arrival, [0, 1], [0, 0]))).ok


def test_a_vm_of_a_failed_host_restarts_or_stays_out(build: Any) -> None:
    """The VM of a failed host may be left out; placed again it restarts, and that is no migration."""
    vm = build.vm(current=build.now(pins=pins(0, 1)))
    fleet = build.fleet([build.host(failed=True), build.host("b")], [vm])
    assert check(fleet, build.plan(unplaced=["v"])).ok
    placed = build.placed(vm, [0, 1], [0], host="b", from_host="a", change=build.Change.RESTART)
    report = check(fleet, build.plan(placed, goals=[build.goal("moves", 0, 0)], options={"max_migrations": 0}))
    assert [str(fault) for fault in report.faults] == []
    assert report.measured["migrations"] == 0


def test_fixed_pins_are_taken_as_they_are(build: Any) -> None:
    """Two VMs whose fixed pins overlap now are warned of; a third one on those CPUs is refused."""
    now = build.now(pins=pins(0, 1), emulator=frozenset({3}))
    vms = [build.vm(name, current=now, pins_fixed=True) for name in "vw"]
    stay = [build.placed(vm, [0, 1], [0], emulator=frozenset({3})) for vm in vms]
    assert warned(build.fleet([build.host()], vms), build.plan(*stay), "both are as they are now")
    third = build.vm("z", build.spec(1))
    fleet = build.fleet([build.host()], [*vms, third])
    assert not check(fleet, build.plan(*stay, build.placed(third, [1], [0]))).ok


def test_a_tolerance_lets_a_proven_goal_slip(build: Any) -> None:
    """With remote~50% a proven goal may end above its bound by that much, and no further."""
    fleet, plan = simple(build, memory=(1,))
    goals = (build.goal("remote", 2.2, 1.6, status="optimal"),)
    plan = replace(plan, goals=goals, options={"goals": ["remote~0.5"]})
    assert check(fleet, plan).ok
    assert not check(fleet, replace(plan, options={"goals": ["remote~0.1"]})).ok


def test_headroom_beside_headroom(build: Any) -> None:
    """VMs-to-come of an earlier headroom goal take room too, so a later one may be proven lower than it fits alone."""
    fleet, plan = simple(build)
    goals = (build.goal("headroom:2x0", 3, 3), build.goal("headroom:1x0", 0, 0))
    assert check(fleet, replace(plan, goals=goals)).ok
    assert not check(fleet, replace(plan, goals=goals[1:])).ok


def test_all_policies_together_on_one_host(build: Any) -> None:
    """Isolated, required, preferred, shared and mixed VMs side by side, pinned by hand, are accepted and measured."""
    topology = build.topology(cpus=16, memory_gib=64)
    specs = {
        "iso": build.spec(2, thread_policy=ThreadPolicy.ISOLATE, emulator_threads=EmulatorPolicy.ISOLATE),
        "req": build.spec(3, thread_policy=ThreadPolicy.REQUIRE),
        "pre": build.spec(1),
        "mix": build.spec(2, cpu_policy=CpuPolicy.MIXED, dedicated_vcpus=frozenset({0})),
        "sha": build.spec(2, cpu_policy=CpuPolicy.SHARED),
    }
    vms = {name: build.vm(name, spec) for name, spec in specs.items()}
    # iso holds 0 and 2 (1 and 3 idle), emulator 4; req 6, 7, 8 (9 idle); pre 5; mix 10; 11 to 15 float.
    floor = tuple(range(11, 16))
    plan = build.plan(
        build.placed(vms["iso"], [0, 2], [0], emulator=frozenset({4})),
        build.placed(vms["req"], [6, 7, 8], [0]),
        build.placed(vms["pre"], [5], [0]),
        build.placed(vms["mix"], [10, floor], [0]),
        build.placed(vms["sha"], [floor, floor], [0]),
        goals=[build.goal("placed", 0, 0), build.goal("cores", 1, 1), build.goal("remote", 0, 0)],
    )
    report = check(build.fleet([build.host(topology=topology)], list(vms.values())), plan)
    assert [str(fault) for fault in report.faults] == []
    assert report.measured["goals"] == {"placed": 0, "cores": 1, "remote": 0.0}


def test_reshaping_takes_a_restart(build: Any) -> None:
    """A VM that may be reshaped gets new cells as a restart; the same cells called a repin are refused."""
    spec = build.spec(4, 4, cells="auto", reshape=True)
    vm = build.vm(spec=spec, current=build.now(nodes=(0,)))
    fleet = build.fleet([build.host()], [vm])
    placed = build.placed(vm, [0, 1, 4, 5], [0, 1], new_cells=True, change=build.Change.RESTART)
    assert check(fleet, build.plan(placed)).ok
    assert not check(fleet, build.plan(replace(placed, change=build.Change.REPIN))).ok


def test_known_memory_of_a_floating_vm_counts_as_a_move(build: Any) -> None:
    """Where only the memory's node is known, its change is a change of node and its staying is none."""
    vm = build.vm(current=build.now(nodes=None, memory_nodes=(1,)))
    fleet = build.fleet([build.host()], [vm])
    stays = build.plan(build.placed(vm, [4, 5], [1], change=build.Change.REPIN))
    goes = build.plan(build.placed(vm, [0, 1], [0], change=build.Change.RENODE))
    assert check(fleet, stays).ok and check(fleet, stays).measured["node_changes"] == 0
    assert check(fleet, goes).ok and check(fleet, goes).measured["node_changes"] == 1


def test_faults_do_not_hide_each_other(build: Any) -> None:
    """A plan with several damages gets a fault for each, all at once."""
    one, two = build.vm("v"), build.vm("w")
    fleet = build.fleet([build.host()], [one, two])
    bad = build.plan(
        build.placed(one, [0, 99], [0]),
        build.placed(two, [2, 3], [0], emulator=frozenset({1})),
        unplaced=["ghost"],
        options={"max_moves": -1},
    )
    found = "\n".join(str(fault) for fault in check(fleet, bad).faults)
    for words in ("no CPUs 99", "not the VM's own CPUs", "'ghost' is not in the fleet", "max_moves is -1"):
        assert words in found


def test_hostile_names_stay_on_one_line(build: Any) -> None:
    """A name with newlines and quotes cannot forge a second fault line."""
    vm = build.vm("a\nb'\"<&>")
    fault = check(build.fleet([build.host()], [vm]), build.plan()).faults[0]
    assert "\n" not in str(fault)


def test_the_bound_is_left_to_the_certificate(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bound the faults and remarks of the certificate are added; without it nothing is asked of it."""
    import sys
    import types

    from placer.errors import Fault

    module = types.ModuleType("placer.planning.decode.certificate")
    module.check_certificate = lambda fleet, plan: ([Fault(message="bound too high")], ["one goal is open"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "placer.planning.decode.certificate", module)
    fleet, plan = simple(build)
    assert check(fleet, plan).ok
    report = check(fleet, plan, bound=True)
    assert [fault.message for fault in report.faults] == ["bound too high"]
    assert "one goal is open" in report.warnings


@pytest.mark.slow
def test_a_large_plan(build: Any) -> None:
    """A hundred thousand VMs on 10,000 hosts are checked, and nothing is found."""
    topology, spec = build.topology(cpus=40, memory_gib=256), build.spec(6)
    hosts = [build.host(f"h{n}", topology) for n in range(10_000)]
    vms = [build.vm(f"v{n}", spec) for n in range(100_000)]
    planned = []
    for number, vm in enumerate(vms):
        slot = number % 10
        first = (slot % 5) * 6 + (40 if slot > 4 else 0)
        planned.append(build.placed(vm, range(first, first + 6), [slot // 5], host=f"h{number // 10}"))
    goals = [build.goal("placed", 0, 0), build.goal("remote", 0, 0), build.goal("hosts", 10_000, 10_000)]
    fleet, plan = build.fleet(hosts, vms), build.plan(*planned, goals=goals)
    assert [str(fault) for fault in check(fleet, plan).faults] == []


@pytest.fixture
def alike(build: Any) -> tuple[Any, Any]:
    """Three hosts that are alike in kind and content, two VMs on each, and a good plan of them."""
    topology, spec = build.topology(), build.spec(2)
    hosts = [build.host(name, topology) for name in "abc"]
    vms = [build.vm(f"{host.name}{n}", spec) for host in hosts for n in (0, 1)]
    planned = [build.placed(vm, (0, 1) if vm.name[1] == "0" else (2, 3), [0], host=vm.name[0]) for vm in vms]
    return build.fleet(hosts, vms), build.plan(*planned)


def test_what_is_wrong_on_one_of_several_alike_hosts_is_found(build: Any, alike: tuple[Any, Any]) -> None:
    """One pin that differs is refused, on the host that has it, however many others are alike and sound."""
    fleet, plan = alike
    assert check(fleet, plan).ok
    moved = replace(plan.vms[5], pins=pins(1, 3), emulator=frozenset({1, 3}))
    report = check(fleet, replace(plan, vms=(*plan.vms[:5], moved)))
    assert [fault.message for fault in report.faults] == [
        "VM 'c0' on host 'c': CPU 1 is also pinned for VM 'c1'",
    ]


def test_what_is_wrong_on_all_of_several_alike_hosts_is_told_of_each(build: Any, alike: tuple[Any, Any]) -> None:
    """Hosts that are wrong in the same way are each named, with their own VMs."""
    fleet, plan = alike
    clash = {"pins": pins(1, 3), "emulator": frozenset({1, 3})}
    report = check(
        fleet, replace(plan, vms=tuple(replace(vm, **clash) if vm.name[1] == "1" else vm for vm in plan.vms))
    )
    assert [fault.message for fault in report.faults] == [
        f"VM '{host}0' on host '{host}': CPU 1 is also pinned for VM '{host}1'" for host in "abc"
    ]


def test_alike_hosts_count_each_in_the_goals(build: Any, alike: tuple[Any, Any]) -> None:
    """Goals that are measured host by host count every one of several alike hosts."""
    fleet, plan = alike
    names = ["cores", "l3", "balance", "balance:usage"]
    values = goal_values(fleet, plan, names)
    alone = replace(plan, vms=plan.vms[:2])
    assert values == {name: pytest.approx(3 * (value or 0)) for name, value in goal_values(fleet, alone, names).items()}
    assert (values["balance"] or 0) > 0


def test_there_are_many_kinds_of_damage() -> None:
    """The list of damages does not shrink."""
    assert len(CASES) >= 100
