"""Which rows an answer breaks where it is shared out as evenly as can be: hosts alike, and VMs alike, are one to it.

What a linear program without rules places can be shared out, each class of a state and each flavor that only rules tell
apart having its part of everything. Where that keeps all rows, no row raises the program's value, and none is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.columns.model import StateModel
from solvers.problem import IntArray
from solvers.rule_rows.rows import LIMITS, RuleRow, RuleRows

FloatArray = NDArray[np.float64]

NEAR = 1e-6
"""By so many VMs more than it allows a row is not broken yet."""
MOST_CHOICES = 200
"""Rows of one rule that holds its members together; one that would need more has none."""


@dataclass(slots=True, kw_only=True)
class Shares:
    """Looks for rows of a problem's rules.

    `state` : (classes,) the state of each class where no rule is known: domains that have hosts of the same states are
    alike, and share their rows.
    """

    rules: RuleRows
    state: IntArray
    _sets: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    _of_scope: dict[str, dict[int, tuple[tuple[int, int], ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: RuleRows, model: StateModel) -> Shares:
        """Look for rows of rules, hosts being alike as a model has them."""
        return cls(rules=rules, state=model.state_of_class)

    def alike(self, number: int) -> list[tuple[int, ...]]:
        """Return the domains of a rule, those together that are alike and may hold as much."""
        if number not in self._sets:
            rule = self.rules.problem.rules[number]
            most = self.rules.most(number) if rule.kind in LIMITS else {}
            sets: dict[object, list[int]] = {}
            for domain, hosts in self._hosts(rule.scope).items():
                sets.setdefault((hosts, most.get(domain)), []).append(domain)
            self._sets[number] = [tuple(domains) for domains in sets.values()]
        return self._sets[number]

    def _hosts(self, scope: str) -> dict[int, tuple[tuple[int, int], ...]]:
        """Return domain -> its hosts: how many of each state."""
        if scope not in self._of_scope:
            self._of_scope[scope] = {}
            for domain, classes in sorted(self.rules.places[scope].items()):
                hosts = Counter[int]()
                for one in classes:
                    hosts[int(self.state[one])] += self.rules.problem.classes[one].count
                self._of_scope[scope][domain] = tuple(sorted(hosts.items()))
        return self._of_scope[scope]

    def shared(self, held: FloatArray, state: IntArray, flavor: IntArray) -> FloatArray:
        """Return (classes, F) VMs of what each state holds of each merged flavor (states, merged).

        `state` : (classes,) and `flavor` : (F,) say which state and which merged flavor each belongs to.
        """
        count = np.array([one.count for one in self.rules.problem.classes], dtype=np.float64)
        hosts = np.bincount(state, weights=count, minlength=len(held))
        demand = self.rules.demand.astype(np.float64)
        whole = np.bincount(flavor, weights=demand, minlength=held.shape[1])
        part = np.where(whole[flavor] > 0, demand / np.maximum(whole[flavor], 1.0), 0.0)
        out: FloatArray = held[state][:, flavor] * (count / hosts[state])[:, None] * part
        return out

    def broken(self, vms: FloatArray, objective: int, held: Sequence[int], known: Collection[RuleRow]) -> list[RuleRow]:
        """Return the rows that VMs (classes, F) break, those of the worst rules first; none that is known."""
        found: list[tuple[float, int, list[RuleRow]]] = []
        for number, rule in enumerate(self.rules.problem.rules):
            if not self.rules.knows(number):
                continue
            over, rows = (
                self._over(number, vms) if rule.kind in LIMITS else self._scattered(number, vms, objective, held)
            )
            if new := [row for row in rows if row not in known]:
                found.append((-over, number, new))
        return [row for _, _, rows in sorted(found, key=lambda one: one[:2]) for row in rows]

    def _over(self, number: int, vms: FloatArray) -> tuple[float, list[RuleRow]]:
        """Return by how much domains hold more than a rule allows, and the rows that say so."""
        rule, places, most = (
            self.rules.problem.rules[number],
            self.rules.places[self.rules.problem.rules[number].scope],
            self.rules.most(number),
        )
        members = self.rules.there(number)
        count = dict(zip(rule.members, rule.counts, strict=True))
        many = vms[:, list(members)] @ np.array([float(count[flavor]) for flavor in members])
        total, rows = 0.0, []
        for domains in self.alike(number):
            over = float(sum(many[places[domain]].sum() - most[domain] for domain in domains))
            if over > NEAR:
                total += over
                rows.append(RuleRow(rule=number, domains=domains, members=members))
        return total, rows

    def _scattered(
        self, number: int, vms: FloatArray, objective: int, held: Sequence[int]
    ) -> tuple[float, list[RuleRow]]:
        """Return how far members that belong together are from one domain, and the rows that say so."""
        places = self.rules.places[self.rules.problem.rules[number].scope]
        members = self.rules.there(number)
        if not members:
            return 0.0, []
        rows, total = [], 0.0
        narrow = self.rules.narrow(number)
        if narrow and self.rules.all_placed(number, objective, held):
            where = [one for domain in narrow for one in places[domain]]
            there = float(vms[where][:, list(members)].sum())
            if there > NEAR:
                total += there
                rows.append(RuleRow(rule=number, domains=narrow, members=members, closed=True))
        sets = self.alike(number)
        if len(members) > 1 and len(sets) > 1 and len(members) * len(sets) <= MOST_CHOICES:
            demand = self.rules.demand[list(members)].astype(np.float64)
            part = np.array(
                [
                    vms[[one for domain in domains for one in places[domain]]][:, list(members)].sum(axis=0) / demand
                    for domains in sets
                ]
            )
            over = float(part.max(axis=1).sum()) - max(float(self.rules.chosen(number)), float(part.sum(axis=0).max()))
            if over > NEAR:
                total += over * float(demand.sum())
                rows += [RuleRow(rule=number, domains=domains, members=(f,)) for domains in sets for f in members]
        return total, rows
