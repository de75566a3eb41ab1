"""Rules over hosts that are broken at the start are mended first: members go where every rule of theirs has room.

Columns decide counts and improvements leave members of rules where they are, so that neither would. What mends a rule
is a few VMs that leave a domain together: one member of a domain with too many, all of one that a group should not use,
one of others that must not be beside members or all those members. The fewest moves come first, and of equals groups
that must be in one domain: they have nowhere else to go.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from solvers.evaluate import evaluate, violations
from solvers.improve.fleet import Fleet, Vector
from solvers.improve.relocate import best_place
from solvers.improve.tables import tables_of
from solvers.problem import BoolArray, IntArray, Problem
from solvers.result import Result
from solvers.starts.best_fit import rows_of

OPTIONS = 24
"""Sets of VMs that are tried for what is broken in a domain, the smallest first."""
KINDS = ("spread", "together", "apart", "count")

_Place = tuple[int, int]
"""A host and a place on it."""
_Task = tuple[int, bool, int, int]
"""Moves that it takes at least; whether members have a choice of domains; rule, domain."""


def rules_mended(problem: Problem, start: Result, stop: Callable[[], bool] = lambda: False) -> Result:
    """Return an answer with fewer breaks of rules over hosts where moves within the limits bring that, else the given
    one.
    """
    budget = problem.budget
    hard = [rule for rule in problem.rules if not rule.is_soft]
    if not hard or not start.patterns or 0 in (budget.moves, budget.migrations):
        return start
    if all(one.is_empty for one in problem.classes) or (tables := tables_of(problem)) is None:
        return start
    fleet = Fleet.of(tables, start.patterns, start.unplaced)
    if not fleet.within_budget() or fleet.moves_left < 1:
        return start
    _Mending(problem=problem, fleet=fleet).run(stop)
    patterns, unplaced = fleet.answer()
    values = evaluate(problem, patterns, unplaced)
    worse = values >= evaluate(problem, start.patterns, start.unplaced)
    if worse or violations(problem, patterns, unplaced):
        return start
    return Result(
        status="feasible",
        objectives=rows_of(problem, values),
        patterns=patterns,
        unplaced=unplaced,
        rounds=start.rounds,
        engine=start.engine,
    )


@dataclass(slots=True, kw_only=True)
class _Mending:
    """Members of each rule in each domain as VMs move; `domain` of each scope is (H,), -1 for none."""

    problem: Problem
    fleet: Fleet
    domain: dict[str, IntArray] = field(default_factory=dict)
    count: list[dict[int, int]] = field(default_factory=list)
    rules_of: dict[int, list[int]] = field(init=False)
    amount: list[dict[int, int]] = field(init=False)
    members_on: dict[tuple[int, int], set[_Place]] = field(init=False)
    still: set[int] = field(default_factory=set)
    """Flavors in rules of other kinds, which are not followed here."""

    def __post_init__(self) -> None:
        problem, tables = self.problem, self.fleet.tables
        self.rules_of, self.members_on = defaultdict(list), defaultdict(set)
        self.amount = [dict(zip(rule.members, rule.counts, strict=True)) for rule in problem.rules]
        self.count = [defaultdict(int) for _ in problem.rules]
        for index, rule in enumerate(problem.rules):
            if rule.is_soft:
                continue
            if rule.scope not in self.domain:
                self.domain[rule.scope] = (
                    np.arange(tables.hosts)
                    if rule.scope == "host"
                    else np.array([one.domain.get(rule.scope, -1) for one in problem.classes])[tables.host_class]
                )
            if rule.kind not in KINDS or rule.scope == "node":
                self.still |= set(rule.members)
                continue
            for flavor in rule.members:
                self.rules_of[flavor].append(index)
            if rule.kind == "apart":
                for flavor in problem.rules[rule.against].members:
                    self.rules_of[flavor].append(index)
        for host, number in enumerate(tables.host_class.tolist()):
            for index, many in problem.classes[number].fixed_members.items():
                self._add(index, host, many)
            for place, many in self.fleet.held[host].items():
                flavor = int(tables.flavor[place])
                self._counted(flavor, host, many)
                self._noted(flavor, (host, place))

    def _add(self, index: int, host: int, many: int) -> None:
        scope = self.problem.rules[index].scope
        if scope in self.domain and (domain := int(self.domain[scope][host])) >= 0:
            self.count[index][domain] += many

    def _counted(self, flavor: int, host: int, sign: int) -> None:
        """Count VMs of a flavor more or less on a host, in every rule that has it as a member."""
        for index in self._member_of(flavor):
            self._add(index, host, sign * self.amount[index][flavor])

    def _member_of(self, flavor: int) -> set[int]:
        """Return the rules that count VMs of a flavor, those that only others limit among them."""
        own = {index for index in self.rules_of.get(flavor, ()) if flavor in self.amount[index]}
        limits = (self.problem.rules[index] for index in self.rules_of.get(flavor, ()))
        return own | {one.against for one in limits if one.kind == "apart" and flavor in self.amount[one.against]}

    def _noted(self, flavor: int, where: _Place) -> None:
        for index in self._member_of(flavor):
            if (domain := int(self.domain[self.problem.rules[index].scope][where[0]])) >= 0:
                self.members_on[index, domain].add(where)

    def excess(self, index: int) -> int:
        """Return how far a rule is broken now."""
        rule, count = self.problem.rules[index], self.count[index]
        if rule.kind == "spread":
            return sum(max(0, many - rule.max_per) for many in count.values())
        if rule.kind == "together":
            return max(0, sum(many > 0 for many in count.values()) - 1)
        if rule.kind == "apart":
            others = self.count[rule.against]
            return sum(max(0, others.get(one, 0) - rule.max_per) for one, many in count.items() if many)
        return 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Mend what is broken, the fewest moves first, while moves are left."""
        queue = [task for index in range(len(self.problem.rules)) for task in self._tasks(index)]
        heapq.heapify(queue)
        while queue and self.fleet.moves_left >= 1 and not stop():
            least, free, index, domain = heapq.heappop(queue)
            options = self._options(index, domain)
            now = min(map(len, options), default=0)
            if not now or now > self.fleet.moves_left:
                continue
            if now > least:
                heapq.heappush(queue, (now, free, index, domain))
            elif self._mend(index, domain, options):
                for task in self._tasks(index):
                    if task[-1] == domain or self.problem.rules[index].kind == "together":
                        heapq.heappush(queue, task)

    def _tasks(self, index: int) -> Iterator[_Task]:
        """Yield the domains in which a rule is broken."""
        rule, count = self.problem.rules[index], self.count[index]
        if rule.is_soft or rule.scope == "node" or not self.excess(index):
            return
        if rule.kind == "together":
            used = [domain for domain, many in count.items() if many]
            most = max(used, key=lambda one: (count[one], -one))
            yield from ((count[domain], False, index, domain) for domain in used if domain != most)
        elif rule.kind == "spread":
            yield from ((1, True, index, domain) for domain, many in count.items() if many > rule.max_per)
        elif rule.kind == "apart":
            others = self.count[rule.against]
            yield from (
                (1, True, index, one) for one, many in list(count.items()) if many and others.get(one, 0) > rule.max_per
            )

    def _options(self, index: int, domain: int) -> list[list[_Place]]:
        """Return sets of VMs of which each mends something by leaving a domain, the smallest first."""
        rule = self.problem.rules[index]
        if all(domain != task[-1] for task in self._tasks(index)):
            return []
        own = self._vms(index, domain)
        if rule.kind == "together":
            return [own] if sum(self._weight(index, where) for where in own) == self.count[index][domain] else []
        if rule.kind == "spread":
            return [[where] for where in dict.fromkeys(own)][:OPTIONS]
        found = [[where] for where in dict.fromkeys(self._vms(rule.against, domain))][: OPTIONS - 1]
        # Members that cannot all leave leave the others as they are.
        if sum(self._weight(index, where) for where in own) == self.count[index][domain]:
            found.append(own)
        return sorted(found, key=len)

    def _weight(self, index: int, where: _Place) -> int:
        return self.amount[index][int(self.fleet.tables.flavor[where[1]])]

    def _vms(self, index: int, domain: int) -> list[_Place]:
        """Return the members of a rule in a domain that may move, by places: as often as VMs are there."""
        held, flavor = self.fleet.held, self.fleet.tables.flavor
        return [
            (host, place)
            for host, place in sorted(self.members_on[index, domain])
            if int(flavor[place]) not in self.still
            for _ in range(held[host].get(place, 0))
        ]

    def _mend(self, index: int, domain: int, options: list[list[_Place]]) -> bool:
        """Move the set of VMs that costs least; return whether any could move."""
        best: tuple[int, Vector, list[_Place]] | None = None
        for option in options:
            if len(option) > self.fleet.moves_left or (best is not None and len(option) > best[0]):
                continue
            mark = len(self.fleet.journal)
            if self._leave(index, domain, option):
                found = (len(option), self.fleet.vector(), option)
                best = found if best is None or found < best else best
            self._undo(mark)
        return best is not None and self._leave(index, domain, best[2])

    def _leave(self, index: int, domain: int, option: list[_Place]) -> bool:
        """Move VMs out of a domain; return whether all found a place, and the rules are less broken together."""
        rules = {other for _, place in option for other in self.rules_of[int(self.fleet.tables.flavor[place])]}
        before = sum(self.excess(one) for one in rules)
        for host, place in option:
            flavor = int(self.fleet.tables.flavor[place])
            self.fleet.remove(host, place)
            self._counted(flavor, host, -1)
            closed = self._closed(flavor) | (self.domain[self.problem.rules[index].scope] == domain)
            found = best_place(self.fleet, flavor, closed=closed)
            if found is None:
                self.fleet.add(host, place)
                self._counted(flavor, host, 1)
                return False
            self.fleet.add(found[1], found[2])
            self._counted(flavor, found[1], 1)
            self._noted(flavor, (found[1], found[2]))
        return sum(self.excess(one) for one in rules) < before and self.fleet.within_budget()

    def _closed(self, flavor: int) -> BoolArray:
        """Return (H,) where one VM more of a flavor would break a rule further."""
        closed = np.zeros(self.fleet.tables.hosts, dtype=np.bool_)
        for index in self.rules_of[flavor]:
            rule, count = self.problem.rules[index], self.count[index]
            domain = self.domain[rule.scope]
            if rule.kind == "spread":
                more = self.amount[index][flavor]
                bad = [one for one, many in count.items() if many + more > rule.max_per]
                closed |= np.isin(domain, bad)
            elif rule.kind == "together":
                used = [one for one, many in count.items() if many]
                closed |= ~np.isin(domain, used) & (domain >= 0) if used else False
            elif rule.kind == "apart":
                others = self.count[rule.against]
                if flavor in self.amount[index]:
                    bad = [one for one, many in others.items() if many > rule.max_per and not count.get(one)]
                    closed |= np.isin(domain, bad)
                if (more := self.amount[rule.against].get(flavor, 0)) > 0:
                    bad = [one for one, many in count.items() if many and others.get(one, 0) + more > rule.max_per]
                    closed |= np.isin(domain, bad)
        return closed

    def _undo(self, mark: int) -> None:
        """Take back all changes since the journal had `mark` entries."""
        flavor = self.fleet.tables.flavor
        for host, place, sign in self.fleet.journal[mark:]:
            self._counted(int(flavor[place]), host, -sign)
        self.fleet.undo(mark)
