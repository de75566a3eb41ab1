"""VMs and rules as entries of an inventory: only what differs from the defaults, or from the VM's own domain XML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from placer.errors import PlacerError
from placer.model.cpu_topology import CpuTopology
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind, Selection
from placer.model.vm import Bound, Cell, CellMode, CpuPolicy, Current, Movable, PinPolicy, Vm, VmSpec
from placer.read.domains.reading import DomainReading, bound_by_pins, current_of
from placer.read.inventory import yaml_form as y
from placer.read.inventory.write_hosts import Entry

_DEFAULT = VmSpec(vcpus=1, memory_kib=1)


class VmWriter:
    """Writes VMs; `content` returns the bytes of a domain XML, against which its VM is written."""

    def __init__(
        self, hosts: Mapping[str, Host], resource: Callable[[str, int], str], content: Callable[[str], bytes | None]
    ) -> None:
        self.hosts = hosts
        self.resource = resource
        self.content = content
        self._specs: dict[int, Entry] = {}

    def entry(self, vm: Vm) -> Entry:
        """Return a VM without its name; equal entries may be written as one with a count."""
        reading = self._reading(vm)
        entry: Entry = {}
        if vm.uuid is not None and (reading is None or reading.uuid != vm.uuid):
            entry["uuid"] = vm.uuid
        if vm.manager_id is not None:
            entry["manager_id"] = y.scalar(vm.manager_id)
        if vm.domain is not None:
            entry["domain"] = y.scalar(vm.domain.path)
        if reading is not None:
            entry.update(self._spec(vm.spec, reading.spec))
            if vm.current is None and reading.spec.cpu_policy is CpuPolicy.SHARED and not self._shares_by_itself(vm):
                entry["cpu_policy"] = CpuPolicy.SHARED.value
        else:
            if id(vm.spec) not in self._specs:
                self._specs[id(vm.spec)] = self._spec(vm.spec, None)
            entry.update(self._specs[id(vm.spec)])
        if vm.current is not None:
            entry.update(self._place(vm.current, vm.spec, reading))
        if vm.pins_fixed:
            entry["pins_fixed"] = "true"
        if vm.pin is not PinPolicy.ALLOWED:
            entry["pin"] = vm.pin.value
        movable, why, notes = (
            (reading.movable, reading.movable_why, reading.notes) if reading else (Movable.LIVE, (), ())
        )
        if vm.movable is not movable or (vm.movable_why != why and not vm.movable_why):
            entry["movable"] = y.scalar(vm.movable.value)
        if vm.movable_why and (vm.movable_why != why or "movable" in entry):
            entry["movable_why"] = y.texts(vm.movable_why)
        if not vm.running:
            entry["running"] = "false"
        if vm.copied:
            entry["copied"] = y.texts(vm.copied)
        if vm.usage is not None:
            shares = {name: getattr(vm.usage, name) for name in ("cpu_p95", "memory_p95")}
            entry["usage"] = y.flow_map({name: y.number(share) for name, share in shares.items() if share is not None})
        if vm.notes != notes:
            entry["notes"] = y.texts(vm.notes)
        return entry

    def _reading(self, vm: Vm) -> DomainReading | None:
        shared = vm.current is not None or vm.spec.cpu_policy is CpuPolicy.SHARED
        return self._read(vm, CpuPolicy.SHARED if shared else CpuPolicy.DEDICATED)

    def _shares_by_itself(self, vm: Vm) -> bool:
        """Tell whether the XML of a VM that is nowhere says that its CPUs are shared; else it reads as dedicated."""
        reading = self._read(vm, CpuPolicy.DEDICATED)
        return reading is not None and reading.spec.cpu_policy is CpuPolicy.SHARED

    def _read(self, vm: Vm, unpinned: CpuPolicy) -> DomainReading | None:
        from placer.read.domains.domain_xml import read_domain

        data = self.content(vm.domain.path) if vm.domain is not None else None
        if data is None or vm.domain is None:
            return None
        try:
            return read_domain(data, vm.domain.path, unpinned=unpinned)
        except PlacerError:
            return None

    def _spec(self, spec: VmSpec, base: VmSpec | None) -> Entry:
        """Return the keys of a spec in which it differs from what its XML tells, or from the defaults."""
        entry: Entry = {}
        sized = base is None or any(
            getattr(spec, name) != getattr(base, name) for name in ("vcpus", "memory_kib", "cell_mode", "cells")
        )
        if sized:
            entry.update(vcpus=str(spec.vcpus), memory=y.size(spec.memory_kib), cells=_cells(spec))
        other = base if base is not None else _DEFAULT
        for field in fields(VmSpec):
            value = getattr(spec, field.name)
            if field.name in _WRITERS and value != getattr(other, field.name):
                key, write = _WRITERS[field.name]
                entry[key] = write(value)
        said = (spec.cpu_policy, spec.dedicated_vcpus)
        if spec.cpu_policy is CpuPolicy.MIXED and said != (other.cpu_policy, other.dedicated_vcpus):
            entry["cpu_policy"] = CpuPolicy.MIXED.value
            entry["dedicated_vcpus"] = y.cpus(spec.dedicated_vcpus)
        if spec.resources != other.resources:
            amounts = {y.scalar(name): self.resource(name, amount) for name, amount in spec.resources.items()}
            entry["resources"] = y.flow_map(amounts)
        return entry

    def _place(self, current: Current, spec: VmSpec, reading: DomainReading | None) -> Entry:
        """Return where the VM is, as far as its XML does not say so itself."""
        entry: Entry = {"host": y.scalar(current.host)}
        told = Current(host=current.host)
        if reading is not None and current.host in self.hosts:
            like = reading if spec.cell_mode is CellMode.AUTO else replace(reading, spec=spec)
            told = current_of(like, current.host, self.hosts[current.host].topology)
        elif current.pins and current.host in self.hosts:
            told = replace(told, bound=bound_by_pins(current.pins, spec, self.hosts[current.host].topology))
        if current.bound and current.bound != told.bound:
            entry["bound"] = _bound(current.bound)
        if dict(current.memory_on) != dict(told.memory_on):
            sizes = {str(node): y.size(kib) for node, kib in sorted(current.memory_on.items())}
            entry["memory_on"] = y.flow_map(sizes)
        if current.nodes != told.nodes or (told.bound and not current.bound):
            entry["nodes"] = y.flow_list(map(str, current.nodes or ()))
        implied = current.nodes if "nodes" in entry or "bound" in entry else told.memory_nodes
        if current.memory_nodes != implied:
            entry["memory_nodes"] = y.flow_list(map(str, current.memory_nodes or ()))
        if dict(current.pins) != dict(told.pins):
            entry["pins"] = _pins(current.pins)
        if current.emulator is not None and current.emulator != told.emulator:
            entry["emulator"] = y.cpus(current.emulator)
        if current.devices != told.devices:
            entry["device_addresses"] = y.texts(current.devices)
        if dict(current.iothread_pins) != dict(told.iothread_pins):
            entry["iothread_pins"] = _pins(current.iothread_pins)
        return entry


def rule_text(rule: Rule) -> str:
    """Return a rule on one line."""
    out: dict[str, str] = {}
    kind = rule.kind.value
    if rule.holds:
        if rule.flavor is not None:
            said = {"flavor": y.scalar(rule.flavor), "count": str(rule.slots)}
            out["hold"] = y.flow_map({**said, "scope": y.scalar(rule.scope)} if rule.scope else said)
        else:
            out["failover_for"] = _selection(rule.members)
            if rule.scope != "host":
                out["scope"] = y.scalar(rule.scope)
    elif rule.kind is RuleKind.RESERVE:
        said = {"fail": str(rule.fail), "scope": y.scalar(rule.scope)}
        out[kind] = y.flow_map(said if rule.members is None else {**said, "members": _selection(rule.members)})
    elif rule.kind is RuleKind.DRAIN:
        out[kind] = _selection(rule.hosts)
    elif rule.kind is RuleKind.APART:
        out[kind] = y.flow_list((_selection(rule.members), _selection(rule.others)))
    else:
        out[kind] = _selection(rule.members)
        if rule.hosts is not None:
            out["hosts"] = _selection(rule.hosts)
    if rule.scope != "host" and rule.kind is not RuleKind.RESERVE:
        out["scope"] = y.scalar(rule.scope)
    out.update(_limits(rule))
    if rule.is_soft:
        out["weight"] = str(rule.weight)
    if rule.priority:
        out["priority"] = str(rule.priority)
    if rule.unless:
        out["unless"] = _selection(rule.unless)
    if rule.name is not None:
        out["name"] = y.scalar(rule.name)
    return y.flow_map(out)


def _limits(rule: Rule) -> dict[str, str]:
    """Return how much a rule allows, where that is not what it allows unless said."""
    if rule.kind is RuleKind.SHARE:
        amount = y.size(rule.most * 1024) if rule.of == "memory" else str(rule.most)
        return {f"max_{rule.of}": amount}
    key, most, unless_said = {
        RuleKind.APART: ("max_together", rule.max_per, 0),
        RuleKind.SPREAD: ("at_least", rule.domains_used, None),
        RuleKind.EVEN: ("max_skew", rule.skew, None),
    }.get(rule.kind, ("max_per", rule.max_per, 1))
    return {} if most == unless_said else {key: str(most)}


def _selection(chosen: Selection | None) -> str:
    values = {key: _values(value) for key, value in (chosen or {}).items()}
    return (
        values["name"]
        if list(values) == ["name"]
        else y.flow_map({y.scalar(key): said for key, said in values.items()})
    )


def _values(value: str | frozenset[str]) -> str:
    return y.scalar(value) if isinstance(value, str) else y.texts(sorted(value))


def _cells(spec: VmSpec) -> str:
    if spec.cell_mode is not CellMode.GIVEN:
        return spec.cell_mode.value
    count = len(spec.cells)
    each = spec.vcpus // count
    equal = tuple(
        Cell(vcpus=frozenset(range(n * each, (n + 1) * each)), memory_kib=spec.memory_kib // count)
        for n in range(count)
    )
    if spec.cells == equal:
        return str(count)
    out, following = [], 0
    for cell in spec.cells:
        in_order = cell.vcpus == frozenset(range(following, following + len(cell.vcpus)))
        one = {"vcpus": str(len(cell.vcpus))} if in_order else {"cpus": y.cpus(cell.vcpus)}
        one["memory"] = y.size(cell.memory_kib)
        if cell.mem_access is not None:
            one["mem_access"] = cell.mem_access
        if cell.page_kib is not None:
            one["page_size"] = y.size(cell.page_kib)
        out.append(y.flow_map(one))
        following = max(cell.vcpus, default=following - 1) + 1
    return y.flow_list(out)


def _bound(bound: tuple[Bound, ...]) -> str:
    entries = []
    for one in bound:
        sets = {
            name: "host" if nodes is None else y.flow_list(map(str, sorted(nodes)))
            for name, nodes in (("cpus", one.cpus), ("memory", one.memory))
        }
        if one.wish:
            sets["wish"] = y.flow_list(map(str, sorted(one.wish)))
        entries.append(y.flow_map(sets))
    return entries[0] if len(entries) == 1 else y.flow_list(entries)


def _pins(pins: Mapping[int, frozenset[int]]) -> str:
    return y.flow_map({str(key): y.cpus(cpus) for key, cpus in sorted(pins.items())})


def _devices(devices: Any) -> str:
    out = []
    for device in devices:
        one = {"kind": y.scalar(device.kind), "policy": device.policy}
        if device.count != 1:
            one["count"] = str(device.count)
        if device.per != "vm":
            one["per"] = device.per
        out.append(y.flow_map(one))
    return y.flow_list(out)


def _topology(said: Any) -> str:
    if isinstance(said, CpuTopology):
        return y.flow_map({level: str(count) for level, count in said.told()})
    return str(said.value)


def _iothreads(ids: Any) -> str:
    return str(len(ids)) if tuple(ids) == tuple(range(1, len(ids) + 1)) else y.flow_list(map(str, ids))


_WRITERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "vcpus_current": ("vcpus_current", str),
    "interleave": ("interleave", str),
    "share_node": ("share_node", y.boolean),
    "locality": ("locality", lambda value: "uniform" if value is None else y.number(value)),
    "page_kib": ("page_size", lambda value: "4KiB" if value is None else y.size(value)),
    "cpu_policy": ("cpu_policy", lambda value: str(value.value)),
    "thread_policy": ("thread_policy", lambda value: str(value.value)),
    "core_kind": ("core_kind", lambda value: str(value.value)),
    "emulator_threads": ("emulator_threads", lambda value: str(value.value)),
    "iothreads": ("iothreads", _iothreads),
    "overhead_kib": ("overhead", y.size),
    "memory_tier": ("memory_tier", str),
    "memory_mode": ("memory_mode", lambda value: str(value.value)),
    "weight": ("weight", y.number),
    "priority": ("priority", str),
    "devices": ("devices", _devices),
    "labels": ("labels", y.text_map),
    "reshape": ("reshape", y.boolean),
    "kvm": ("kvm", y.boolean),
    "cpu_topology": ("cpu_topology", _topology),
    "max_sockets": ("max_sockets", str),
}
"""Key and writing of each field that stands for itself; the order is that of the model."""
