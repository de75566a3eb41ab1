"""Rules over the domains of a label as linear rows: how much of a group some domains may hold in every plan.

A row adds up members over the hosts of a set of domains, as often as these are alike: so hosts need be told apart by
domains no further than rows do. Each follows from one rule and the numbers of the problem alone, so whoever has
the problem can write it down again.

- ``spread``: in each domain what the rule allows, or what is there at the start.
- ``even``: with N members over D domains, the fullest at most m above the emptiest, N ≥ x + (D − 1)(x − m): no domain
  holds more than (N + (D − 1) m) / D.
- ``least``: where m domains are used, each of the others holds one at least: none holds more than N − m + 1.
- ``together``: a choice a(group, domain), all choices of a group at most 1: x ≤ n a for any of its flavors, n their
  VMs. A row that is `closed` says that no member is in domains which the whole group does not fit in: that
  holds only where none of them is left out.

What is broken at the start by e may stay so: m is greater by e, or smaller (`least`), and e + 1 domains are chosen.
Members that cannot move are taken off where they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from solvers.problem import IntArray, Problem
from solvers.rule_rows.room import Room

Tally = defaultdict[int, Counter[int]]
LIMITS = ("spread", "even", "least")
"""Kinds of rules that limit each domain by a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """What some members (flavors) of a rule, by number, may be in some domains of its label together."""

    rule: int
    domains: tuple[int, ...]
    members: tuple[int, ...]
    closed: bool = False

    def plain(self) -> dict[str, Any]:
        """Return the row as plain data."""
        out: dict[str, Any] = {"rule": self.rule, "domains": list(self.domains), "members": list(self.members)}
        return {**out, "closed": True} if self.closed else out

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> RuleRow:
        """Return the row of plain data; what it says of a problem `RuleRows.limit` looks at."""
        domains, members = (tuple(int(one) for one in data[name]) for name in ("domains", "members"))
        return cls(rule=int(data["rule"]), domains=domains, members=members, closed=data.get("closed") is True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Σ `amount` of the VMs of flavors on hosts of `classes` is at most `most`, or `most` times what is chosen.

    `choice` : the number of the rule of which `chosen` domains are to be chosen, None for a plain limit.
    """

    amount: Mapping[int, int]
    classes: frozenset[int]
    most: int
    choice: int | None = None
    chosen: int = 1


@dataclass(kw_only=True)
class RuleRows:
    """The rules of a problem, as rows that may be asked for.

    Attributes
    ----------
    demand : (F,). places : scope -> domain -> its classes.
    """

    problem: Problem
    demand: IntArray = field(init=False)
    places: dict[str, dict[int, list[int]]] = field(init=False)
    _most: dict[int, dict[int, int]] = field(default_factory=dict)
    _narrow: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Add up VMs, and group classes by domains."""
        problem = self.problem
        self.demand = problem.demand()
        self.places = {}
        for number, one in enumerate(problem.classes):
            for scope, domain in one.domain.items():
                if domain >= 0:
                    self.places.setdefault(scope, {}).setdefault(domain, []).append(number)

    def knows(self, number: int) -> bool:
        """Tell whether there are rows of a rule: it limits, over domains of a label, and is of a kind that has any."""
        rule = self.problem.rules[number]
        if rule.is_soft or rule.scope not in self.places:
            return False
        return rule.kind in ("spread", "even", "together") or (rule.kind == "least" and not rule.amounts)

    def there(self, number: int) -> tuple[int, ...]:
        """Return the members of a rule of which there are VMs."""
        return tuple(flavor for flavor in self.problem.rules[number].members if self.demand[flavor])

    def most(self, number: int) -> dict[int, int]:
        """Return domain -> the most that members which can move count there, of a rule that limits each domain."""
        if number not in self._most:
            fixed, start = self._start(number)
            whole = self._whole(number, fixed, start)
            self._most[number] = {
                domain: (max(whole, start[domain]) if self.problem.rules[number].kind == "spread" else whole)
                - fixed[domain]
                for domain in start
            }
        return self._most[number]

    def _whole(self, number: int, fixed: Mapping[int, int], start: Mapping[int, int]) -> int:
        """Return the most that members count in a domain, those that cannot move too."""
        rule = self.problem.rules[number]
        if rule.kind == "spread":
            return rule.max_per
        many = sum(each * int(self.demand[f]) for f, each in zip(rule.members, rule.counts, strict=True))
        many += sum(fixed.values())
        if rule.kind == "even":
            apart = max(rule.max_per, max(start.values()) - min(start.values()))
            return (many + (len(start) - 1) * apart) // len(start)
        used = sum(1 for there in start.values() if there)
        lacks = max(0, min(rule.max_per, sum(start.values())) - used)
        return max(many - max(1, rule.max_per - lacks) + 1, lacks + 1)

    def _start(self, number: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return domain -> what members count that cannot move, and what all do that are there at the start."""
        still, there = self._tally
        fixed = {domain: still[number][domain] for domain in self.places[self.problem.rules[number].scope]}
        return fixed, {domain: many + there[number][domain] for domain, many in fixed.items()}

    @cached_property
    def _room(self) -> Room:
        return Room(self.problem, self.demand)

    @cached_property
    def _partly(self) -> set[str]:
        """Scopes of which there are hosts without a domain: who is there may be apart from the others."""
        return {scope for scope in self.places if any(one.domain.get(scope, -1) < 0 for one in self.problem.classes)}

    @cached_property
    def _tally(self) -> tuple[Tally, Tally]:
        """Rule -> domain -> what members count that cannot move, and what those do that can: all rules at once, a host
        and what it holds at a time.
        """
        rules = self.problem.rules
        of_flavor: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number in filter(self.knows, range(len(rules))):
            for flavor, each in zip(rules[number].members, rules[number].counts, strict=True):
                of_flavor[flavor].append((number, each))
        still: Tally = defaultdict(Counter)
        there: Tally = defaultdict(Counter)
        for one, host_class in enumerate(self.problem.classes):
            for number, many in host_class.fixed_members.items():
                still[number][host_class.domain.get(rules[number].scope, -1)] += host_class.count * many
            content = np.zeros(0, dtype=np.int64) if host_class.is_empty else self.problem.content_of(one)
            for flavor in np.flatnonzero(content).tolist():
                for number, each in of_flavor.get(flavor, ()):
                    domain = host_class.domain.get(rules[number].scope, -1)
                    there[number][domain] += host_class.count * each * int(content[flavor])
        return still, there

    def chosen(self, number: int) -> int:
        """Return how many domains the members of a rule may be in that holds them together."""
        return max(1, sum(1 for there in self._start(number)[1].values() if there))

    def stands_still(self, number: int) -> bool:
        """Tell whether a member of a rule cannot move."""
        return any(self._tally[0][number].values())

    def narrow(self, number: int) -> tuple[int, ...]:
        """Return the domains that all VMs of a rule, where they must be in one, do not fit in together, by what they
        take in all.
        """
        if number not in self._narrow:
            rule = self.problem.rules[number]
            free = self.stands_still(number) or self.chosen(number) > 1 or rule.scope in self._partly
            self._narrow[number] = () if free else self._room.lacking(self.there(number), self.places[rule.scope])
        return self._narrow[number]

    def all_placed(self, number: int, objective: int, held: Sequence[int]) -> bool:
        """Tell whether no member of a rule is left out where the objectives before one are held at these values."""
        out = [flavor for flavor in self.there(number) if self.problem.flavors[flavor].arriving]
        tiers = [
            one.unplaced > held[g]
            for g, one in enumerate(self.problem.objectives[:objective])
            if one.unplaced is not None
        ]
        return all(any(bool(tier[flavor]) for tier in tiers) for flavor in out)

    def limit(self, row: RuleRow, objective: int, held: Sequence[int]) -> Limit:
        """Return what a row says, where the objectives before one are held at these values.

        Raises
        ------
        ValueError
            If no such row follows from the rules of the problem.
        """
        if not 0 <= row.rule < len(self.problem.rules) or not self.knows(row.rule):
            raise ValueError("a row of no rule that has rows")
        rule = self.problem.rules[row.rule]
        places, count = self.places[rule.scope], dict(zip(rule.members, rule.counts, strict=True))
        if not set(row.domains) <= places.keys() or len(set(row.domains)) < len(row.domains):
            raise ValueError("a row over domains that are not there")
        if not set(row.members) <= count.keys() or len(set(row.members)) < len(row.members):
            raise ValueError("a row of VMs that are no members of its rule")
        classes = frozenset(number for domain in row.domains for number in places[domain])
        if rule.kind in LIMITS:
            most = self.most(row.rule)
            amount = {flavor: count[flavor] for flavor in row.members}
            return Limit(amount=amount, classes=classes, most=sum(most[domain] for domain in row.domains))
        amount = dict.fromkeys(row.members, 1)
        if not row.closed:
            many = sum(int(self.demand[flavor]) for flavor in row.members)
            return Limit(amount=amount, classes=classes, most=many, choice=row.rule, chosen=self.chosen(row.rule))
        if not set(row.domains) <= set(self.narrow(row.rule)) or not self.all_placed(row.rule, objective, held):
            raise ValueError("a row closes domains that the group may be in")
        return Limit(amount=amount, classes=classes, most=0)
