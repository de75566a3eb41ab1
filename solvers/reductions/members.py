"""Members of rules named to the places of an answer that knows counts alone: which host, which domain, which VM.

An engine says how many hosts of a state hold which pattern. Hosts of a state that are in different domains may exchange
their patterns, and VMs that only rules tell apart their places, and no goal changes: so rules are kept at no cost
wherever these two choices can keep them. A program over (pattern, cell) and (flavor, cell) decides, where a *cell* is
the hosts that are in the same domain of every scope.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.backends.cpsat import run_model
from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.columns.model import Pattern, StateModel
from solvers.problem import CrossRule, IntArray, Problem
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Interrupt, Result

KINDS = frozenset({"spread", "together", "apart", "count", "least", "even"})
"""Kinds of rules that are rows of the program; answers keep others by chance."""
LARGEST = 100_000
"""Most (flavor, cell) counts."""
BUDGET = 5.0


def named(
    problem: Problem, merged: Merged, found: Result, *, seed: int, seconds: float, interrupt: Interrupt | None
) -> Result | None:
    """Return an answer to the merged problem as one of the problem whose rules it keeps, None where none was found.

    merged : the problem without its rules, merged.
    """
    if not found.patterns:
        return None
    naming = _Naming(merged=replace(merged, source=problem), found=found)
    if len(naming.ruled) * naming.cells > LARGEST:
        return None
    return naming.solve(seed=seed, seconds=seconds, interrupt=interrupt)


def can_name(problem: Problem) -> bool:
    """Tell whether members can be named so that all rules are kept."""
    hard = [rule for rule in problem.rules if not rule.is_soft]
    return bool(hard) and all(rule.kind in KINDS and rule.scope not in ("host", "node") for rule in hard)


@dataclass(slots=True, kw_only=True)
class _Naming:
    """The program.

    Attributes
    ----------
    rules : index of a rule that is rows -> the rule. cell_of : (classes,) the cell of a class; domain[scope] (cells,).
    lots : (state, pattern) that hosts of the answer hold -> how many; those that hold nothing are left out.
    ruled : flavors of the source that are in one of the rules.
    """

    merged: Merged
    found: Result
    model: StateModel = field(init=False)
    rules: dict[int, CrossRule] = field(init=False)
    cell_of: list[int] = field(init=False)
    cells: int = field(init=False)
    domain: dict[str, list[int]] = field(init=False)
    hosts: dict[tuple[int, int], list[int]] = field(init=False)
    lots: Counter[tuple[int, Pattern]] = field(init=False)
    ruled: list[int] = field(init=False)
    writer: RowWriter = field(default_factory=RowWriter)
    _hosts_of: dict[tuple[tuple[int, Pattern], int], int] = field(default_factory=dict)
    _many: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find cells, lots and members."""
        source = self.merged.source
        self.model = StateModel(problem=self.merged.problem)
        self.rules = {
            n: rule for n, rule in enumerate(source.rules) if rule.kind in KINDS and rule.scope not in ("host", "node")
        }
        scopes = sorted({rule.scope for rule in self.rules.values()})
        keys: dict[tuple[int, ...], int] = {}
        self.cell_of = [
            keys.setdefault((one.closed, *(one.domain.get(scope, -1) for scope in scopes)), len(keys))
            for one in source.classes
        ]
        self.cells = len(keys)
        self.domain = {scope: [key[1 + at] for key in keys] for at, scope in enumerate(scopes)}
        self.domain["closed"] = [key[0] for key in keys]
        self.hosts = defaultdict(list)
        for number in range(len(source.classes)):
            self.hosts[int(self.model.state_of_class[number]), self.cell_of[number]].append(number)
        self.lots = Counter()
        for pattern in self.found.patterns:
            held = tuple(sorted((*pattern.placements, *pattern.phantoms)))
            if held:
                self.lots[int(self.model.state_of_class[pattern.host_class]), held] += pattern.count
        members = {flavor for rule in self.rules.values() for flavor in rule.members}
        self.ruled = sorted(members)

    def solve(self, *, seed: int, seconds: float, interrupt: Interrupt | None) -> Result | None:
        """Return the answer with names."""
        self._write()
        answer = run_model(self.writer.model, budget=BUDGET, seed=seed, seconds=seconds, interrupt=interrupt)
        return None if answer.values is None else self._named(answer.values)

    # -- the program ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        at: dict[int, list[int]] = defaultdict(list)
        for state, cell in self.hosts:
            at[state].append(cell)
        taken: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for lot, count in self.lots.items():
            whole = Sum()
            for cell in at[lot[0]]:
                room = sum(self.merged.source.classes[one].count for one in self.hosts[lot[0], cell])
                variable = self.writer.variable(0, min(room, count))
                self._hosts_of[lot, cell] = variable
                whole.add(variable, 1)
                taken[lot[0], cell].add(variable, 1)
            self.writer.row(whole, count, count)
        for key, total in taken.items():
            self.writer.row(total, None, sum(self.merged.source.classes[one].count for one in self.hosts[key]))
        self._members(self._slots())
        for index, rule in self.rules.items():
            self._rule_rows(index, rule)

    def _slots(self) -> dict[tuple[int, int], Sum]:
        """Return (merged flavor, cell) -> its VMs there."""
        out: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for (lot, cell), variable in self._hosts_of.items():
            amounts = self.model.amounts(self.model.states[lot[0]], lot[1])
            for flavor in np.flatnonzero(amounts).tolist():
                out[flavor, cell].add(variable, int(amounts[flavor]))
        return out

    def _members(self, slots: dict[tuple[int, int], Sum]) -> None:
        """Members in a cell: no more than there are places; all of them but who may be left out."""
        problem, merged = self.merged.source, self.merged
        demand = problem.demand()
        by: dict[int, list[int]] = defaultdict(list)
        for flavor in self.ruled:
            by[int(merged.flavor[flavor])].append(flavor)
        for new, flavors in by.items():
            others = [one for one in merged.named.get(new, flavors) if one not in set(flavors)]
            rest = int(demand[others].sum())
            left_out = int(self.found.unplaced[new]) if self.found.unplaced else 0
            total_out = Sum()
            used: dict[int, Sum] = defaultdict(Sum)
            for flavor in flavors:
                whole = Sum()
                for cell in range(self.cells):
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

    def _rule_rows(self, index: int, rule: CrossRule) -> None:
        problem = self.merged.source
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
        domain, problem = self.domain[rule.scope], self.merged.source
        for cell in range(self.cells):
            if domain[cell] >= 0 and not (rule.kind == "even" and self.domain["closed"][cell]):
                total = out[domain[cell]]
                for flavor, amount in zip(rule.members, rule.counts, strict=True):
                    if (flavor, cell) in self._many:
                        total.add(self._many[flavor, cell], amount)
        for one in problem.classes:
            if index in one.fixed_members and one.domain.get(rule.scope, -1) in out:
                out[one.domain[rule.scope]].constant += one.count * one.fixed_members[index]
        return out

    # -- what it says --------------------------------------------------------------------------------------------------

    def _named(self, values: Sequence[int]) -> Result:
        """Return the answer in which members are where the program says, and others where there is a place left."""
        merged, source = self.merged, self.merged.source
        twins = merged.twins()
        members = Counter({key: values[variable] for key, variable in self._many.items() if values[variable]})
        waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
        for flavor, cell in sorted(members):
            waiting[int(merged.flavor[flavor]), cell].append(flavor)
        others = self._others(members)
        empty = [one.count for one in source.classes]
        made: Counter[tuple[int, Pattern]] = Counter()
        for number, cell, pattern in self._placed(values):
            shape = source.classes[number].shape
            held: Counter[int] = Counter()
            for place, count in pattern:
                new, rest = int(merged.problem.shapes[shape].flavor[place]), count
                for flavor, left, key in (
                    *((one, members, (one, cell)) for one in waiting.get((new, cell), ())),
                    *((one, others, (one, -1)) for one in merged.named.get(new, ())),
                ):
                    take = min(rest, left[key])
                    if take:
                        held[twins[shape][place, flavor]] += take
                        left[key] -= take
                        rest -= take
                if rest:
                    held[twins[shape][place, -1]] += rest
            made[number, tuple(sorted(held.items()))] += 1
            empty[number] -= 1
        made.update({(number, ()): count for number, count in enumerate(empty) if count})
        return self._whole(made)

    def _placed(self, values: Sequence[int]) -> Iterator[tuple[int, int, Pattern]]:
        """Yield (class, cell, pattern) of each host that holds any."""
        left = {key: self._each(classes) for key, classes in self.hosts.items()}
        for (lot, cell), variable in self._hosts_of.items():
            for _ in range(values[variable]):
                yield next(left[lot[0], cell]), cell, lot[1]

    def _each(self, classes: Sequence[int]) -> Iterator[int]:
        for number in classes:
            yield from [number] * self.merged.source.classes[number].count

    def _others(self, members: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
        """Return (flavor, -1) -> how many of those under no rule have a place: as many as the members leave."""
        merged, ruled = self.merged, set(self.ruled)
        placed: Counter[int] = Counter()
        for (flavor, _), count in members.items():
            placed[int(merged.flavor[flavor])] += count
        out: Counter[tuple[int, int]] = Counter()
        for new, flavors in merged.named.items():
            rest = sum(merged.source.flavors[one].arriving for one in flavors) - placed[new] - self.found.unplaced[new]
            for one in flavors:
                if one not in ruled:
                    out[one, -1] = min(rest, merged.source.flavors[one].arriving)
                    rest -= out[one, -1]
        return out

    def _whole(self, made: Counter[tuple[int, Pattern]]) -> Result:
        """Return hosts that hold so much as an answer of the source."""
        source = self.merged.source
        out, patterns = source.demand(), []
        phantom = [flavor.phantom for flavor in source.flavors]
        for (number, held), count in sorted(made.items()):
            of = source.shapes[source.classes[number].shape].flavor
            real = tuple(pair for pair in held if not phantom[int(of[pair[0]])])
            counted = tuple(pair for pair in held if phantom[int(of[pair[0]])])
            patterns.append(HostPattern(host_class=number, count=count, placements=real, phantoms=counted))
            for place, many in real:
                out[int(of[place])] -= count * many
        unplaced: IntArray = np.where(phantom, 0, out)
        return Result(
            status="feasible",
            objectives=self.found.objectives,
            patterns=tuple(patterns),
            unplaced=tuple(unplaced.tolist()),
            rounds=self.found.rounds,
            engine=self.found.engine,
        )


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
