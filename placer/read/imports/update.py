"""Merging what was gathered anew into an inventory that a person has edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from placer.model.fleet import Fleet
from placer.model.host import Device, Host, HostSettings, Topology
from placer.model.rules import Rule, values_of
from placer.model.vm import Vm, VmSpec
from placer.read.imports.gathered import Imported
from placer.read.inventory.inventory import parse_fleet
from placer.read.inventory.write_vms import rule_text
from placer.read.text.located import FaultLog, LineMap
from placer.read.text.yaml_comments import carry_comments
from placer.read.text.yaml_lines import decode, load_lines

_PERSONS_OF_HOST = (
    "reserve",
    "dedicated_cpus",
    "shared_cpus",
    "isolated_cpus",
    "cost",
)
"""What no machine tells of a host: it stays as the person wrote it."""
_PERSONS_OF_SPEC = (
    "locality",
    "share_node",
    "overhead_kib",
    "memory_tier",
    "memory_mode",
    "weight",
    "priority",
    "resources",
    "reshape",
)
"""What no tool tells of a VM."""
_KEY_OF_FIELD = {"memory_kib": "memory", "cell_mode": "cells", "page_kib": "page_size", "overhead_kib": "overhead"}


def update(old: Path, new: Imported) -> Imported:
    """Return the old inventory with the hosts and VMs of the new one in it.

    Hosts and VMs are the same by UUID, else by name. A host keeps its labels, reserve, CPU sets, ratios, cost,
    resources and devices of its own, and takes the new topology; a VM keeps what no tool tells and, where it has domain
    XML, every key that stands in its entry, and takes the new place. A label that the tool tells too is the tool's.
    Hosts that were not gathered stay as they are with their VMs, and so do VMs that are placed nowhere. A VM that is
    gone from the hosts gathered is left out, with a warning. Rules and comments stay.

    Raises
    ------
    InputError
        The old inventory has faults.
    """
    data = old.read_bytes()
    before = parse_fleet(data, str(old), old.parent)
    said = _keys_said(data, str(old))
    pairs = _pairs(before, new.fleet)
    hosts = _hosts(before, pairs)
    # The person's name of a host stays.
    renamed = {host.name: known.name for host, known in pairs if known is not None}
    warnings = list(new.fleet.warnings)
    gathered = {renamed.get(host.name, host.name) for host in new.fleet.hosts}
    by_uuid = {vm.uuid: vm for vm in before.vms if vm.uuid is not None}
    merged: dict[str, Vm] = {}
    for vm in new.fleet.vms:
        if vm.current is not None:
            vm = replace(vm, current=replace(vm.current, host=renamed.get(vm.current.host, vm.current.host)))
        known = by_uuid.get(vm.uuid) if vm.uuid is not None else None
        if known is None and (same := before.vm_by_name.get(vm.name)) is not None and None in (same.uuid, vm.uuid):
            known = same
        if known is not None:
            merged[known.name] = _vm(known, vm, said.get(known.name, frozenset()))
        else:
            taken = vm.name in before.vm_by_name
            merged[f"{vm.current.host}/{vm.name}" if taken and vm.current is not None else vm.name] = vm
    vms: list[Vm] = []
    for vm in before.vms:
        if vm.name in merged:
            vms.append(merged.pop(vm.name))
        elif vm.current is not None and vm.current.host in gathered and (vm.domain or vm.uuid) is not None:
            warnings.append(f"VM {vm.name} is no longer on host {vm.current.host}: left out")
        else:
            vms.append(vm)
    vms.extend(replace(vm, name=name) for name, vm in merged.items())
    kept = {vm.name for vm in vms}
    left = [(rule, _of_kept(rule, kept)) for rule in before.rules]
    warnings.extend(f"the rule {rule.label} is left out with its VM" for rule, now in left if now is None)
    rules = tuple(now for _, now in left if now is not None)
    there = {_without_line(rule) for rule in rules}
    added = (rule for rule in new.fleet.rules if _without_line(rule) not in there)
    fleet = replace(new.fleet, hosts=tuple(hosts), vms=tuple(vms), rules=(*rules, *added), warnings=tuple(warnings))
    whole = replace(new, fleet=fleet)
    lines = [rule.line for rule in rules] + [None] * (len(fleet.rules) - len(rules))
    text, lost = carry_comments(decode(data, str(old)), whole.text(), lines)
    return replace(whole, fleet=replace(fleet, warnings=(*warnings, *lost)), written=text)


def _of_kept(rule: Rule, kept: set[str]) -> Rule | None:
    """Return a rule without the VMs that are gone, where it lists VMs by name; None where none is left."""
    if rule.members is None or list(rule.members) != ["name"]:
        return rule
    names = values_of(rule.members, "name") & kept
    if isinstance(rule.members["name"], str) or not names:
        return rule if names else None
    return replace(rule, members={"name": names})


def _without_line(rule: Rule) -> str:
    """Return what a rule says, wherever it stands and whatever it is called."""
    return rule_text(replace(rule, name=None))


def _keys_said(data: bytes, source: str) -> Mapping[str, frozenset[str]]:
    """Return the keys in the entry of each VM, by the entry's name: what a person wrote stands above any XML."""
    tree = load_lines(decode(data, source), FaultLog(source))
    said = {}
    for entry in tree.get("vms") or ():
        if isinstance(entry, LineMap) and entry.get("domain") is not None and isinstance(entry.get("name"), str):
            said[entry["name"]] = frozenset(entry)
    return said


