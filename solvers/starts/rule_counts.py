"""Members of rules over hosts, domain by domain, as single VMs come and go: what is broken, and what would break."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from solvers.improve.fleet import Fleet
from solvers.improve.tables import Tables
from solvers.problem import BoolArray, CrossRule, IntArray, Problem

WHOLE = -1
"""The domain of what a rule lacks as a whole."""
MENDED = frozenset({"spread", "together", "apart", "least", "even", "hosts"})

Place = tuple[int, int]
"""A host and a place on it."""
Task = tuple[int, bool, int, int]
"""Moves that it takes at least; whether members have a choice of domains; rule, domain."""


@dataclass(slots=True, kw_only=True)
class RuleCounts:
    """What members of each hard rule count in each domain (of kind ``hosts``: hosts that hold one) as VMs move.

    Attributes
    ----------
    count : a rule, domain -> its members there. on_host : a rule of kind ``hosts``, host -> members. places : (rule,
    domain) -> where members are or have been. amount : a rule, flavor -> what a VM counts. rules_of : flavor -> rules
    that its VMs can break or mend. member_of : flavor -> rules that count its VMs. all : a rule of kind ``even`` ->
    the domains that it compares.
    """

    tables: Tables
    count: list[dict[int, int]] = field(default_factory=list)
    on_host: list[dict[int, int]] = field(default_factory=list)
    places: dict[tuple[int, int], set[Place]] = field(default_factory=lambda: defaultdict(set))
    amount: list[dict[int, int]] = field(default_factory=list)
    rules_of: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    member_of: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    all: dict[int, list[int]] = field(default_factory=dict)
    _domain: dict[tuple[str, bool], IntArray] = field(default_factory=dict)
    _touches: IntArray = field(init=False)

    @classmethod
    def of(cls, fleet: Fleet) -> RuleCounts:
        """Count the members of the rules of a fleet."""
        problem, tables = fleet.tables.problem, fleet.tables
        made = cls(tables=tables)
        made._touches = _touches(problem)
        made.amount = [dict(zip(rule.members, rule.counts, strict=True)) for rule in problem.rules]
        made.count = [defaultdict(int) for _ in problem.rules]
        made.on_host = [defaultdict(int) for _ in problem.rules]
        for index, rule in enumerate(problem.rules):
            if rule.is_soft or rule.kind not in MENDED:
                continue
            counted = (index, rule.against) if rule.kind == "apart" else (index,)
            for one in counted:
                for flavor in problem.rules[one].members:
                    made.rules_of[flavor].add(index)
                    made.member_of[flavor].add(one)
            if rule.kind == "even":
                domain = made._domains(rule)
                made.all[index] = np.unique(domain[domain >= 0]).tolist()
        for host, number in enumerate(tables.host_class.tolist()):
            made._count_fixed(host, number)
            for place, many in fleet.held[host].items():
                made.add(host, place, many)
        return made

    @property
    def problem(self) -> Problem:
        """The problem whose rules are counted."""
        return self.tables.problem

    def add(self, host: int, place: int, many: int) -> None:
        """Count VMs more or less at a place of a host."""
        flavor = int(self.tables.flavor[place])
        for index in self.member_of.get(flavor, ()):
            units = many * self.amount[index][flavor]
            for domain in self.domains(index, np.array([host]), np.array([place]))[0].tolist():
                if domain >= 0:
                    self._note(index, host, domain, units)
                    if many > 0:
                        self.places[index, domain].add((host, place))

    def _note(self, index: int, host: int, domain: int, units: int) -> None:
        if self.problem.rules[index].kind != "hosts":
            self.count[index][domain] += units
            return
        before = self.on_host[index][host]
        self.on_host[index][host] = before + units
        self.count[index][domain] += (before + units > 0) - (before > 0)

    def _count_fixed(self, host: int, number: int) -> None:
        """Count the members on a host that cannot move."""
        one = self.problem.classes[number]
        for index in {*one.fixed_members, *one.fixed_on}:
            rule = self.problem.rules[index]
            if rule.scope != "node":
                domain = int(self._domains(rule)[host])
                if domain >= 0:
                    self._note(index, host, domain, one.fixed_members.get(index, 0))
                continue
            for node, many in enumerate(one.fixed_on.get(index, np.zeros(0, dtype=np.int64)).tolist()):
                self._note(index, host, host * self._touches.shape[1] + node, many)

    # -- domains -------------------------------------------------------------------------------------------------------

    def domains(self, index: int, hosts: IntArray, places: IntArray) -> IntArray:
        """Return (M, W) the domains that VMs at M places are in, -1 where there is none."""
        rule = self.problem.rules[index]
        if rule.scope != "node":
            return self._domains(rule)[hosts][:, None]
        nodes = self._touches.shape[1]
        ids: IntArray = np.where(self._touches[places] > 0, hosts[:, None] * nodes + np.arange(nodes), -1)
        return ids

    def _domains(self, rule: CrossRule) -> IntArray:
        """Return (H,) the domain of each host, -1 for none."""
        key = (rule.scope, rule.kind == "even")
        if key not in self._domain:
            tables, classes = self.tables, self.problem.classes
            if rule.scope == "host":
                found = np.arange(tables.hosts)
            else:
                found = np.array([one.domain.get(rule.scope, -1) for one in classes])[tables.host_class]
            if key[1]:
                found = np.where(np.array([rule.leaves_out(one) for one in classes])[tables.host_class], -1, found)
            self._domain[key] = found
        return self._domain[key]

    def is_in(self, index: int, hosts: IntArray, places: IntArray, domains: list[int]) -> BoolArray:
        """Return (M,): whether VMs at M places are in any of some domains."""
        return np.asarray(np.isin(self.domains(index, hosts, places), domains).any(axis=1), dtype=np.bool_)

    # -- what is broken ------------------------------------------------------------------------------------------------

    def excess(self, index: int) -> int:
        """Return how far a rule is broken now; soft ones are not counted."""
        rule, count = self.problem.rules[index], self.count[index]
        if rule.is_soft:
            return 0
        if rule.kind in ("spread", "hosts"):
            return sum(max(0, many - rule.max_per) for many in count.values())
        if rule.kind == "together":
            return max(0, sum(many > 0 for many in count.values()) - 1)
        if rule.kind == "apart":
            others = self.count[rule.against]
            return sum(max(0, others.get(one, 0) - rule.max_per) for one, many in count.items() if many)
        if rule.kind == "least":
            used = sum(many > 0 for many in count.values())
            return max(0, min(rule.max_per, sum(count.values())) - used)
        if rule.kind == "even":
            fewest, most = self.range_of(index)
            return max(0, most - fewest - rule.max_per)
        return 0

    def range_of(self, index: int) -> tuple[int, int]:
        """Return how many members the domain with fewest of an ``even`` rule has, and that with most."""
        found = [self.count[index].get(domain, 0) for domain in self.all[index]]
        return min(found, default=0), max(found, default=0)

    def tasks(self, index: int) -> Iterator[Task]:
        """Yield the domains in which a rule is broken."""
        rule, count = self.problem.rules[index], self.count[index]
        if rule.is_soft or not self.excess(index):
            return
        if rule.kind == "together":
            used = [domain for domain, many in count.items() if many]
            most = max(used, key=lambda one: (count[one], -one))
            yield from ((count[domain], False, index, domain) for domain in used if domain != most)
        elif rule.kind in ("spread", "hosts"):
            yield from ((1, True, index, domain) for domain, many in count.items() if many > rule.max_per)
        elif rule.kind == "apart":
            others = self.count[rule.against]
            yield from (
                (1, True, index, one) for one, many in list(count.items()) if many and others.get(one, 0) > rule.max_per
            )
        else:
            yield 1, True, index, WHOLE

    def would_break(self, flavor: int, hosts: IntArray, places: IntArray) -> BoolArray:
        """Return (M,): where one VM more of a flavor would break a rule further, by those that it is in."""
        bad = np.zeros(len(hosts), dtype=np.bool_)
        for index in self.rules_of.get(flavor, ()):
            rule, count, more = self.problem.rules[index], self.count[index], self.amount[index].get(flavor, 0)
            if rule.kind == "spread":
                bad |= self.is_in(index, hosts, places, [d for d, many in count.items() if many + more > rule.max_per])
            elif rule.kind == "together" and (used := [d for d, many in count.items() if many]):
                found = self.domains(index, hosts, places)
                bad |= ((found >= 0) & ~np.isin(found, used)).any(axis=1)
            elif rule.kind == "apart":
                others = self.count[rule.against]
                if flavor in self.amount[index]:
                    full = [d for d, many in others.items() if many > rule.max_per and not count.get(d)]
                    bad |= self.is_in(index, hosts, places, full)
                if (second := self.amount[rule.against].get(flavor, 0)) > 0:
                    full = [d for d, many in count.items() if many and others.get(d, 0) + second > rule.max_per]
                    bad |= self.is_in(index, hosts, places, full)
            elif rule.kind == "hosts":
                holding = [host for host, many in self.on_host[index].items() if many]
                full = [d for d, many in count.items() if many >= rule.max_per]
                bad |= self.is_in(index, hosts, places, full) & ~np.isin(hosts, holding)
            elif rule.kind == "even":
                fewest, _ = self.range_of(index)
                full = [d for d in self.all[index] if count.get(d, 0) + more > fewest + rule.max_per]
                bad |= self.is_in(index, hosts, places, full)
        return bad


def _touches(problem: Problem) -> IntArray:
    """Return (P, nodes): whether placements of all shapes have CPUs on a node."""
    nodes = max((shape.nodes for shape in problem.shapes), default=0)
    parts = [np.pad(shape.touches, ((0, 0), (0, nodes - shape.nodes))) for shape in problem.shapes]
    return np.concatenate(parts).astype(np.int64)
