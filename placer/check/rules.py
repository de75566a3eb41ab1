"""Check rules: no pair of a rule and a domain is broken worse than at the start."""

from __future__ import annotations

from collections.abc import Hashable

from placer.check.findings import Findings, some
from placer.measure.rule_excess import CONFINING, Pair, RuleIndex, misplaced, start_excess
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.units import count

_SHARES = {"vcpus": "vCPUs", "memory": "MiB", "hosts": "hosts"}


def check_rules(fleet: Fleet, plan: Plan, index: RuleIndex, excess: dict[Pair, int], found: Findings) -> None:
    """Note every pair that a plan breaks worse than it is now, and every VM newly put where a rule forbids.

    `excess` is what the plan breaks by. What stays broken as it was warns; rules that reserve room for failures are not
    a matter of placement and are not looked at here; soft rules may be broken.
    """
    start = start_excess(fleet, index) if excess else {}
    planned = plan.vm_by_name

    def host(number: int) -> Host | None:
        vm = planned.get(fleet.vms[number].name)
        return None if vm is None else fleet.host_by_name[vm.host]

    for (number, domain), over in sorted(excess.items(), key=lambda item: (item[0][0], str(item[0][1]))):
        rule = fleet.rules[number]
        if rule.is_soft:
            continue
        if rule.kind in CONFINING:
            wrong = [fleet.vms[vm] for vm in misplaced(rule, number, index, host)]
            here = [vm for vm in wrong if planned[vm.name].host == domain]
            new = [vm.name for vm in here if vm.current is None or vm.current.host != domain]
            if new:
                where = _may_not(rule, domain)
                text = f"rule {rule.label!r}: {where}, and the plan puts {some(new)} there"
                found.fault(text, where="vms.host", host=str(domain))
            else:
                stay = "1 VM stays" if over == 1 else f"{over:,} VMs stay"
                may = "it may" if over == 1 else "they may"
                found.warn(f"rule {rule.label!r}: {stay} on host {domain!r}, where {may} not be")
            continue
        before = start.get((number, domain), 0)
        message = f"rule {rule.label!r}: {_broken(rule, domain, over)}"
        if over > before:
            found.fault(f"{message}; at the start it is {before} too many", where="vms.host")
        else:
            found.warn(f"{message}, as at the start or better")


def _may_not(rule: Rule, host: Hashable) -> str:
    if rule.kind is RuleKind.DRAIN:
        return f"host {host!r} is to be drained"
    if rule.kind is RuleKind.DEDICATED:
        return f"host {host!r} is for its VMs alone, and they are for its hosts alone"
    return f"its VMs may not be on host {host!r}"


def _broken(rule: Rule, domain: Hashable, over: int) -> str:
    if rule.kind is RuleKind.AFFINITY:
        return f"its VMs are in {over + 1} domains of scope {rule.scope}, {over} too many"
    if rule.kind is RuleKind.SPREAD:
        return f"its VMs use {count(over, 'domain')} of scope {rule.scope} too few"
    if rule.kind is RuleKind.EVEN:
        return f"the domain of scope {rule.scope} with most of its VMs is {count(over, 'VM')} too far above the fewest"
    if rule.kind is RuleKind.SHARE:
        amount = f"{rule.most + over} {_SHARES[rule.of or 'vcpus']}"
        return f"its VMs have {amount} in {rule.scope} {domain!r}, {over} too many"
    if rule.kind in (RuleKind.APART, RuleKind.ALONE):
        return f"beside its VMs {rule.scope} {domain!r} holds {count(over, 'other')} too many"
    return f"{rule.max_per + over} of its VMs are in {rule.scope} {domain!r}, {over} too many"
