"""Check what a plan claims of failures and of free slots: that the CPUs and memory left could hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from placer.check.findings import Findings
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind

TOLERANCE = 0.5
"""Ratios are floating point, CPUs and KiB are whole."""


def check_reserve(fleet: Fleet, plan: Plan, found: Findings) -> None:
    """Note every reserve that a plan calls kept though what fails needs more than all others have free together.

    Slots that are said to be free need the CPUs and the memory of their hosts beside the VMs and each other.

    This is necessary for survival and does not suffice: nodes, cells and rules are not looked at. It needs no plan of a
    failure, so it shares nothing with the sweeps that made the claim.
    """
    said = plan.summary.get("reserve")
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    if not isinstance(said, (list, tuple)) or not rules:
        return
    if len(said) != len(rules):
        found.fault(
            f"the plan reports on {len(said)} reserve rules, and there are {len(rules)}", where="summary.reserve"
        )
        return
    room = _Free(fleet, plan)
    for rule, claim in zip(rules, said, strict=True):
        if not isinstance(claim, Mapping):
            found.fault(f"rule {rule.label!r} has no figures", where="summary.reserve")
        elif rule.holds:
            for message in room.slots(rule, claim):
                found.fault(f"rule {rule.label!r}: {message}", where="summary.reserve")
        elif claim.get("proven") is True:
            for what, short in _short(fleet, plan, rule):
                message = f"rule {rule.label!r} is said to be kept, and a failure of {rule.scope} leaves {short}"
                found.fault(f"{message} {what} too few", where="summary.reserve")


def _short(fleet: Fleet, plan: Plan, rule: Rule) -> list[tuple[str, str]]:
    """Return what the hosts left lack in sum after the worst failure: the resource and how much."""
    domain: dict[str, str] = {}
    for host in fleet.hosts:
        value = host.name if rule.scope == "host" else host.labels.get(rule.scope)
        if value is not None and not host.failed:
            domain[host.name] = value
    out = []
    for what in ("CPUs", "KiB of memory"):
        load: dict[str, float] = defaultdict(float)
        takes: dict[str, float] = defaultdict(float)
        for vm in plan.vms:
            spec = fleet.vm_by_name[vm.name].spec
            need = spec.vcpus if what == "CPUs" else spec.memory_kib
            load[vm.host] += need
            if vm.host in domain and rule.covers(vm.name, spec.labels):
                takes[domain[vm.host]] += need
        everywhere = 0.0
        for host in fleet.hosts:
            if host.failed:
                continue
            # A host that is over its room now may stay so; it takes nothing from the others.
            free = max(0.0, (_cpus(host) if what == "CPUs" else _memory_kib(host)) - load[host.name])
            everywhere += free
            if host.name in domain:
                takes[domain[host.name]] += free
        # Those that fail lose what they hold, and what they had free is gone too.
        lacking = sum(sorted(takes.values(), reverse=True)[: rule.fail]) - everywhere
        if lacking > TOLERANCE:
            out.append((what, f"{lacking:.0f}"))
    return out


class _Free:
    """What hosts have free beside the VMs of a plan, in sum, and beside the slots that rules have told so far."""

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        self.fleet = fleet
        working = [host for host in fleet.hosts if not host.failed]
        self.cpus = {host.name: _cpus(host) for host in working}
        self.memory = {host.name: _memory_kib(host) for host in working}
        self.specs = {vm.name: fleet.vm_by_name[vm.name].spec for vm in plan.vms if vm.name in fleet.vm_by_name}
        for vm in plan.vms:
            if vm.name in self.specs and vm.host in self.cpus:
                self.cpus[vm.host] -= self.specs[vm.name].vcpus
                self.memory[vm.host] -= self.specs[vm.name].memory_kib

    def slots(self, rule: Rule, claim: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the slots that a rule is said to have free."""
        hosts = claim.get("hosts")
        if not isinstance(hosts, Mapping) or not all(
            host in self.cpus and isinstance(many, int) and many > 0 for host, many in hosts.items()
        ):
            return ["its slots are not on hosts that work"]
        wanted, (vcpus, memory_kib) = self._wanted(rule)
        free = sum(hosts.values())
        out = []
        if (claim.get("slots"), claim.get("free"), claim.get("proven")) != (wanted, free, free == wanted):
            out.append(f"{wanted} slots are wanted and {free} are on hosts, and the plan says otherwise")
        for host, many in hosts.items():
            self.cpus[host] -= many * vcpus
            self.memory[host] -= many * memory_kib
            if min(self.cpus[host], self.memory[host]) < -TOLERANCE:
                out.append(f"host {host!r} has no room for {many} of its slots")
        return out

    def _wanted(self, rule: Rule) -> tuple[int, tuple[int, int]]:
        """Return how many slots a rule asks for, and the vCPUs and KiB that each of them takes at least."""
        if rule.flavor is None:
            own = [spec for name, spec in self.specs.items() if rule.covers(name, spec.labels)]
            least = (min(spec.vcpus for spec in own), min(spec.memory_kib for spec in own)) if own else (0, 0)
            return len(own), least
        flavor = parse_flavor(rule.flavor)
        domains = {
            host.name if rule.scope == "host" else host.labels.get(rule.scope)
            for host in self.fleet.hosts
            if not host.failed
        }
        many = len(domains - {None}) if rule.scope else 1
        return many * rule.slots, (flavor.vcpus, flavor.memory_kib)


def _cpus(host: Host) -> float:
    """Return the vCPUs that a host can take at most, whatever their kind."""
    return len(host.usable_cpus) * max(1.0, host.cpu_ratio)


def _memory_kib(host: Host) -> float:
    """Return the memory that VMs can have on a host at most (KiB)."""
    return max(1.0, host.memory_ratio) * sum(node.memory_kib for node in host.topology.nodes)
