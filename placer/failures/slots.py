"""Slots that stay free (``rules: hold`` and ``failover_for``): stand-ins that take their room while a plan is made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.failures.counts import is_proven, placed_counts
from placer.failures.sweep import domains_of
from placer.model.fleet import Fleet
from placer.model.goals import as_most, parse_flavor
from placer.model.rules import Rule, RuleKind, matches, only, own_name
from placer.model.vm import Vm, VmSpec
from placer.options import SweepOptions
from placer.planning.decode.names import assign_names
from placer.planning.wanted import wanted_flavor

STAND_IN = "placer.stand-in"
"""Label of the VMs that only keep room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsFree:
    """How many slots of a rule are free at once beside those of all others.

    `hosts` are where they are, `names` their stand-ins; `short_vcpus` what the slots that are not free have together;
    `proven` : no other choice of places leaves fewer slots of all rules together without room.
    """

    wanted: int
    free: int
    hosts: Mapping[str, int]
    names: frozenset[str]
    short_vcpus: int
    proven: bool


def below_all(fleet: Fleet) -> int:
    """Return a priority below that of every VM."""
    return min((vm.spec.priority for vm in fleet.vms), default=0) - 1


def stand_in(spec: VmSpec, label: str, name: str, priority: int, kept: Mapping[str, str] | None = None) -> Vm:
    """Return a VM that needs as much as one of this spec and counts for nothing; `kept` are labels that it has too."""
    own = dataclasses.replace(spec, labels={**(kept or {}), STAND_IN: label}, weight=0.0, priority=priority)
    return Vm(name=f"{STAND_IN} {label} {name}", spec=own)


def dedicated_labels(fleet: Fleet, vm: Vm) -> dict[str, str]:
    """Return the labels by which hosts are dedicated to a VM: who stands in for it may be there for them alone."""
    labels = vm.spec.labels
    return {
        key: labels[key]
        for rule in fleet.rules
        if rule.kind is RuleKind.DEDICATED and "name" not in (rule.members or {})
        if matches(rule.members, vm.name, labels)
        for key in rule.members or ()
    }


def confined_alike(fleet: Fleet, of: Mapping[str, Vm]) -> tuple[Rule, ...]:
    """Return the rules that keep stand-ins, by their names, to hosts on which the VMs may be that they stand for."""
    out = []
    for rule in fleet.rules:
        if rule.kind in (RuleKind.WITHIN, RuleKind.OUTSIDE) and not rule.is_soft:
            names = frozenset(name for name, vm in of.items() if matches(rule.members, vm.name, vm.spec.labels))
            if names:
                out.append(dataclasses.replace(rule, members={"name": names}))
    return tuple(out)


def stand_ins(fleet: Fleet, rules: Sequence[Rule]) -> dict[int, tuple[tuple[Vm, ...], tuple[Rule, ...]]]:
    """Return, for each of these rules that holds slots, its stand-ins and what confines them."""
    return {
        number: _for_flavor(fleet, rule, number) if rule.flavor is not None else _for_vms(fleet, rule, number)
        for number, rule in enumerate(rules)
        if rule.holds
    }


def _for_flavor(fleet: Fleet, rule: Rule, number: int) -> tuple[tuple[Vm, ...], tuple[Rule, ...]]:
    wanted = wanted_flavor(as_most(fleet, parse_flavor(rule.flavor or "")))
    vms: list[Vm] = []
    rules: list[Rule] = []
    domains = domains_of(fleet, rule.scope) if rule.scope else {"": ()}
    lowest = below_all(fleet)
    for domain in domains:
        label = f"hold {number} {domain}"
        slots = (stand_in(wanted.spec, label, str(slot), lowest) for slot in range(1, rule.slots + 1))
        vms += [dataclasses.replace(slot, pin=wanted.pin) for slot in slots]
        if rule.scope:
            host = fleet.host_by_name[domain] if rule.scope == "host" else None
            hosts = {rule.scope: domain} if host is None else only(host.name, host.labels)
            rules.append(Rule(kind=RuleKind.WITHIN, members={STAND_IN: label}, hosts=hosts))
    return tuple(vms), tuple(rules)


def _for_vms(fleet: Fleet, rule: Rule, number: int) -> tuple[tuple[Vm, ...], tuple[Rule, ...]]:
    """Return a slot for each VM, kept apart from it, wherever it comes, on a host where it may be."""
    vms: list[Vm] = []
    rules: list[Rule] = []
    lowest = below_all(fleet)
    of: dict[str, Vm] = {}
    for vm in fleet.vms:
        if rule.covers(vm.name, vm.spec.labels):
            label = f"failover {number} {vm.name}"
            vms.append(stand_in(vm.spec, label, "", lowest, dedicated_labels(fleet, vm)))
            of[vms[-1].name] = vm
            own = own_name(vm.name, vm.spec.labels)
            apart = Rule(
                kind=RuleKind.APART, members={"name": own}, others={STAND_IN: label}, scope=rule.scope, max_per=0
            )
            rules.append(apart)
    return tuple(vms), (*rules, *confined_alike(fleet, of))


def slots_free(fleet: Fleet, rules: Sequence[Rule], options: SweepOptions) -> dict[int, SlotsFree]:
    """Return, for each of these rules that holds slots, how many are free at once in a fleet where nothing moves.

    `fleet` holds the VMs where they are, and none of the rules that keep room.
    """
    held = stand_ins(fleet, rules)
    if not held:
        return {}
    vms = [vm for own, _ in held.values() for vm in own]
    confined = [rule for _, own in held.values() for rule in own]
    asked = dataclasses.replace(fleet, vms=(*fleet.vms, *vms), rules=(*fleet.rules, *confined), digest="")
    still = dataclasses.replace(options, max_moves=None, max_migrations=None)
    compiled, result, sure = placed_counts(asked, still, by_vms=True)
    at: dict[str, str] = {}
    if result.is_answer:
        for entry in assign_names(compiled, result).hosts:
            at.update((asked.vms[number].name, asked.hosts[entry.host].name) for _, number in entry.vms)
    proven = result.is_answer and is_proven(result, sure)
    return {number: _free(own, at, proven) for number, (own, _) in held.items()}


def _free(vms: Sequence[Vm], at: Mapping[str, str], proven: bool) -> SlotsFree:
    hosts = Counter(at[vm.name] for vm in vms if vm.name in at)
    short = sum(vm.spec.vcpus for vm in vms if vm.name not in at)
    return SlotsFree(
        wanted=len(vms),
        free=hosts.total(),
        hosts=dict(sorted(hosts.items())),
        names=frozenset(vm.name for vm in vms if vm.name in at),
        short_vcpus=short,
        proven=proven,
    )
