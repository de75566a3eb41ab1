"""Groups that rules hold together, gathered in domains of an answer without the rules: where, with hosts to match.

The hosts of an answer that knows counts alone may be any of their kind, and VMs of a group any of their flavor. An
integer program over (hosts that hold the same, domain) and (groups alike, domain) chooses both, so that as few members
as can be find no place in their group's domain. These are left out, for a greedy engine to place. Groups that need as
many VMs of the same flavors are counted, not told apart: the program stays small, however many they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.backends.highs import minimised
from solvers.clock import Clock
from solvers.problem import CrossRule, Problem
from solvers.reductions.lots import Lot, Lots
from solvers.reductions.merged import Merged
from solvers.result import Result

NODES = 1
"""Nodes of HiGHS's tree: its cuts and heuristics at the root do the work."""
LARGEST = 60_000
"""Most counts of hosts and groups that the program decides on."""

Need = tuple[tuple[int, int], ...]
"""(merged flavor, VMs) of a group."""


def can_gather(problem: Problem) -> bool:
    """Tell whether all hard rules hold groups of VMs to come together, none in two groups, in domains of a label."""
    hard = [rule for rule in problem.rules if not rule.is_soft]
    members = [flavor for rule in hard for flavor in rule.members]
    return (
        bool(hard)
        and all(rule.kind == "together" and rule.scope not in ("host", "node") for rule in hard)
        and len({rule.scope for rule in hard}) == 1
        and len(members) == len(set(members))
        and all(one.is_empty and not one.fixed_members for one in problem.classes)
    )


def gathered(problem: Problem, merged: Merged | None, found: Result, *, clock: Clock) -> Result | None:
    """Return an answer to the problem without its rules, merged, as one of the problem: every member that has a place
    has it in its group's domain, others are left out. None where none was found in time.

    Parameters
    ----------
    merged : what the answer is of, None where no two flavors are alike; then there is nothing to choose.
    """
    if merged is None or not found.patterns:
        return None
    rules = {n: rule for n, rule in enumerate(problem.rules) if not rule.is_soft}
    lots = Lots(merged=replace(merged, source=problem), found=found, rules=rules)
    alike = _alike(lots)
    if (len(lots.lots) + len(alike)) * lots.cells > LARGEST:
        return None
    return _Gathering(lots=lots, alike=alike).solve(clock)


def _alike(lots: Lots) -> Mapping[Need, Sequence[CrossRule]]:
    """Return the groups by what they need."""
    demand, flavor = lots.merged.source.demand(), lots.merged.flavor
    out: dict[Need, list[CrossRule]] = defaultdict(list)
    for rule in lots.rules.values():
        need: Counter[int] = Counter()
        for member in rule.members:
            need[int(flavor[member])] += int(demand[member])
        out[tuple(sorted(need.items()))].append(rule)
    return out


@dataclass(slots=True, kw_only=True)
class _Gathering:
    """The program; `alike` groups by what they need."""

    lots: Lots
    alike: Mapping[Need, Sequence[CrossRule]]
    writer: RowWriter = field(default_factory=RowWriter)
    _hosts: dict[tuple[Lot, int], int] = field(default_factory=dict)
    _groups: dict[tuple[Need, int], int] = field(default_factory=dict)

    def solve(self, clock: Clock) -> Result | None:
        """Return the answer with names."""
        self._write()
        answer = minimised(self.writer.model, nodes=NODES, seconds=clock.left_s, interrupt=clock.interrupt)
        return None if answer.values is None or answer.cut else self._read(answer.values)

    def _write(self) -> None:
        at, writer = self.lots.cells_of(), self.writer
        here: dict[tuple[int, int], Sum] = defaultdict(Sum)
        taken: dict[tuple[int, int], Sum] = defaultdict(Sum)
        for lot, count in self.lots.lots.items():
            whole = Sum()
            for cell in at[lot[0]]:
                variable = writer.variable(0, min(self.lots.room(lot[0], cell), count))
                self._hosts[lot, cell] = variable
                whole.add(variable, 1)
                taken[lot[0], cell].add(variable, 1)
                for flavor, amount in self.lots.held(lot):
                    here[flavor, cell].add(variable, amount)
            writer.row(whole, count, count)
        for key, total in taken.items():
            writer.row(total, None, self.lots.room(*key))
        wanted: dict[tuple[int, int], Sum] = defaultdict(Sum)
        open_ = [cell for cell in range(self.lots.cells) if self._domain(cell) >= 0]
        for need, rules in self.alike.items():
            whole = Sum()
            for cell in open_:
                variable = writer.variable(0, len(rules))
                self._groups[need, cell] = variable
                whole.add(variable, 1)
                for flavor, amount in need:
                    wanted[flavor, cell].add(variable, amount)
            writer.row(whole, len(rules), len(rules))
        self._narrow(wanted, here)
        vcpus = [one.vcpus for one in self.lots.merged.problem.flavors]
        for (flavor, cell), total in wanted.items():
            lacking = writer.positive_part(total.plus(here.get((flavor, cell), Sum()), -1))
            self._cost(lacking, max(1, vcpus[flavor]))

    def _narrow(self, wanted: Mapping[tuple[int, int], Sum], here: Mapping[tuple[int, int], Sum]) -> None:
        """Count what those lack that only some cells may hold, beside the groups that are there."""
        lots, writer = self.lots, self.writer
        source = lots.merged.source
        demand = source.demand()
        need: Counter[tuple[int, tuple[int, ...]]] = Counter()
        for flavor in lots.narrow:
            open_ = {lots.cell_of[n] for n, one in enumerate(source.classes) if one.allowed[flavor]}
            need[int(lots.merged.flavor[flavor]), tuple(sorted(open_))] += int(demand[flavor])
        for (new, cells), many in need.items():
            lacking = Sum(many)
            for cell in cells:
                lacking.plus(here.get((new, cell), Sum()), -1)
                lacking.plus(wanted.get((new, cell), Sum()), 1)
            self._cost(writer.positive_part(lacking), max(1, lots.merged.problem.flavors[new].vcpus))

    def _cost(self, total: Sum, each: int) -> None:
        index, factor = total.arrays()
        self.writer.proto.objective.vars.extend(index.tolist())
        self.writer.proto.objective.coeffs.extend((factor * each).tolist())

    def _domain(self, cell: int) -> int:
        scope = next(iter(self.lots.rules.values())).scope
        return self.lots.domain[scope][cell]

    def _read(self, values: Sequence[int]) -> Result:
        demand = self.lots.merged.source.demand()
        many: dict[tuple[int, int], int] = {}
        cells: dict[Need, list[int]] = defaultdict(list)
        for (need, cell), variable in self._groups.items():
            cells[need] += [cell] * values[variable]
        for need, rules in self.alike.items():
            for rule, cell in zip(rules, cells[need], strict=True):
                many.update({(member, cell): int(demand[member]) for member in rule.members})
        return self.lots.named({key: values[variable] for key, variable in self._hosts.items()}, many)
