"""Dedicated vCPUs without a CPU of their own in any plan: of VMs that keep their CPUs, where several have the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from placer.measure.moved import is_present
from placer.model.core_pairs import one_each
from placer.model.fleet import Fleet
from placer.model.sets import known_nodes
from placer.model.vm import Movable, Vm


def kept_twice(fleet: Fleet, *, may_leave: bool) -> int:
    """Return how many dedicated vCPUs share their CPU with another one's wherever a plan puts who may go elsewhere.

    A VM that is not bound to one node a cell keeps its cpusets while it stays on its host, as one does whose pins are
    fixed. It stays where it may not move, or where no VM `may_leave` its host.
    """
    holders: Counter[tuple[str, int]] = Counter()
    for vm in fleet.vms:
        if is_present(fleet, vm) and (not may_leave or vm.movable is Movable.NO) and _keeps_pins(vm):
            holders.update((vm.current.host, cpu) for cpu in _own(vm) if vm.current is not None)
    return sum(many - 1 for many in holders.values())


def _keeps_pins(vm: Vm) -> bool:
    return vm.current is not None and bool(vm.current.pins) and (vm.pins_fixed or known_nodes(vm) is None)


def _own(vm: Vm) -> Iterable[int]:
    pins = one_each(vm.current.pins) if vm.current is not None else {}
    return {min(pin) for vcpu, pin in pins.items() if len(pin) == 1 and vm.spec.is_dedicated(vcpu)}
