"""A plan as a folder of domain XML: ``<host>/<vm>.xml``, arrivals by migration under ``<host>/incoming/``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from placer.emit.domain.domain_xml import identity_lines, patch_domain
from placer.emit.domain.start_rules import start_faults
from placer.emit.export import PRIVATE_MODE, Exporter
from placer.emit.writer import safe_file_name
from placer.errors import Fault, InputError
from placer.measure.alike import PlaceNumbers
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm
from placer.read.text.xml import parse_xml


def domain_files(plan: Plan, fleet: Fleet) -> dict[str, bytes]:
    """Return the XML of every placed VM by its path; faults of all VMs are raised at once."""
    return {_path(vm, fleet): xml for vm, xml in _domains(plan, fleet)}


def domain_document(plan: Plan, fleet: Fleet) -> bytes:
    """Return the XML of a plan's only VM; several domains are no document."""
    if len(plan.vms) != 1:
        raise InputError(f"the XML of {len(plan.vms)} VMs is no single file", field="-o", cure="give -o FOLDER")
    return next(xml for _, xml in _domains(plan, fleet))


def source_xml(vm: Vm, fleet: Fleet) -> bytes | None:
    """Return the XML a VM was imported from, None where it has none.

    Raises
    ------
    InputError
        The file is gone, or is not what it was when the fleet was read.
    """
    if vm.domain is None:
        return None
    path = Path(fleet.base_dir or ".") / vm.domain.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"the domain XML of VM {vm.name!r} cannot be read: {error.strerror}", file=str(path)) from None
    if hashlib.sha256(data).hexdigest() != vm.domain.sha256.lower():
        raise InputError(
            f"the domain XML of VM {vm.name!r} has changed since the fleet was read",
            file=str(path),
            cure="import it and solve again",
        )
    return data


def allocated_at_once(fleet: Fleet) -> frozenset[str]:
    """Return the names of the VMs whose XML has all memory allocated when they start.

    Raises
    ------
    InputError
        As `source_xml`.
    """
    found = set()
    for vm in fleet.vms:
        xml = source_xml(vm, fleet)
        if xml is not None and b"immediate" in xml:
            allocation = parse_xml(xml, vm.name).find("memoryBacking/allocation")
            if allocation is not None and allocation.get("mode") == "immediate":
                found.add(vm.name)
    return frozenset(found)


def planned_xml(vm: PlanVm, known: Vm, host: Host, fleet: Fleet) -> bytes:
    """Return the XML of one VM as planned.

    Raises
    ------
    InputError
        It cannot be patched, or the plan would make it break a start-time rule that it keeps now.
    """
    old = source_xml(known, fleet)
    where = known.domain.path if known.domain is not None else f"domain XML of {vm.name!r}"
    before = None if known.current is None else fleet.host_by_name.get(known.current.host)
    origin = None if before is None else before.topology
    new = patch_domain(old, vm, known.spec, host, source=where, known=known, origin=origin)
    if new == old:
        return new
    broken = start_faults(new, where, host=host.topology)
    if broken and old is not None:
        # What a domain said of this very host before is no fault of the plan's.
        here = known.current is not None and known.current.host == vm.host
        kept = {fault.message for fault in start_faults(old, where, host=host.topology if here else None)}
        broken = [fault for fault in broken if fault.message not in kept]
    if broken:
        raise InputError(broken)
    return new


class _Domains:
    """Makes the XML of one VM after the other; of VMs without XML of their own, those alike get the same text."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._places = PlaceNumbers()
        self._around: dict[tuple[int, int, int], tuple[bytes, bytes]] = {}

    def xml(self, vm: PlanVm) -> bytes:
        """Return the XML of a VM as planned."""
        known, host = self.fleet.vm_by_name[vm.name], self.fleet.host_by_name[vm.host]
        if known.domain is not None or any(vm.addresses):
            return planned_xml(vm, known, host, self.fleet)
        key = (id(known.spec), id(host.topology), self._places.of(vm))
        around = self._around.get(key)
        if around is None:
            made = planned_xml(vm, known, host, self.fleet)
            before, own, after = made.partition(identity_lines(vm))
            if own:
                self._around[key] = (before, after)
            return made
        return around[0] + identity_lines(vm) + around[1]


def _domains(plan: Plan, fleet: Fleet) -> Iterator[tuple[PlanVm, bytes]]:
    faults: list[Fault] = []
    domains = _Domains(fleet)
    for vm in plan.vms:
        try:
            yield vm, domains.xml(vm)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)


def _path(vm: PlanVm, fleet: Fleet) -> str:
    folder = safe_file_name(vm.host)
    if vm.from_host is not None and vm.from_host != vm.host:
        old = fleet.host_by_name.get(vm.from_host)
        # What comes from a failed host cannot be migrated: it is defined anew, like any other.
        if old is None or not old.failed:
            folder += "/incoming"
    return f"{folder}/{safe_file_name(vm.name)}.xml"


EXPORTER = Exporter(files=domain_files, document=domain_document, folder=True, mode=PRIVATE_MODE)
