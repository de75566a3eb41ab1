"""Which rules close a host to a VM that would come there, all others being where a plan has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from placer.measure.rule_excess import (
    TYING,
    WHOLE,
    host_domains,
    over,
    planned_domains,
    rule_index,
    size_of,
    start_excess,
    taken_by,
)
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """The VMs that a rule ties and its second group (indices into the fleet), and what each takes of every domain."""

    members: frozenset[int]
    others: frozenset[int]
    taken: Counter[Hashable]
    taken_by_others: Counter[Hashable]


class ClosedHosts:
    """The hosts that rules which tie VMs close to a VM that would come there.

    A rule closes a host where it would then break a pair of rule and domain that is not broken now, or break it further
    than now: such pairs are limits to every plan. A host of which one node is open is open; rules over L3 domains are
    not looked at.
    """

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        """Take a plan of the fleet; what a rule ties is looked up once it is asked for."""
        self._fleet = fleet
        self._plan = plan
        self._index = rule_index(fleet)
        self._domains = planned_domains(fleet, plan)
        self._now = start_excess(fleet, self._index)
        self._number = {vm.name: number for number, vm in enumerate(fleet.vms)}
        self._ties: dict[int, _Tie] = {}
        self._rules_of: dict[int, list[int]] = {}
        for number, rule in enumerate(fleet.rules):
            if rule.kind in TYING and not rule.is_soft and rule.scope != "l3":
                for vm in {*self._index.vms[number], *self._index.others[number]}:
                    self._rules_of.setdefault(vm, []).append(number)

    def closed_by(self, name: str, host: Host) -> Rule | None:
        """Return the first rule that closes a host to the VM of this name; None where it is open."""
        vm = self._number[name]
        rules = self._fleet.rules
        return next((rules[n] for n in self._rules_of.get(vm, ()) if self._closes(n, rules[n], vm, host)), None)

    def _closes(self, number: int, rule: Rule, vm: int, host: Host) -> bool:
        if rule.scope == "node":
            coming: tuple[Hashable, ...] = tuple((host.name, node.id) for node in host.topology.nodes if node.cpus)
        else:
            coming = host_domains(rule, host)
        return bool(coming) and all(self._excess(number, rule, vm, domain, host) > 0 for domain in coming)

    def _excess(self, number: int, rule: Rule, vm: int, domain: Hashable, host: Host) -> int:
        """Return by how much a pair would be broken more than now if the VM came to the domain; 0 where it is in it."""
        left = set(self._domains(rule, vm))
        counts_hosts = rule.kind is RuleKind.SHARE and rule.of == "hosts"
        if domain in left and not counts_hosts:
            return 0
        tie = self._tie(number)
        whole = rule.kind in WHOLE
        groups = []
        for group, taken in ((tie.members, tie.taken), (tie.others, tie.taken_by_others)):
            # Kinds that count by the domain look at this one alone.
            then = Counter(taken) if whole else Counter({domain: taken[domain]})
            if vm in group:
                then[domain] += (
                    self._hosts_more(vm, group, host, domain in left)
                    if counts_hosts
                    else size_of(self._fleet, rule, vm)
                )
                for one in left if whole else ():
                    then[one] -= 1
                then = +then
            groups.append(then)
        return over(self._fleet, rule, domain, *groups) - max(0, self._now.get((number, None if whole else domain), 0))

    def _hosts_more(self, vm: int, group: frozenset[int], host: Host, stays: bool) -> int:
        """Return how many hosts more of a domain the group is on when the VM comes to a host of it; where the VM
        `stays` in the domain, the host that it leaves may hold none then.
        """
        on = Counter(at.name for one in group if (at := self._host(one)) is not None)
        here = self._host(vm)
        freed = stays and here is not None and here.name != host.name and on[here.name] == 1
        return int(not on[host.name]) - int(freed)

    def _tie(self, number: int) -> _Tie:
        if number not in self._ties:
            rule, index = self._fleet.rules[number], self._index
            members, others = index.vms[number], index.others[number]
            self._ties[number] = _Tie(
                members=frozenset(members),
                others=frozenset(others),
                taken=taken_by(self._fleet, rule, members, self._domains, self._host),
                taken_by_others=taken_by(self._fleet, rule, others, self._domains, self._host),
            )
        return self._ties[number]

    def _host(self, number: int) -> Host | None:
        at = self._plan.vm_by_name.get(self._fleet.vms[number].name)
        return None if at is None else self._fleet.host_by_name[at.host]