def _pairs(before: Fleet, after: Fleet) -> list[tuple[Host, Host | None]]:
    """Return each new host with the old one that it is: the same UUID, else the same name if not both have a UUID."""
    by_uuid = {host.uuid: host for host in before.hosts if host.uuid is not None}
    pairs = []
    for host in after.hosts:
        known = by_uuid.get(host.uuid) if host.uuid is not None else None
        same = before.host_by_name.get(host.name)
        if known is None and same is not None and None in (same.uuid, host.uuid):
            known = same
        pairs.append((host, known))
    return pairs


def _hosts(before: Fleet, pairs: Sequence[tuple[Host, Host | None]]) -> list[Host]:
    """Return the old hosts, as gathered anew where they were, and the new ones behind them."""
    found: dict[str, Host] = {}
    added = []
    for host, known in pairs:
        if known is None:
            added.append(host)
            continue
        kept = {name: getattr(known, name) for name in _PERSONS_OF_HOST}
        found[known.name] = replace(
            host,
            name=known.name,
            topology=_topology(known.topology, host.topology),
            settings=host.settings if host.settings != HostSettings() else known.settings,
            cpu_ratio=known.cpu_ratio if known.cpu_ratio != 1 else host.cpu_ratio,
            memory_ratio=known.memory_ratio if known.memory_ratio != 1 else host.memory_ratio,
            failed=known.failed or host.failed,
            labels={**known.labels, **host.labels},
            resources={**known.resources, **host.resources},
            uri=known.uri or host.uri,
            migration_domain=known.migration_domain or host.migration_domain,
            **kept,
        )
    return [*(found.get(host.name, host) for host in before.hosts), *added]


def _topology(known: Topology, new: Topology) -> Topology:
    """Return the new topology with the devices and the node resources that only the person's has, and what the
    person's tells of its devices where the tool tells nothing.
    """
    told = {(device.address, device.kind): device for device in known.devices}
    new = replace(new, devices=tuple(_device(told.get((one.address, one.kind)), one) for one in new.devices))
    here = {(device.address, device.kind) for device in new.devices}
    added = [
        device
        for device in known.devices
        if (device.address, device.kind) not in here and device.node in (None, *new.node_ids)
    ]
    resources = {node.id: node.resources for node in known.nodes if node.resources}
    if not added and not resources:
        return new
    nodes = tuple(replace(node, resources=resources.get(node.id, node.resources)) for node in new.nodes)
    return replace(new, nodes=nodes, devices=tuple(sorted((*new.devices, *added), key=lambda device: device.address)))


def _device(known: Device | None, new: Device) -> Device:
    """Return the new device with the group and the functions of the known one, where it has none of its own."""
    if known is None:
        return new
    functions, count = new.functions, new.count
    if not functions and known.functions:
        functions, count = known.functions, known.count
    return replace(new, functions=functions, count=count, group=new.group or known.group)


def _vm(known: Vm, new: Vm, said: frozenset[str]) -> Vm:
    """Return the new VM with what a person said of it."""
    kept = {name: getattr(known.spec, name) for name in _PERSONS_OF_SPEC}
    kept["labels"] = {**known.spec.labels, **new.spec.labels}
    kept["devices"] = new.spec.devices or known.spec.devices
    for field in fields(VmSpec):
        if _KEY_OF_FIELD.get(field.name, field.name) in said:
            kept[field.name] = getattr(known.spec, field.name)
    if said & {"vcpus", "memory", "cells"}:
        kept.update({name: getattr(known.spec, name) for name in ("vcpus", "memory_kib", "cell_mode", "cells")})
    if "cpu_policy" in said:
        kept["dedicated_vcpus"] = known.spec.dedicated_vcpus
    by = known if "movable" in said else new
    current = new.current
    before = known.current
    if "device_addresses" in said and current is not None and before is not None and current.host == before.host:
        current = replace(current, devices=before.devices)
    return replace(
        new,
        name=known.name,
        current=current,
        spec=replace(new.spec, **kept),
        pins_fixed=known.pins_fixed and bool(new.current and new.current.pins),
        usage=known.usage or new.usage,
        movable=by.movable,
        movable_why=by.movable_why,
    )
