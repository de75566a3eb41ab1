"""Check a fleet alone: what contradicts itself, what no plan can satisfy, and what a planner should know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from placer.check.findings import Findings, some
from placer.check.fits import impossible_vms
from placer.measure.memory_use import memory_now
from placer.measure.rule_excess import OWN_SCOPES, TYING, RuleIndex
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.memory_room import memory_room
from placer.model.rules import Rule, RuleKind
from placer.model.units import format_kib
from placer.model.vm import CellMode, CpuPolicy, Vm

_NOTED_ONE_BY_ONE = 3
_LINE = re.compile(r"^line \d+: ")


def check_fleet(fleet: Fleet, index: RuleIndex, found: Findings) -> None:
    """Note faults of a fleet, and as warnings what the reader found, and hosts and VMs that need a person's eye.

    `index` is the fleet's `rule_index`.
    """
    for warning in fleet.warnings:
        found.warn(warning)
    for what, names in (("host", [host.name for host in fleet.hosts]), ("VM", [vm.name for vm in fleet.vms])):
        for name, count in Counter(names).items():
            if count > 1:
                found.fault(f"{count} {what}s are named {name!r}", where=f"{what.lower()}s")
    uuids = Counter(vm.uuid for vm in fleet.vms if vm.uuid is not None)
    for uuid, count in uuids.items():
        if count > 1:
            names = [vm.name for vm in fleet.vms if vm.uuid == uuid]
            found.fault(f"{some(names)} have one UUID, {uuid}: they are one VM", where="vms")
    for host in fleet.hosts:
        _check_host(host, found)
    for vm in fleet.vms:
        _check_vm(fleet, vm, found)
    for number, rule in enumerate(fleet.rules):
        _check_rule(fleet, rule, number, index, found)
    _warn_of_hosts(fleet.hosts, found)
    _warn_of_memory(fleet, found)
    _warn_of_notes(fleet, found)
    if not found.faults:
        for name, reason in impossible_vms(fleet, index).items():
            found.warn(f"VM {name!r} fits on no host: {reason}")


def _warn_of_notes(fleet: Fleet, found: Findings) -> None:
    """Pass on what the readers noted; a note that many VMs have, wherever in their XML, is one line."""
    noted: dict[str, dict[str, str]] = {}
    for vm in fleet.vms:
        for note in vm.notes:
            noted.setdefault(_LINE.sub("", note), {}).setdefault(vm.name, note)
    for text, notes in noted.items():
        if len(notes) > _NOTED_ONE_BY_ONE:
            found.warn(f"VMs {some(list(notes))}: {text}")
        else:
            for name, note in notes.items():
                found.warn(f"VM {name!r}: {note}")


def fleet_totals(fleet: Fleet) -> dict[str, int]:
    """Return hosts, VMs, vCPUs, usable CPUs and memory (KiB) of a fleet; failed hosts hold nothing and do not count."""
    working = [host for host in fleet.hosts if not host.failed]
    rooms: dict[tuple[int, int], int] = {}
    cpus: dict[tuple[int, int], int] = {}
    for host in working:
        key = (id(host.topology), id(host.reserve))
        if key not in rooms:
            rooms[key] = sum(memory_room(host).values())
            cpus[key] = len(host.usable_cpus)
    keys = [(id(host.topology), id(host.reserve)) for host in working]
    return {
        "hosts": len(fleet.hosts),
        "vms": len(fleet.vms),
        "vcpus": sum(vm.spec.vcpus for vm in fleet.vms),
        "usable_cpus": sum(cpus[key] for key in keys),
        "vm_memory_kib": sum(vm.spec.memory_kib for vm in fleet.vms),
        "host_memory_kib": sum(rooms[key] for key in keys),
    }


def _check_host(host: Host, found: Findings) -> None:
    where = f"hosts.{host.name}"
    sets = (
        ("reserve.cpus", host.reserve.cpus),
        ("dedicated_cpus", host.dedicated_cpus or frozenset()),
        ("shared_cpus", host.shared_cpus or frozenset()),
        ("isolated_cpus", host.isolated_cpus),
    )
    topology = host.topology
    for key, cpus in sets:
        lacking = cpus - topology.cpus - topology.offline
        if lacking:
            found.fault(f"host {host.name!r} has no CPUs {format_cpuset(lacking)}", where=f"{where}.{key}")
    both = (host.dedicated_cpus or frozenset()) & (host.shared_cpus or frozenset())
    if both:
        message = f"host {host.name!r}: CPUs {format_cpuset(both)} are both dedicated and shared"
        found.fault(message, where=f"{where}.shared_cpus")
    for key, ratio in (("cpu", host.cpu_ratio), ("memory", host.memory_ratio)):
        if not ratio > 0:
            message = f"host {host.name!r}: the overcommit ratio of {key} is {ratio}, not above 0"
            found.fault(message, where=f"{where}.overcommit")
    nodes = {node.id: node for node in topology.nodes}
    for number, kib in host.reserve.memory_kib.items():
        node = nodes.get(number) if number is not None else None
        if node is None:
            if number is not None:
                found.fault(f"host {host.name!r} has no node {number} to reserve memory of", where=f"{where}.reserve")
            continue
        if kib + node.pool_kib > node.memory_kib:
            taken = f"a reserve of {format_kib(kib)} and pools of {format_kib(node.pool_kib)}"
            message = f"host {host.name!r}, node {number}: {taken} exceed its memory of {format_kib(node.memory_kib)}"
            found.fault(message, where=f"{where}.reserve")


def _check_vm(fleet: Fleet, vm: Vm, found: Findings) -> None:
    where, spec, now = f"vms.{vm.name}", vm.spec, vm.current
    if spec.cpu_policy is CpuPolicy.MIXED and not spec.dedicated_vcpus <= set(range(spec.vcpus)):
        outside = format_cpuset(spec.dedicated_vcpus - set(range(spec.vcpus)))
        found.fault(f"VM {vm.name!r} has no vCPUs {outside} to dedicate CPUs to", where=f"{where}.dedicated_vcpus")
    if now is None:
        if vm.pins_fixed:
            found.fault(f"VM {vm.name!r} has fixed pins and is nowhere", where=f"{where}.pins")
        return
    host = fleet.host_by_name.get(now.host)
    if host is None:
        found.warn(f"VM {vm.name!r} is on host {now.host!r}, which the fleet has not: planned as if it were nowhere")
        return
    ids = set(host.topology.node_ids)
    for key, nodes in (("nodes", now.nodes), ("memory_nodes", now.memory_nodes)):
        lacking = sorted(set(nodes or ()) - ids)
        if lacking:
            message = f"VM {vm.name!r} is on node {lacking[0]} of host {now.host!r}, which has not that node"
            found.fault(message, where=f"{where}.{key}")
    parts = {CellMode.GIVEN: len(spec.cells), CellMode.NONE: spec.interleave}.get(spec.cell_mode)
    if now.nodes is not None and parts is not None and len(now.nodes) != parts:
        found.warn(
            f"VM {vm.name!r} has {parts} cells or parts, and {len(now.nodes)} nodes are named: taken as not known"
        )
    pinned: set[int] = set().union(*now.pins.values())
    unknown = pinned - host.topology.cpus - host.topology.offline
    if unknown:
        message = f"VM {vm.name!r} is pinned to CPUs {format_cpuset(unknown)}, which host {now.host!r} has not"
        found.fault(message, where=f"{where}.pins")


def _check_rule(fleet: Fleet, rule: Rule, number: int, index: RuleIndex, found: Findings) -> None:
    where = f"rules[{number}]"
    confines = rule.kind in (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)
    if (rule.kind in TYING or confines) and not index.vms[number]:
        found.fault(f"rule {rule.label!r} names no VM of the fleet", where=where)
    if rule.kind is RuleKind.APART:
        if not index.others[number]:
            found.fault(f"rule {rule.label!r} names no VM in its second group", where=where)
        if both := sorted({*index.vms[number]}.intersection(index.others[number])):
            names = [fleet.vms[vm].name for vm in both]
            found.fault(f"rule {rule.label!r} keeps VMs apart from themselves: {some(names)}", where=where)
    if (rule.kind is RuleKind.DRAIN or confines) and not index.hosts[number]:
        found.fault(f"rule {rule.label!r} names no host of the fleet", where=where)
    if rule.unless and (rule.kind is not RuleKind.ANTI_AFFINITY or rule.scope in OWN_SCOPES):
        found.fault(f"rule {rule.label!r}: unless goes with an anti-affinity over a label of hosts", where=where)
    if rule.max_per < (0 if rule.kind is RuleKind.APART else 1):
        found.fault(f"rule {rule.label!r}: max_per is {rule.max_per}, not 1 or more", where=where)
    if rule.kind in TYING and rule.scope not in OWN_SCOPES:
        without = [host.name for host in fleet.hosts if rule.scope not in host.labels]
        if len(without) == len(fleet.hosts):
            found.fault(f"rule {rule.label!r}: no host has a label {rule.scope!r}", where=f"{where}.scope")
        elif without:
            found.warn(f"rule {rule.label!r} does not hold on hosts without a label {rule.scope!r}: {some(without)}")
    if rule.kind is RuleKind.RESERVE:
        found.warn(
            f"rule {rule.label!r} is not checked here but in sums: whether all fits after a failure takes a solve"
        )


def _warn_of_hosts(hosts: Iterable[Host], found: Findings) -> None:
    bare, odd, assumed = [], [], []
    for host in hosts:
        reserve = host.reserve
        if not reserve.cpus and not any(reserve.memory_kib.values()):
            bare.append(host.name)
        if any(node.kind is NodeKind.NORMAL and node.cpus and not node.memory_kib for node in host.topology.nodes):
            odd.append(host.name)
        if host.topology.assumptions:
            assumed.append(host.name)
    sentences = (
        (
            bare,
            "host reserves neither CPUs nor memory for itself",
            "hosts reserve neither CPUs nor memory for themselves",
        ),
        (odd, "host has a node with CPUs and no memory", "hosts have nodes with CPUs and no memory"),
        (
            assumed,
            "host file does not tell all, the rest is assumed (see placer show)",
            "host files do not tell all, the rest is assumed (see placer show)",
        ),
    )
    for names, one, many in sentences:
        if names:
            found.warn(f"{len(names)} {one if len(names) == 1 else many}: {some(names)}")


def _warn_of_memory(fleet: Fleet, found: Findings) -> None:
    """Warn of nodes whose VMs take more memory now than there is."""
    residents: dict[str, list[Vm]] = {}
    for vm in fleet.vms:
        if vm.current is not None:
            residents.setdefault(vm.current.host, []).append(vm)
    for host in fleet.hosts:
        if host.failed or host.name not in residents:
            continue
        room = memory_room(host)
        for (node, size), kib in sorted(memory_now(host.topology, residents[host.name]).items(), key=str):
            has = room.get((node, size), 0)
            if kib > has:
                what = "memory" if size is None else f"the pool of {format_kib(size)} pages"
                message = (
                    f"host {host.name!r}, node {node}: {what} has {format_kib(has)}, and VMs take {format_kib(kib)}"
                )
                found.warn(f"{message} now")
