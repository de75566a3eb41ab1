"""The rules of an inventory that a platform has words for: who is apart, together, or only on some hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from placer.measure.rule_excess import rule_index
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Vm

_OVER_HOSTS = (RuleKind.ANTI_AFFINITY, RuleKind.AFFINITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule:
    """A hard rule over hosts, with a name made of its place in the inventory, its VMs, and the hosts it confines to."""

    name: str
    rule: Rule
    vms: tuple[Vm, ...]
    hosts: tuple[str, ...]


def host_rules(fleet: Fleet) -> Iterator[HostRule]:
    """Yield the rules that keep VMs on hosts of their own, on one host, or within hosts."""
    index = rule_index(fleet)
    for number, rule in enumerate(fleet.rules):
        vms = tuple(fleet.vms[vm] for vm in sorted(index.vms[number]))
        tied = rule.kind in _OVER_HOSTS and rule.scope == "host" and len(vms) > 1
        if not rule.is_soft and vms and (tied or rule.kind is RuleKind.WITHIN):
            hosts = tuple(host.name for host in fleet.hosts if host.name in index.hosts[number])
            yield HostRule(name=f"placer-{number + 1}", rule=rule, vms=vms, hosts=hosts)
