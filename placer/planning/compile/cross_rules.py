"""Rules that tie hosts to each other, in numbers; rules within a host are rows of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from placer.measure.rule_excess import open_domains
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.vm import VmSpec
from placer.planning.compile.flavors import TYING, Flavors, rule_of
from placer.planning.compile.label_loads import LabelLoads
from solvers.problem import CrossRule

WITHIN_HOST = ("host", "node", "l3")
"""Scopes whose domains never span hosts: spreading over them is a row of each host."""


def cross_rules(fleet: Fleet, flavors: Flavors, loads: LabelLoads) -> dict[int, CrossRule]:
    """Return the rules that tie hosts to each other, named as in `Confinement`, where any VM is in them.

    The second group of a rule follows it as one of kind ``count``.
    """
    members = _members(fleet, flavors)
    out: dict[int, CrossRule] = {}
    for number, rule in enumerate(fleet.rules):
        if number not in members:
            continue
        made = _made(rule, tuple(members[number]), fleet, flavors, loads)
        if made is None:
            continue
        if made.kind == "apart":
            other = number + len(fleet.rules)
            if other not in members:
                continue
            made = replace(made, against=len(out) + 1)
            out[number] = made
            out[other] = replace(made, kind="count", members=tuple(members[other]), against=len(out) - 1)
        else:
            out[number] = made
    return out


@dataclass(slots=True)
class HostDomains:
    """Numbers of the domains of host labels that rules tie VMs over: scopes by name, each with one of these rules, and
    of rules that compare domains those that are compared.
    """

    scopes: tuple[tuple[str, Rule], ...]
    open_: Mapping[str, Container[Hashable]]
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: Fleet) -> HostDomains:
        """Find the scopes."""
        seen = {rule.domains: rule for rule in fleet.rules if rule.kind in TYING and rule.scope not in WITHIN_HOST}
        open_ = {name: set(open_domains(fleet, rule)) for name, rule in seen.items() if rule.kind is RuleKind.EVEN}
        return cls(tuple(sorted(seen.items(), key=lambda item: item[0])), open_)

    def of_host(self, host: Host) -> tuple[tuple[str, int], ...]:
        """Return the number of a host's domain of each scope, in the order of their coming; -1 for none, and for one
        that is not compared.
        """
        return tuple((name, self._number(name, rule.domain_of(host.name, host.labels))) for name, rule in self.scopes)

    def _number(self, name: str, value: str | None) -> int:
        if value is None or (name in self.open_ and value not in self.open_[name]):
            return -1
        return self._numbers.setdefault((name, value), len(self._numbers))


def fixed_members(fleet: Fleet, flavors: Flavors, cross: Mapping[int, int], vms: Iterable[int]) -> Counter[int]:
    """Return index of a rule in `cross` -> what its members among VMs that are fixed count together."""
    out: Counter[int] = Counter()
    for vm in vms:
        for token in flavors.fixed[vm][0]:
            if token in cross:
                out[cross[token]] += _amount(rule_of(token, fleet.rules), fleet.vms[vm].spec)
    return out


def _amount(rule: Rule, spec: VmSpec) -> int:
    """Return what a VM counts in a domain of a rule: one, or what a share is of."""
    if rule.kind is RuleKind.SHARE and rule.of != "hosts":
        return spec.vcpus if rule.of == "vcpus" else -(-spec.memory_kib // 1024)
    return 1


def _members(fleet: Fleet, flavors: Flavors) -> dict[int, list[int]]:
    """Return rule -> flavors of its VMs; rules of VMs that are fixed alone have none."""
    members: dict[int, list[int]] = {}
    for number, group in enumerate(flavors.groups):
        for tied in group.rules:
            members.setdefault(tied, []).append(number)
    for tying, _ in flavors.fixed.values():
        for tied in tying:
            members.setdefault(tied, [])
    return members


def _made(rule: Rule, members: tuple[int, ...], fleet: Fleet, flavors: Flavors, loads: LabelLoads) -> CrossRule | None:
    """Return a rule in numbers, None where it is rows of each host."""
    if rule.kind is RuleKind.GROUP:
        goal = rule.name or ""
        if goal in loads.loads:
            return loads.rule(rule, members)
        return CrossRule(name=goal, kind="used", members=members, scope="host", goal=goal)
    goal, weight = (rule.soft_goal, rule.weight or 0) if rule.is_soft else ("rules", 1)
    made = CrossRule(
        name=rule.label,
        kind="spread",
        members=members,
        scope=rule.domains,
        max_per=rule.max_per,
        goal=goal,
        weight=weight,
    )
    if rule.kind is RuleKind.AFFINITY:
        # Members on one L3 domain are on one node, and take no more CPUs than a domain has: `ONE_L3`.
        return replace(made, kind="together", scope="node" if rule.scope == "l3" else rule.domains)
    if rule.kind is RuleKind.ANTI_AFFINITY:
        return None if rule.scope in WITHIN_HOST else made
    if rule.kind is RuleKind.SPREAD:
        return replace(made, kind="least", max_per=rule.domains_used)
    if rule.kind is RuleKind.EVEN:
        return replace(made, kind="even", max_per=rule.skew)
    if rule.kind is RuleKind.SHARE:
        specs = [_spec_of(fleet, flavors, flavor) for flavor in members]
        amounts = tuple(_amount(rule, spec) for spec in specs)
        return replace(made, kind="hosts" if rule.of == "hosts" else "spread", max_per=rule.most, amounts=amounts)
    return replace(made, kind="apart", max_per=rule.max_per if rule.kind is RuleKind.APART else 0)


def _spec_of(fleet: Fleet, flavors: Flavors, flavor: int) -> VmSpec:
    """Return the spec of a VM of a flavor: all have as many vCPUs and as much memory."""
    return fleet.vms[flavors.example(flavor)].spec


def soft_rows(rules: Mapping[int, Rule]) -> dict[int, tuple[str, int]]:
    """Return rule -> the goal that counts it and what a unit of its excess counts, of rules that are rows."""
    return {number: (rule.soft_goal, rule.weight or 0) for number, rule in rules.items() if rule.is_soft}
