"""From ``vms[]`` of an inventory to VMs: specs shared, current places checked against the hosts they name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from placer.errors import PlacerError, did_you_mean
from placer.model.host import Host, Topology
from placer.model.vm import CpuPolicy, Current, DomainSource, Movable, PinPolicy, Usage, Vm, VmSpec
from placer.read.domains.hostdevs import devices_of, with_held
from placer.read.domains.reading import DomainReading
from placer.read.inventory.alike import Alike
from placer.read.inventory.entries import Names, expand_names, line_of, loose, own_texts, without
from placer.read.inventory.files import Files, texts
from placer.read.inventory.places import current_place, held_devices, strangers
from placer.read.inventory.schema import VmEntry
from placer.read.inventory.specs import SPEC_KEYS, build_spec
from placer.read.inventory.validation import Problem, further, note, validate
from placer.read.text.located import FaultLog, LineList, LineMap, freeze

_OWN_KEYS = ("name", "uuid", "manager_id", "host")
"""What tells one VM of a flavor from the next: read apart, so that all of a flavor share the rest."""
_PLACE_KEYS = (
    "nodes",
    "memory_nodes",
    "pins",
    "pins_fixed",
    "emulator",
    "iothread_pins",
    "bound",
    "memory_on",
    "device_addresses",
)
_MAX_HINTS = 20


class VmSection:
    """The VMs of an inventory; of entries with faults the names and labels, as for hosts."""

    def __init__(self, hosts: Mapping[str, Host], broken_hosts: frozenset[str], files: Files, log: FaultLog) -> None:
        self.log = log
        self.made: list[Vm] = []
        self.broken: dict[str, dict[str, str]] = {}
        self._builder = _VmBuilder(hosts, broken_hosts, files, log)
        self.warnings = self._builder.warnings
        self._names = Names("VM name", log, "give one of them another name")
        self._uuids = Names("VM UUID", log, "one UUID is one VM")

    def read(self, section: LineList) -> None:
        """Read all entries."""
        for number, tree in enumerate(section):
            line = line_of(section, number)
            made = self._builder.build(tree, number, line)
            if not made:
                names, labels = loose(tree)
                for name in names:
                    self._names.take(name, line, f"vms[{name}].name")
                    self.broken[name] = labels
            for vm in made:
                if vm.uuid is not None:
                    self._uuids.take(vm.uuid, line, f"vms[{vm.name}].uuid")
                if self._names.take(vm.name, line, f"vms[{vm.name}].name"):
                    self.made.append(vm)


@dataclass(frozen=True, slots=True)
class _Body:
    """What entries that differ only in name, UUID and host have in common."""

    entry: VmEntry | None
    spec: VmSpec | None
    problems: list[Problem]


class _VmBuilder:
    """Builds VMs entry by entry; equal bodies are validated once."""

    def __init__(self, hosts: Mapping[str, Host], broken_hosts: frozenset[str], files: Files, log: FaultLog) -> None:
        self.hosts = hosts
        self.broken_hosts = broken_hosts
        self.files = files
        self.log = log
        self.warnings: list[str] = []
        self._bodies: dict[Hashable, _Body] = {}
        self._specs: dict[Hashable, tuple[VmSpec | None, list[Problem]]] = {}
        self._likes: dict[tuple[int, int], tuple[Vm | None, list[Problem]]] = {}
        self._alike = Alike()
        self._hints = 0

    def build(self, tree: Any, number: int, line: int | None) -> list[Vm]:
        """Return the VMs of one entry; its faults go to the log."""
        if not isinstance(tree, LineMap):
            note(self.log, validate(VmEntry, tree)[1], tree, f"vms[{number}]", line)
            return []
        problems: list[Problem] = []
        own = own_texts(tree, _OWN_KEYS, problems)
        body = self._body(tree)
        problems.extend(body.problems)
        entry, spec = body.entry, body.spec
        reading = None
        if entry is not None:
            if entry.domain is not None:
                reading = self._reading(entry.domain, entry.cpu_policy == "shared" or "host" in own, problems)
                spec = build_spec(entry, reading.spec, problems) if reading is not None else None
            self._check_own(entry, own, reading, problems)
        name = own.get("name") or (reading.name if reading is not None else f"{number}")
        made: list[Vm] = []
        if entry is not None and spec is not None and not _touch_spec(problems):
            found: list[Problem] = []
            made = self._vms(entry, spec, own, reading, name, found)
            problems.extend(further(problems, found))
        if problems:
            note(self.log, problems, tree, f"vms[{name}]", line)
            return []
        return made

    def _body(self, tree: LineMap) -> _Body:
        rest = without(tree, _OWN_KEYS)
        key = freeze(rest)
        body = self._bodies.get(key)
        if body is None:
            entry, problems = validate(VmEntry, rest)
            spec = None
            if entry is not None and entry.domain is None:
                spec, found = self._spec(entry, rest)
                problems = [*problems, *further(problems, found)]
            body = self._bodies[key] = _Body(entry, spec, problems)
        return body

    def _spec(self, entry: VmEntry, tree: LineMap) -> tuple[VmSpec | None, list[Problem]]:
        key = freeze({name: tree[name] for name in SPEC_KEYS if name in tree})
        if key not in self._specs:
            problems: list[Problem] = []
            self._specs[key] = (build_spec(entry, None, problems), problems)
        return self._specs[key]

    def _reading(self, name: str, floats: bool, problems: list[Problem]) -> DomainReading | None:
        from placer.read.domains.domain_xml import read_domain

        # What runs unpinned shares its host; what is not placed yet is given CPUs of its own, as any VM here.
        unpinned = CpuPolicy.SHARED if floats else CpuPolicy.DEDICATED
        data = self.files.content(name, ("domain",), problems)
        if data is None:
            return None
        path = self.files.base_dir / name
        try:
            return read_domain(data, str(path), unpinned=unpinned)
        except PlacerError as error:
            for fault in error.faults:
                self.log.add(
                    fault.message, file=fault.file or str(path), line=fault.line, field=fault.field, cure=fault.cure
                )
            return None

    def _check_own(
        self, entry: VmEntry, own: Mapping[str, str], reading: DomainReading | None, problems: list[Problem]
    ) -> None:
        if entry.count is not None:
            for key in ("uuid", "manager_id", "domain", "device_addresses"):
                if key in own or (key in ("domain", "device_addresses") and getattr(entry, key) is not None):
                    problems.append(
                        ((key,), "belongs to one VM, the entry has a count", "give each VM an entry of its own")
                    )
        if "name" not in own and entry.domain is None and not any(path == ("name",) for path, _, _ in problems):
            problems.append((("name",), "is missing", None))
        if "host" not in own:
            problems.extend(
                ((key,), "says where the VM is, but there is no host", "add host")
                for key in _PLACE_KEYS
                if getattr(entry, key) is not None
            )
        elif own["host"] not in self.hosts and own["host"] not in self.broken_hosts:
            problems.append((("host",), f"there is no host {own['host']!r}", self._hint(own["host"])))
        if reading is not None and reading.uuid is not None and own.get("uuid", reading.uuid) != reading.uuid:
            problems.append((("uuid",), f"the domain XML says {reading.uuid}", "keep one"))

    def _hint(self, name: str) -> str | None:
        """Return a host name like this one; comparing with all hosts is slow, so only for the first few faults."""
        self._hints += 1
        return did_you_mean(name, self.hosts) if self._hints <= _MAX_HINTS else None

    def _vms(
        self,
        entry: VmEntry,
        spec: VmSpec,
        own: Mapping[str, str],
        reading: DomainReading | None,
        name: str,
        problems: list[Problem],
    ) -> list[Vm]:
        """Return the VMs of an entry; those of one body on hosts of one topology are copies of the first."""
        host = self.hosts.get(own.get("host", ""))
        topology = host.topology if host is not None else None
        identity = own.get("uuid", reading.uuid if reading is not None else None)
        key = (id(entry), id(topology))
        vm, found = self._likes.get(key, (None, []))
        held = devices_of(held_devices(entry, reading), topology) if topology is not None else ()
        if held:
            spec = replace(spec, devices=with_held(spec.devices, held))
        if reading is not None and reading.security:
            counted = {name: amount for name, amount in reading.security.items() if self._counts(name, host)}
            spec = replace(spec, resources={**counted, **spec.resources})
        if reading is not None:
            spec = self._alike.of(spec)
        if vm is None and not found:
            vm = self._like(entry, spec, topology, reading, found)
            if reading is None:
                self._likes[key] = (vm, found)
        problems.extend(found)
        if problems or vm is None:
            return []
        if reading is not None and topology is not None:
            self.warnings.extend(f"VM {name} on host {own['host']}: {text}" for text in strangers(reading, topology))
        named = own.get("manager_id")
        return [_copy(vm, each, identity, named, own.get("host")) for each in expand_names(name, entry.count)]

    def _counts(self, resource: str, host: Host | None) -> bool:
        """Tell whether the host of a VM counts a resource; of a VM that is nowhere, whether any host does."""
        return any(resource in one.resources for one in ([host] if host is not None else self.hosts.values()))

    def _like(
        self,
        entry: VmEntry,
        spec: VmSpec,
        topology: Topology | None,
        reading: DomainReading | None,
        problems: list[Problem],
    ) -> Vm | None:
        """Return the VM of an entry on a host of this topology, still without name, UUID and host."""
        current = current_place(entry, spec, topology, reading, problems) if topology is not None else None
        fixed = entry.pins == "fixed" or bool(entry.pins_fixed)
        if fixed and current is not None and not current.pins:
            problems.append((("pins",), "fixed, but no pins are known", "list them, and say pins_fixed: true"))
        sizes = {name for name, (_, unit) in (entry.resources or {}).items() if unit}
        for name in texts(entry.copied):
            if name not in sizes:
                problem = (("copied",), f"{name!r} is no size among its resources", "say resources: {disk: 1.5TiB}")
                problems.append(problem)
        if problems:
            return None
        movable, why = Movable.LIVE, texts(entry.movable_why)
        if entry.movable is not None:
            movable = Movable(entry.movable)
        elif reading is not None:
            movable, why = reading.movable, why or reading.movable_why
        usage = entry.usage
        return Vm(
            name="",
            spec=spec,
            current=current,
            movable=movable,
            movable_why=why,
            pins_fixed=fixed,
            pin=PinPolicy(entry.pin) if entry.pin is not None else PinPolicy.ALLOWED,
            running=entry.running is not False,
            domain=None
            if entry.domain is None or reading is None
            else DomainSource(
                path=entry.domain, sha256=self.files.sha256[entry.domain], memory_modes=reading.memory_modes
            ),
            usage=Usage(cpu_p95=usage.cpu_p95, memory_p95=usage.memory_p95) if usage is not None else None,
            copied=texts(entry.copied),
            notes=texts(entry.notes) if entry.notes is not None or reading is None else reading.notes,
        )


def _touch_spec(problems: Sequence[Problem]) -> bool:
    """Tell whether the spec is in doubt: what its place lacks then may be only a consequence."""
    return any(not path or path[0] in SPEC_KEYS for path, _, _ in problems)


def _copy(vm: Vm, name: str, identity: str | None, named: str | None, host: str | None) -> Vm:
    """Return the VM under its own name, ids and host; spelt out, for it is done 100,000 times."""
    place = vm.current
    if place is not None and host is not None:
        place = Current(
            host=host,
            nodes=place.nodes,
            memory_nodes=place.memory_nodes,
            pins=place.pins,
            emulator=place.emulator,
            iothread_pins=place.iothread_pins,
            bound=place.bound,
            memory_on=place.memory_on,
            devices=place.devices,
        )
    return Vm(
        name=name,
        spec=vm.spec,
        uuid=identity,
        manager_id=named,
        current=place,
        movable=vm.movable,
        movable_why=vm.movable_why,
        pins_fixed=vm.pins_fixed,
        pin=vm.pin,
        running=vm.running,
        domain=vm.domain,
        usage=vm.usage,
        copied=vm.copied,
        notes=vm.notes,
    )
