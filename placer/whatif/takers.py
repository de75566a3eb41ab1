"""Parts of a large fleet that are planned by themselves when hosts are emptied: these, and those with most room."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind, matches
from placer.model.vm import Vm

WHOLE_HOSTS = 32
"""Fleets of up to so many hosts are planned whole."""
ROOM = 2
"""The first hosts that are offered have so many times the room that is needed; then `WIDER` times as many are."""
WIDER = 4
_FEWEST = 4
_OF_EACH_VM = (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)


def parts(fleet: Fleet, emptied: Collection[str], spared: Collection[str]) -> Iterator[Fleet]:
    """Yield parts of the fleet with these hosts and others that may take their VMs, ever wider.

    The last is the whole fleet, but not where others are to be spared: then those are in no part, and nothing is
    yielded where the rest has no room. What the rest of a fleet is like does not matter to a part only where every VM
    is on a host that works and no rule ties VMs to each other; else the only part is the whole.
    """
    if len(fleet.hosts) <= WHOLE_HOSTS or not _separable(fleet):
        yield fleet
        return
    takers, many = _takers(fleet, emptied, spared)
    if spared and not many:
        return
    names = [*emptied]
    while many and many < len(takers):
        yield _part(fleet, {*names, *takers[:many]})
        many *= WIDER
    yield _part(fleet, {*names, *takers}) if spared else fleet


def concerns(rule: Rule, hosts: Sequence[Host], vms: Sequence[Vm]) -> bool:
    """Tell whether a rule says something of any of these hosts, and of any of these VMs."""
    if rule.hosts is not None and not any(matches(rule.hosts, host.name, host.labels) for host in hosts):
        return False
    return rule.members is None or any(matches(rule.members, vm.name, vm.spec.labels) for vm in vms)


def _separable(fleet: Fleet) -> bool:
    return all(rule.kind in _OF_EACH_VM for rule in fleet.rules) and all(is_present(fleet, vm) for vm in fleet.vms)


def _takers(fleet: Fleet, emptied: Collection[str], spared: Collection[str]) -> tuple[list[str], int]:
    """Return the hosts that may take the VMs, those with the most room first, and how many have room enough."""
    cpus = {host.name: len(host.usable_cpus) * host.cpu_ratio for host in fleet.hosts}
    memory = {
        host.name: host.memory_ratio * sum(node.memory_kib for node in host.topology.nodes) for host in fleet.hosts
    }
    out, off = set(emptied), set(spared)
    need_cpus = need_kib = 0
    for vm in fleet.vms:
        assert vm.current is not None
        cpus[vm.current.host] -= vm.spec.vcpus
        memory[vm.current.host] -= vm.spec.memory_kib
        if vm.current.host in out:
            need_cpus, need_kib = need_cpus + vm.spec.vcpus, need_kib + vm.spec.memory_kib
    room = {
        host.name: min(cpus[host.name] / max(1, need_cpus), memory[host.name] / max(1, need_kib))
        for host in fleet.hosts
        if not (host.failed or host.name in out or host.name in off)
    }
    takers = sorted((name for name, share in room.items() if share > 0), key=lambda name: (-room[name], name))
    held = 0.0
    for many, name in enumerate(takers, start=1):
        held += room[name]
        if held >= ROOM and many >= _FEWEST:
            return takers, many
    return takers, len(takers) if held >= 1 else 0


def _part(fleet: Fleet, names: Collection[str]) -> Fleet:
    hosts = tuple(host for host in fleet.hosts if host.name in names)
    vms = tuple(vm for vm in fleet.vms if vm.current is not None and vm.current.host in names)
    rules = tuple(rule for rule in fleet.rules if concerns(rule, hosts, vms))
    return dataclasses.replace(fleet, hosts=hosts, vms=vms, rules=rules, digest="")
