"""The CPUs that parts of VMs have now, and L3 domains of those that they float over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from placer.model.core_pairs import one_each
from placer.model.host import Host
from placer.model.sets import known_nodes
from placer.model.vm import CpuPolicy, Vm, VmSpec
from placer.planning.compile.needs import Needs, part_vcpus
from placer.planning.compile.placements import Placement


def fixed_cpus(vm: Vm, slot: int, parts: int) -> tuple[int, ...]:
    """Return the CPUs of the dedicated vCPUs of a part whose pins are fixed, in order."""
    pins = vm.current.pins if vm.current else {}
    return tuple(min(pins[vcpu]) for vcpu in part_vcpus(vm.spec, parts)[slot] if vm.spec.is_dedicated(vcpu))


def current_cpus(vm: Vm, slot: int, needs: Needs) -> tuple[int, ...] | None:
    """Return the CPUs that the dedicated vCPUs of a part have now, in order; None where not each has one of its own."""
    if vm.current is None or not vm.current.pins:
        return None
    own = [vcpu for vcpu in part_vcpus(vm.spec, len(needs.options[0]))[slot] if vm.spec.is_dedicated(vcpu)]
    pins = one_each(vm.current.pins)
    sets = [pins.get(vcpu, frozenset()) for vcpu in own]
    if any(len(cpus) != 1 for cpus in sets):
        return None
    return tuple(min(cpus) for cpus in sets)


def cpus_of_all(vm: Vm, slots: Sequence[int], needs: Needs) -> tuple[int, ...] | None:
    """Return `current_cpus` of several parts in order, None where those of one are not known."""
    found = [current_cpus(vm, slot, needs) for slot in slots]
    return None if None in found else tuple(cpu for cpus in found for cpu in cpus or ())


def is_wide(vm: Vm, slot: int, needs: Needs) -> bool:
    """Tell whether the dedicated vCPUs of a part are all pinned now, not each to one CPU."""
    pins = vm.current.pins if vm.current is not None else {}
    own = [vcpu for vcpu in part_vcpus(vm.spec, len(needs.options[0]))[slot] if vm.spec.is_dedicated(vcpu)]
    return all(vcpu in pins for vcpu in own) and any(len(pins[vcpu]) > 1 for vcpu in own)


def current_extra(vm: Vm) -> tuple[int, ...]:
    """Return the CPUs that emulator threads have now."""
    return tuple(sorted(vm.current.emulator)) if vm.current is not None and vm.current.emulator is not None else ()


def is_sharing(spec: VmSpec) -> bool:
    """Tell whether any vCPU shares its CPUs."""
    return spec.cpu_policy is not CpuPolicy.DEDICATED


def domains_to_float(host: Host, cpus: frozenset[int]) -> set[int | None]:
    """Return the L3 domains of those CPUs that shared vCPUs float over, None for CPUs of which none is told."""
    return {host.topology.l3_of_cpu.get(cpu) for cpu in cpus & host.shared_pool}


def as_of(vm: Vm, host: str) -> Vm:
    """Return a VM as a host knows it: pins on another host, even fixed ones, mean nothing here."""
    if vm.current is None or vm.current.host == host:
        return vm
    return replace(vm, current=None, pins_fixed=False)


def stays_on(vm: Vm, placement: Placement, ids: Sequence[int]) -> tuple[bool, ...]:
    """Tell of each part of a VM whether it is on its CPU node of a placement now."""
    known, count = known_nodes(vm), len(placement.cpu_nodes)
    if known is None or len(known[0]) != count:
        return (False,) * count
    return tuple(now == ids[node] for now, node in zip(known[0], placement.cpu_nodes, strict=True))
