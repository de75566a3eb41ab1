"""Check what a plan claims of failures: that the CPUs and memory left could hold what the worst of them takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from placer.check.findings import Findings
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind

TOLERANCE = 0.5
"""Ratios are floating point, CPUs and KiB are whole."""


def check_reserve(fleet: Fleet, plan: Plan, found: Findings) -> None:
    """Note every reserve that a plan calls kept though what fails needs more than all others have free together.

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
    for rule, claim in zip(rules, said, strict=True):
        if isinstance(claim, Mapping) and claim.get("proven") is True:
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


def _cpus(host: Host) -> float:
    """Return the vCPUs that a host can take at most, whatever their kind."""
    return len(host.usable_cpus) * max(1.0, host.cpu_ratio)


def _memory_kib(host: Host) -> float:
    """Return the memory that VMs can have on a host at most (KiB)."""
    return max(1.0, host.memory_ratio) * sum(node.memory_kib for node in host.topology.nodes)
