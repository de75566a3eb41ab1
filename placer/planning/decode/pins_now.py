"""The CPUs that a part of a VM has now."""

from __future__ import annotations

from placer.model.core_pairs import one_each
from placer.model.vm import Vm
from placer.planning.compile.needs import Needs, part_vcpus


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


def is_wide(vm: Vm, slot: int, needs: Needs) -> bool:
    """Tell whether the dedicated vCPUs of a part are all pinned now, not each to one CPU."""
    pins = vm.current.pins if vm.current is not None else {}
    own = [vcpu for vcpu in part_vcpus(vm.spec, len(needs.options[0]))[slot] if vm.spec.is_dedicated(vcpu)]
    return all(vcpu in pins for vcpu in own) and any(len(pins[vcpu]) > 1 for vcpu in own)


def current_extra(vm: Vm) -> tuple[int, ...]:
    """Return the CPUs that emulator threads have now."""
    return tuple(sorted(vm.current.emulator)) if vm.current is not None and vm.current.emulator is not None else ()
