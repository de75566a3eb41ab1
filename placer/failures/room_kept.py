"""Room that is kept for what failures would lose: stand-ins outside of what fails, and what confines them."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from placer.failures.slots import STAND_IN, below_all, confined_alike, dedicated_labels, stand_in
from placer.failures.sweep import FailureSweep, domains_of
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind, drain_of, matches, only, own_name
from placer.model.vm import Vm

MOST_APART = 8
"""Domains of a scope that have room of their own each; of more that lose VMs, halves share it."""
FEW_HOSTS, MOST_KINDS = 64, 8
"""On larger fleets whole domains are emptied where room for what is lost did not do, of so many kinds at most."""
Held = Mapping[int, tuple[tuple[Vm, ...], tuple[Rule, ...]]]


class RoomKept:
    """The most VMs that each domain was seen to lose: they find no place outside of it, as plans were so far."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.needed: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        """Scope -> domain -> the VMs."""

    def note(self, plan: Plan, sweeps: Sequence[FailureSweep]) -> bool:
        """Keep room for what failures lose; for all VMs of the worst of them where that is no more than before.

        What is lost depends on where the others of the failing hosts would go: room for one of them need not do. Of
        failures alike the one with names speaks for all.

        Returns
        -------
        bool
            Whether there is more to keep than before.
        """
        lost = [(sweep.scope, one["domains"], Counter(one["lost"] or ())) for sweep in sweeps for one in sweep.harmful]
        more = False
        for scope, names, needed in lost:
            for name in names:
                more |= self._more(scope, name, needed)
        if more:
            return True
        for sweep in sweeps:
            domains = domains_of(self.fleet, sweep.scope)
            for one in sweep.harmful[:1]:
                for name in one["domains"]:
                    whole = Counter(vm.name for vm in plan.vms if vm.host in domains[name])
                    more |= self._more(sweep.scope, name, whole)
        return more

    def _more(self, scope: str, domain: str, needed: Counter[str]) -> bool:
        """Keep room for so much, and tell whether that is more than before."""
        more = not needed <= self.needed[scope][domain]
        self.needed[scope][domain] |= needed
        return more

    def with_room(self, held: Held) -> Fleet:
        """Return the fleet with stand-ins for slots and for what domains would lose, these out of these domains and on
        hosts where what they stand for may be.

        Domains fail one at a time, and the room that one of many leaves unused another takes: each half of those that
        lose VMs has room for the most that any of them loses of each kind.
        """
        fleet = self.fleet
        stand_ins = [vm for vms, _ in held.values() for vm in vms]
        rules = [rule for _, own in held.values() for rule in own]
        lowest = below_all(fleet)
        for scope, of_domain in sorted(self.needed.items()):
            for domains, needed in self._groups({name: own for name, own in sorted(of_domain.items()) if own}):
                label = f"{scope}={domains[0]}"
                lost = [fleet.vm_by_name[name] for name in sorted(needed)]
                kept = [stand_in(vm.spec, label, vm.name, lowest, dedicated_labels(fleet, vm)) for vm in lost]
                stand_ins += kept
                rules += confined_alike(fleet, {one.name: vm for one, vm in zip(kept, lost, strict=True)})
                rules.append(Rule(kind=RuleKind.OUTSIDE, members={STAND_IN: label}, hosts=self._of(scope, domains)))
        return dataclasses.replace(fleet, vms=(*fleet.vms, *stand_ins), rules=(*fleet.rules, *rules))

    def _of(self, scope: str, domains: Sequence[str]) -> dict[str, Any]:
        """Return what selects the hosts of these domains."""
        if scope != "host":
            return {scope: domains[0] if len(domains) == 1 else frozenset(domains)}
        hosts = [self.fleet.host_by_name[name] for name in domains]
        if len(hosts) == 1:
            return dict(only(hosts[0].name, hosts[0].labels))
        return {"name": frozenset(own_name(host.name, host.labels) for host in hosts)}

    def _groups(self, of_domain: Mapping[str, Counter[str]]) -> list[tuple[list[str], list[str]]]:
        """Return domains with the VMs for which room is kept outside of them."""
        if len(of_domain) <= MOST_APART:
            return [([name], list(needed)) for name, needed in of_domain.items()]
        vms = self.fleet.vm_by_name
        heaviest = sorted(of_domain, key=lambda name: (-sum(vms[vm].spec.vcpus for vm in of_domain[name]), name))
        specs = SpecNumbers()
        out = []
        for half in (heaviest[::2], heaviest[1::2]):
            most: dict[Any, list[str]] = {}
            for name in half:
                of_kind: dict[Any, list[str]] = defaultdict(list)
                for vm in sorted(of_domain[name]):
                    of_kind[self._kind(vms[vm], specs)].append(vm)
                for kind, names in of_kind.items():
                    most[kind] = max(most.get(kind, []), names, key=len)
            out.append((half, [vm for names in most.values() for vm in names]))
        return out

    def _kind(self, vm: Vm, specs: SpecNumbers) -> tuple[int, tuple[int, ...]]:
        """Return what makes VMs look for the same room: their spec, and what confines them."""
        confining = (
            number
            for number, rule in enumerate(self.fleet.rules)
            if rule.kind in (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)
            and matches(rule.members, vm.name, vm.spec.labels)
        )
        return specs.of(vm.spec), tuple(confining)


def with_empty_domains(fleet: Fleet, plan: Plan, rules: Sequence[Rule]) -> Fleet | None:
    """Return the fleet with as many domains to be emptied as may fail, of each kind that holds VMs those that hold the
    fewest vCPUs: what fails has room on one that is like it. None where that is not tried: of few hosts, of domains of
    many kinds, and of slots.
    """
    failing = [rule for rule in rules if not rule.holds]
    if len(fleet.hosts) <= FEW_HOSTS or len(failing) < len(rules):
        return None
    held: Counter[str] = Counter()
    vcpus = {vm.name: vm.spec.vcpus for vm in fleet.vms}
    for vm in plan.vms:
        held[vm.host] += vcpus[vm.name]
    emptied: set[str] = set()
    for rule in failing:
        kinds: dict[Any, list[tuple[str, ...]]] = defaultdict(list)
        for hosts in domains_of(fleet, rule.scope).values():
            kinds[_shapes(fleet, hosts)].append(hosts)
        used = [own for own in kinds.values() if any(held[host] for hosts in own for host in hosts)]
        if len(used) > MOST_KINDS:
            return None
        for own in used:
            own.sort(key=lambda hosts: sum(held[host] for host in hosts))
            emptied.update(host for hosts in own[: rule.fail] for host in hosts)
    known = fleet.host_by_name
    drains = (drain_of(name, known[name].labels) for name in sorted(emptied))
    return dataclasses.replace(fleet, rules=(*fleet.rules, *drains), digest="")


def _shapes(fleet: Fleet, hosts: Sequence[str]) -> tuple[Any, ...]:
    """Return how large the nodes of a domain's hosts are."""
    known = fleet.host_by_name
    return tuple(
        sorted(
            tuple((len(node.cpus & host.usable_cpus), node.memory_kib) for node in host.topology.nodes)
            for host in (known[name] for name in hosts)
        )
    )
