"""What a plan wants of one domain: its definition, and where its threads are to be while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from placer.emit.domain.domain_xml import patch_domain
from placer.emit.domain.files import planned_xml
from placer.emit.domain.kept import stays
from placer.live.owned import owned_values
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import PlanVm
from placer.model.vm import Vm, VmSpec
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one domain is to be.

    `xml` is its definition. `vcpus`, `emulator` and `iothreads` are the CPUs of its threads while it runs; what is not
    in them may run anywhere. `kept` is the reading of `xml` where the plan leaves the VM as it is, else None.
    """

    xml: bytes
    vcpus: Mapping[int, frozenset[int]]
    emulator: frozenset[int] | None
    iothreads: Mapping[int, frozenset[int]]
    kept: DomainReading | None = None


def wanted_of(vm: PlanVm, fleet: Fleet, config: bytes, source: str) -> Wanted:
    """Return what a plan wants of a domain with this persistent XML on its planned host.

    A VM that the plan leaves as it is stays as it was imported, pinned nowhere if that is how it was.

    Raises
    ------
    InputError
        The domain is not the one planned (size, cells, IOThreads), or refers to its host in a way that forbids it.
    """
    known, host = fleet.vm_by_name[vm.name], fleet.host_by_name[vm.host]
    if stays(vm, known):
        kept = patch_domain(config, vm, known.spec, host, source=source, known=known)
        if _is_as_imported(kept, vm, known, host, fleet, source):
            reading = read_domain(kept, source)
            return Wanted(
                xml=kept,
                vcpus=_of_host(reading.pins, host),
                emulator=None if reading.emulator is None else reading.emulator & host.topology.cpus,
                iothreads=_of_host(reading.iothread_pins, host),
                kept=reading,
            )
    vcpus, emulator, iothreads = _planned_threads(vm, known.spec)
    xml = patch_domain(config, vm, known.spec, host, source=source)
    return Wanted(xml=xml, vcpus=vcpus, emulator=emulator, iothreads=iothreads)


def _is_as_imported(kept: bytes, vm: PlanVm, known: Vm, host: Host, fleet: Fleet, source: str) -> bool:
    """Tell whether nobody has changed since what a plan decides; of a VM without XML of its own nobody knows."""
    if known.domain is None:
        return True
    return owned_values(kept, source) == owned_values(planned_xml(vm, known, host, fleet), source)


def _planned_threads(
    vm: PlanVm, spec: VmSpec
) -> tuple[Mapping[int, frozenset[int]], frozenset[int], Mapping[int, frozenset[int]]]:
    """Return the CPUs of vCPUs, emulator threads and IOThreads of a running domain.

    Threads that the plan says nothing of run where libvirt puts them by default: on all CPUs of the vCPUs.
    """
    default = frozenset().union(*vm.pins.values())
    emulator = vm.emulator if vm.emulator is not None else default
    return vm.pins, emulator, {number: vm.iothreads.get(number, default) for number in spec.iothreads}


def _of_host(pins: Mapping[int, frozenset[int]], host: Host) -> Mapping[int, frozenset[int]]:
    return {number: there for number, cpus in pins.items() if (there := cpus & host.topology.cpus)}
