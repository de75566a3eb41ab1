"""Members of rules named to the places of an answer that knows counts alone: which host, which domain, which VM.

An engine says how many hosts of a state hold which pattern. Hosts of a state that are in different domains may exchange
their patterns, and VMs that only rules tell apart their places, and no goal changes: so rules are kept at no cost
wherever these two choices can keep them. A program over (pattern, cell) and (flavor, cell) decides, where a *cell* is
the hosts that are in the same domain of every scope.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.backends.cpsat import run_model
from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.problem import CrossRule, Problem
from solvers.reductions.lots import Lot, Lots
from solvers.reductions.merged import Merged
from solvers.result import Interrupt, Result

KINDS = frozenset({"spread", "together", "apart", "count", "least", "even"})
"""Kinds of rules that are rows of the program; answers keep others by chance."""
OWN = ("host", "node")
"""Scopes of which every host has domains of its own: what is in them no exchange of hosts changes."""
LARGEST = 100_000
"""Most (flavor, cell) counts."""
BUDGET = 5.0


def named(
    problem: Problem, merged: Merged, found: Result, *, seed: int, seconds: float, interrupt: Interrupt | None
) -> Result | None:
    """Return an answer to the merged problem as one of the problem whose rules it keeps, None where none was found.

    merged : the problem without its rules, merged.
    """
    lots = _lots(problem, merged, found)
    return None if lots is None else _Naming(lots=lots).solve(seed=seed, seconds=seconds, interrupt=interrupt)


def nearly_named(
    problem: Problem, merged: Merged, found: Result, *, seed: int, seconds: float, interrupt: Interrupt | None
) -> Result | None:
    """Return an answer as `named` does that leaves members out who have no place where the rules let them be, as few
    vCPUs as can be; None where none was found. Hosts are empty.
    """
    lots = _lots(problem, merged, found)
    if lots is None:
        return None
    return _Naming(lots=lots, may_lack=True).solve(seed=seed, seconds=seconds, interrupt=interrupt)


def _lots(problem: Problem, merged: Merged, found: Result) -> Lots | None:
    """Return the hosts of an answer with the rules that say where VMs are named, None where they are too many."""
    if not found.patterns:
        return None
    rules = {n: rule for n, rule in enumerate(problem.rules) if rule.kind in KINDS and rule.scope not in OWN}
    lots = Lots(merged=replace(merged, source=problem), found=found, rules=rules)
    return lots if len(lots.ruled) * lots.cells <= LARGEST else None


def can_name(problem: Problem) -> bool:
    """Tell whether members can be named so that all rules are kept."""
    hard = [rule for rule in problem.rules if not rule.is_soft]
    return bool(hard) and all(rule.kind in KINDS and rule.scope not in OWN for rule in hard)


@dataclass(slots=True, kw_only=True)
class _Naming:
    """The program.

    Attributes
    ----------
    lots : the hosts of the answer, in cells. may_lack : members may be where the answer has no place for them; there
    are as few vCPUs of these as can be.
    """

    lots: Lots
    may_lack: bool = False
    writer: RowWriter = field(default_factory=RowWriter)
    _hosts_of: dict[tuple[Lot, int], int] = field(default_factory=dict)
    _many: dict[tuple[int, int], int] = field(default_factory=dict)

    def solve(self, *, seed: int, seconds: float, interrupt: Interrupt | None) -> Result | None:
        """Return the answer with names."""
        self._write()
        answer = run_model(self.writer.model, budget=BUDGET, seed=seed, seconds=seconds, interrupt=interrupt)
        if answer.cut and interrupt is not None:
            interrupt.work.reach(answer.values)
        if answer.values is None:
            return None
        hosts = {key: answer.values[variable] for key, variable in self._hosts_of.items()}
        return self.lots.named(hosts, {key: answer.values[variable] for key, variable in self._many.items()})

    # -- the program ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        at = self.lots.cells_of()
        taken: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for lot, count in self.lots.lots.items():
            whole = Sum()
            for cell in at[lot[0]]:
                variable = self.writer.variable(0, min(self.lots.room(lot[0], cell), count))
                self._hosts_of[lot, cell] = variable
                whole.add(variable, 1)
                taken[lot[0], cell].add(variable, 1)
            self.writer.row(whole, count, count)
        for key, total in taken.items():
            self.writer.row(total, None, self.lots.room(*key))
        (self._roaming if self.may_lack else self._members)(self._slots())
        for index, rule in self.lots.rules.items():
            self._rule_rows(index, rule)

    def _slots(self) -> dict[tuple[int, int], Sum]:
        """Return (merged flavor, cell) -> its VMs there."""
        out: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for (lot, cell), variable in self._hosts_of.items():
            for flavor, amount in self.lots.held(lot):
                out[flavor, cell].add(variable, amount)
        return out

    def _members(self, slots: dict[tuple[int, int], Sum]) -> None:
        """Members in a cell: no more than there are places; all of them but who may be left out."""
        problem, merged = self.lots.merged.source, self.lots.merged
        demand = problem.demand()
        by: dict[int, list[int]] = defaultdict(list)
        for flavor in self.lots.ruled:
            by[int(merged.flavor[flavor])].append(flavor)
        for new, flavors in by.items():
            others = [one for one in merged.named.get(new, flavors) if one not in set(flavors)]
            rest = int(demand[others].sum())
            left_out = int(self.lots.found.unplaced[new]) if self.lots.found.unplaced else 0
            total_out = Sum()
            used: dict[int, Sum] = defaultdict(Sum)
            for flavor in flavors:
                whole = Sum()
                for cell in range(self.lots.cells):
                    if (new, cell) in slots:
                        variable = self.writer.variable(0, int(demand[flavor]))
                        self._many[flavor, cell] = variable
                        whole.add(variable, 1)
                        used[cell].add(variable, 1)
                out = self.writer.variable(0, min(left_out, problem.flavors[flavor].arriving))
                total_out.add(out, 1)
                self.writer.row(whole.add(out, 1), int(demand[flavor]), int(demand[flavor]))
            self.writer.row(total_out, max(0, left_out - rest), left_out)
            for cell, total in used.items():
                self.writer.row(total.plus(slots[new, cell], -1), 0 if not others else None, 0)

    def _roaming(self, slots: dict[tuple[int, int], Sum]) -> None:
        """Members in a cell, whether there are places or not; what they lack is minimised."""
        merged, writer = self.lots.merged, self.writer
        demand = merged.source.demand()
        wanted: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for flavor in self.lots.ruled:
            whole = Sum()
            for cell in range(self.lots.cells):
                variable = writer.variable(0, int(demand[flavor]))
                self._many[flavor, cell] = variable
                whole.add(variable, 1)
                wanted[int(merged.flavor[flavor]), cell].add(variable, 1)
            writer.row(whole, int(demand[flavor]), int(demand[flavor]))
        for (new, cell), total in wanted.items():
            lacking = writer.positive_part(total.plus(slots.get((new, cell), Sum()), -1))
            index, factor = lacking.arrays()
            writer.proto.objective.vars.extend(index.tolist())
            writer.proto.objective.coeffs.extend((factor * max(1, merged.problem.flavors[new].vcpus)).tolist())

    def _rule_rows(self, index: int, rule: CrossRule) -> None:
        problem = self.lots.merged.source
        start = _at_the_start(problem, index)
        held = self._in_domains(index, rule)
        if rule.kind == "spread":
            for domain, total in held.items():
                self.writer.row(total, None, max(rule.max_per, start[domain]))
        elif rule.kind == "together":
            chosen = Sum()
            for total in held.values():
                chosen.plus(self.writer.is_positive(total))
            self.writer.row(chosen, None, max(1, sum(1 for many in start.values() if many)))
        elif rule.kind == "apart":
            others = self._in_domains(rule.against, problem.rules[rule.against])
            was = _at_the_start(problem, rule.against)
            for domain, total in held.items():
                if domain in others:
                    most = max(rule.max_per, was[domain] if start[domain] else 0)
                    _, high = self.writer.range_of(*others[domain].arrays())
                    high += others[domain].constant
                    here = self.writer.is_positive(total)
                    both = Sum().plus(others[domain]).plus(here, max(0, high - most))
                    self.writer.row(both, None, max(high, most))
        elif rule.kind == "least":
            used = Sum()
            for total in held.values():
                one = self.writer.variable(0, 1)
                used.add(one, 1)
                self.writer.row(Sum().add(one, 1).plus(total, -1), None, 0)
            members = sum(int(problem.demand()[flavor]) for flavor in rule.members)
            self.writer.row(used, min(rule.max_per, members, len(held)), None)
        elif rule.kind == "even":
            low = self.writer.variable(0, int(problem.demand()[list(rule.members)].sum()))
            for total in held.values():
                self.writer.row(Sum().plus(total).add(low, -1), 0, rule.max_per)

    def _in_domains(self, index: int, rule: CrossRule) -> dict[int, Sum]:
        """Return domain -> what the members of a rule count there."""
        out: dict[int, Sum] = defaultdict(Sum)
        domain, problem = self.lots.domain[rule.scope], self.lots.merged.source
        for cell in range(self.lots.cells):
            if domain[cell] >= 0:
                total = out[domain[cell]]
                for flavor, amount in zip(rule.members, rule.counts, strict=True):
                    if (flavor, cell) in self._many:
                        total.add(self._many[flavor, cell], amount)
        for one in problem.classes:
            if index in one.fixed_members and one.domain.get(rule.scope, -1) in out:
                out[one.domain[rule.scope]].constant += one.count * one.fixed_members[index]
        return out


def _at_the_start(problem: Problem, index: int) -> Counter[int]:
    """Return domain -> what members of a rule count there at the start."""
    rule = problem.rules[index]
    out: Counter[int] = Counter()
    for number, one in enumerate(problem.classes):
        many = one.fixed_members.get(index, 0)
        if not one.is_empty:
            many += int(problem.content_of(number)[list(rule.members)] @ np.array(rule.counts, dtype=np.int64))
        out[one.domain.get(rule.scope, -1)] += one.count * many
    del out[-1]
    return out
