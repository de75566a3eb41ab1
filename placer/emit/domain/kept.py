"""What a plan leaves as it is in a domain's own XML: then not a byte of it changes, or only the sets that follow."""

from __future__ import annotations

from collections.abc import Mapping

from placer.emit.domain.elements import page_layout
from placer.model.plan import PlanVm
from placer.model.vm import CellMode, Vm
from placer.read.domains.reading import DomainReading


def stays(vm: PlanVm, known: Vm) -> bool:
    """Tell whether a plan leaves a VM where it is, as it is."""
    return vm.change.stays and known.current is not None and known.current.host == vm.host


def pins_that_differ(
    vm: PlanVm, said: Mapping[int, frozenset[int]], cpus: frozenset[int]
) -> Mapping[int, frozenset[int]]:
    """Return the planned cpusets of those vCPUs of which is `said` that they have another; `cpus` are the host's.

    A vCPU that is pinned nowhere floats, and where its VM stays it goes on floating: so does one that is pinned to CPUs
    alone which the host lacks.
    """
    return {
        vcpu: pin
        for vcpu, pin in vm.pins.items()
        if (now := said.get(vcpu)) is not None and now != pin and now & cpus not in (pin, frozenset())
    }


def helpers_differ(vm: PlanVm, known: Vm, reading: DomainReading, cpus: frozenset[int]) -> bool:
    """Tell whether the fleet knows of other pins of emulator threads or IOThreads than the XML, and the plan has them.

    What the fleet knows no pin of is not pinned, whatever the plan would give it elsewhere.
    """
    now = known.current
    if now is None:
        return True
    if now.emulator is not None and not _same(vm.emulator, reading.emulator, cpus):
        return True
    return any(
        not _same(vm.iothreads.get(thread), reading.iothread_pins.get(thread), cpus) for thread in now.iothread_pins
    )


def is_as_planned(vm: PlanVm, known: Vm, reading: DomainReading, cpus: frozenset[int]) -> bool:
    """Tell whether the XML of a VM that stays says all that the plan does, but for cpusets of vCPUs."""
    same_guest = page_layout(reading.spec) == page_layout(known.spec) and cells_fit(reading, vm)
    return same_guest and not helpers_differ(vm, known, reading, cpus)


def cells_fit(reading: DomainReading, vm: PlanVm) -> bool:
    """Tell whether the guest already has the planned cells; chosen ones must agree in their memory too."""
    if not vm.shown:
        return reading.spec.cell_mode is CellMode.NONE
    if reading.spec.cell_mode is CellMode.NONE or len(reading.spec.cells) != len(vm.cells):
        return False
    pairs = list(zip(reading.spec.cells, vm.cells, strict=True))
    if any(old.vcpus != new.vcpus for old, new in pairs):
        return False
    return not vm.new_cells or all(old.memory_kib == new.memory_kib for old, new in pairs)


def _same(planned: frozenset[int] | None, said: frozenset[int] | None, cpus: frozenset[int]) -> bool:
    return planned == said or (planned is not None and said is not None and said & cpus == planned)
