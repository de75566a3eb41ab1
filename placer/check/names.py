"""Check that a plan speaks of the fleet's VMs, hosts, nodes and CPUs, each VM once."""

from __future__ import annotations

from collections import Counter

from placer.check.findings import Findings, some
from placer.measure.alike import PlaceNumbers
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm


def check_names(fleet: Fleet, plan: Plan, places: PlaceNumbers, found: Findings) -> list[tuple[Vm, PlanVm]]:
    """Note every name and number that the fleet has not, and every VM that the plan has not exactly once.

    Returns the placed VMs that all other checks may look at: known VM, known host, a pin on CPUs of that host for each
    vCPU, memory on nodes of that host.
    """
    _each_once(fleet, plan, found)
    sound = []
    good: set[tuple[int, int, int]] = set()
    seen: set[str] = set()
    widest: dict[str, float] = {}
    for planned in plan.vms:
        vm, host = fleet.vm_by_name.get(planned.name), fleet.host_by_name.get(planned.host)
        if vm is None or planned.name in seen:
            continue  # `_each_once` has said so
        seen.add(planned.name)
        if host is None:
            found.vm(planned, "the fleet has no such host", where="host")
            continue
        if vm.uuid != planned.uuid:
            found.vm(planned, f"its UUID is {vm.uuid}, and the plan says {planned.uuid}", where="uuid")
        if host.failed:
            found.vm(planned, "the host has failed and holds nothing", where="host")
        if vm.spec.kvm and not host.kvm and vm.current is not None and vm.current.host == planned.host:
            found.warn(f"VM {vm.name!r} runs on host {planned.host!r}, which is said not to run KVM")
        elif vm.spec.kvm and not host.kvm:
            found.vm(planned, "the host cannot run KVM, and the VM does not say kvm: false", where="host")
        stays = vm.current is not None and vm.current.host == host.name
        if vm.spec.needs_smt and not host.smt and not stays:
            found.vm(planned, "its thread policy is require, and no core of the host has a sibling", where="host")
        if host.name not in widest:
            widest[host.name] = host.widest_vm
        if not stays and vm.spec.width > widest[host.name]:
            wide = f"it has {vm.spec.width} vCPUs, and the host {len(host.usable_cpus)} usable CPUs"
            found.vm(planned, f"{wide}: no platform starts it there unless the host says wide_vms: true", where="host")
        place = (id(host.topology), vm.spec.vcpus, places.of(planned))
        if place in good or _places_exist(host, vm, planned, found):
            good.add(place)
            sound.append((vm, planned))
    return sound


def _each_once(fleet: Fleet, plan: Plan, found: Findings) -> None:
    placed = Counter(vm.name for vm in plan.vms)
    out = Counter(vm.name for vm in plan.unplaced)
    known = fleet.vm_by_name
    for where, names in (("vms", placed), ("unplaced", out)):
        for name, count in names.items():
            if name not in known:
                found.fault(f"VM {name!r} is not in the fleet", where=where)
            elif count > 1:
                found.fault(f"VM {name!r} is there {count} times", where=where)
    both = [name for name in placed if name in out]
    if both:
        found.fault(f"both placed and unplaced: {some(both)}", where="unplaced")
    missing = [vm.name for vm in fleet.vms if vm.name not in placed and vm.name not in out]
    if missing:
        found.fault(f"VMs of the fleet that the plan neither places nor leaves out: {some(missing)}", where="vms")


def _places_exist(host: Host, vm: Vm, planned: PlanVm, found: Findings) -> bool:
    """Note vCPUs, CPUs and nodes that are not; tell whether all are."""
    before = len(found.faults)
    pins, count = planned.pins, vm.spec.vcpus
    if pins.keys() != set(range(count)):
        missing = set(range(count)) - pins.keys()
        what = f"no pin for vCPUs {format_cpuset(missing)}" if missing else f"pins for vCPUs {sorted(pins)}"
        found.vm(planned, f"{what}; it has {count} vCPUs", where="pins")
    for pin in set(pins.values()):
        _check_cpuset(host, planned, pin, "pins", found)
    if planned.emulator is not None:
        _check_cpuset(host, planned, planned.emulator, "emulator", found)
    ids = host.topology.node_ids
    for cell in planned.cells:
        unknown = [node for node in cell.nodes if node not in ids]
        if unknown or not (cell.nodes or (planned.bound and cell.mode == "floats")):
            lacking = f"the host has no node {unknown[0]}" if unknown else "lies on no node"
            found.vm(planned, f"memory of cell {cell.id}: {lacking}", where="cells")
        if cell.memory_kib < 0 or any(kib < 0 for kib in cell.nodes.values()):
            found.vm(planned, f"memory of cell {cell.id} is negative", where="cells")
        if not cell.vcpus <= pins.keys():
            found.vm(planned, f"cell {cell.id} names vCPUs that have no pin", where="cells")
    if not planned.cells:
        found.vm(planned, "it has no cells", where="cells")
    for one in planned.bound:
        if strangers := frozenset().union(one.cpus or (), one.memory or (), one.wish).difference(ids):
            found.vm(planned, f"is bound to node {min(strangers)}, which the host has not", where="bound")
    if len(planned.bound) not in (0, 1, len(planned.cells)):
        found.vm(planned, f"{len(planned.bound)} cells are bound, and it has {len(planned.cells)}", where="bound")
    for kind, device_node in planned.devices:
        if device_node is not None and device_node not in ids:
            found.vm(planned, f"device {kind!r}: the host has no node {device_node}", where="devices")
    return len(found.faults) == before


def _check_cpuset(host: Host, planned: PlanVm, cpus: frozenset[int], where: str, found: Findings) -> None:
    lacking = cpus - host.topology.cpus
    if lacking or not cpus:
        what = f"the host has no CPUs {format_cpuset(lacking)} online" if lacking else "an empty cpuset"
        found.vm(planned, what, where=where)
