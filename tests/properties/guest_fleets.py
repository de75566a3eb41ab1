"""Random small fleets of odd guests: cells without vCPUs, page sizes by cell, several devices."""

from __future__ import annotations

import dataclasses
import random

from small_fleets import GIB, small_fleet

from placer.model.fleet import Fleet
from placer.model.host import Device, Topology
from placer.model.vm import Cell, CellMode, CpuPolicy, DeviceRequest, Vm


def guest_fleet(seed: int) -> Fleet:
    """Return the fleet of a seed: `small_fleet` with other guests."""
    rng = random.Random(f"guests {seed}")
    fleet = small_fleet(seed)
    topologies = {id(host.topology): _with_devices(rng, host.topology) for host in fleet.hosts}
    hosts = tuple(dataclasses.replace(host, topology=topologies[id(host.topology)]) for host in fleet.hosts)
    return dataclasses.replace(fleet, hosts=hosts, vms=tuple(_odd(rng, vm) for vm in fleet.vms))


def far_fleet(seed: int) -> Fleet:
    """Return the fleet of a seed with a node of memory alone, over which most VMs may interleave theirs."""
    rng = random.Random(f"far {seed}")
    fleet = small_fleet(seed)
    vms = []
    for vm in fleet.vms:
        if vm.spec.vcpus > 1 and rng.random() < 0.6:
            whole = Cell(vcpus=frozenset(range(vm.spec.vcpus)), memory_kib=vm.spec.memory_kib)
            parts = rng.choice((2, 2, 3)) if vm.spec.vcpus > 2 else 2
            spec = dataclasses.replace(
                vm.spec, cell_mode=CellMode.NONE, cells=(whole,), interleave=parts, memory_tier="any"
            )
            vm = dataclasses.replace(vm, spec=spec)
        vms.append(vm)
    return dataclasses.replace(fleet, vms=tuple(vms))


def _with_devices(rng: random.Random, topology: Topology) -> Topology:
    nodes = [node.id for node in topology.nodes if node.cpus]
    found = tuple(
        Device(address=f"0000:0{n}:00.0", kind="nic", node=rng.choice(nodes), count=rng.choice((1, 1, 2)))
        for n in range(rng.choice((0, 2, 3)))
    )
    return dataclasses.replace(topology, devices=found)


def _odd(rng: random.Random, vm: Vm) -> Vm:
    spec = vm.spec
    if rng.random() < 0.5:
        cells = _cells(rng, spec.vcpus)
        spec = dataclasses.replace(
            spec,
            cell_mode=CellMode.GIVEN,
            cells=cells,
            memory_kib=sum(cell.memory_kib for cell in cells),
            interleave=1,
            cpu_policy=CpuPolicy.DEDICATED if spec.cpu_policy is CpuPolicy.MIXED else spec.cpu_policy,
            dedicated_vcpus=frozenset(),
        )
    if rng.random() < 0.35:
        request = DeviceRequest(
            kind="nic",
            policy=rng.choice(("required", "preferred")),
            count=rng.choice((1, 2, 2, 3)),
            per=rng.choice(("vm", "vm", "cell")),
        )
        spec = dataclasses.replace(spec, devices=(request,))
    return dataclasses.replace(vm, spec=spec)


def _cells(rng: random.Random, vcpus: int) -> tuple[Cell, ...]:
    """Return one or two cells of vCPUs and one or two without."""
    own = [frozenset(range(vcpus))]
    if vcpus > 1 and rng.random() < 0.4:
        own = [frozenset(range(vcpus // 2)), frozenset(range(vcpus // 2, vcpus))]
    alone = [frozenset[int]()] * rng.choice((0, 1, 1, 2))
    pages = rng.choice((None, None, 4, 2048))
    return tuple(
        Cell(vcpus=vcpus, memory_kib=rng.choice((1, 1, 2)) * GIB, page_kib=rng.choice((None, pages)))
        for vcpus in (*own, *alone)
    )
