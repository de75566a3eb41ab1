"""How far rules stay broken at least, whatever so few moves mend: a VM that changes host mends so much of each rule.

What a rule over hosts lacks at the start goes down only when a member leaves its domain, and then by no more than one
VM can bring (`_by_a_move`). Rules with common members are taken together: one move may mend some of each of them. Of
all such sets the moves that mend most bound what the moves allowed can mend.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from solvers.objective import Objective, RuleExcess
from solvers.pattern_sums import PatternSums
from solvers.problem import CrossRule, Problem
from solvers.proofs.no_room import crowded
from solvers.proofs.savings import Savings, moves_to_save, saved
from solvers.result import HostPattern
from solvers.rule_excess import excess_of, members_at_start


def broken_floor(problem: Problem, objective: Objective) -> int:
    """Return an integer that no plan's excess of rules over hosts is below, by the limit on moves; 0 without a limit.

    Excess that is counted in rows or for single VMs is not in it.
    """
    limits = [limit for limit in (problem.budget.moves, problem.budget.migrations) if limit is not None]
    if not limits:
        return 0
    broken = _Broken.of(problem, objective)
    steps = broken.steps()
    floor = saved(steps, None) - saved(steps, min(limits))
    if problem.budget.moves is not None:
        # A VM that makes room may do so by another node of its host: that is a move, but no migration.
        halves = broken.halves()
        floor = max(floor, -(-(saved(halves, None) - saved(halves, problem.budget.moves)) // 2))
    return floor


def mending_moves(problem: Problem, objective: Objective, most: int) -> int:
    """Return how many VMs have to change host at least for an objective to be no more than `most`."""
    steps = _Broken.of(problem, objective).steps()
    return moves_to_save(steps, saved(steps, None) - most)


@dataclass(slots=True, kw_only=True)
class _Broken:
    """What is broken at the start.

    Attributes
    ----------
    sets : the rules of each set that has members in common. total : what each lacks. most : what one move mends of it
    at most.
    """

    problem: Problem
    state: PatternSums
    sets: list[list[int]]
    total: list[int]
    most: list[int]

    @classmethod
    def of(cls, problem: Problem, objective: Objective) -> _Broken:
        """Find the rules that count towards an objective and that only moves can mend."""
        now = tuple(
            HostPattern(host_class=number, count=one.count, placements=one.content)
            for number, one in enumerate(problem.classes)
        )
        made = cls(problem=problem, state=PatternSums.of(problem, now), sets=[], total=[], most=[])
        term = objective.term(RuleExcess)
        root: dict[int, int] = {}

        def find(flavor: int) -> int:
            while root.setdefault(flavor, flavor) != flavor:
                root[flavor] = root[root[flavor]]
                flavor = root[flavor]
            return flavor

        broken: list[tuple[int, tuple[int, ...], int, int]] = []
        for index, rule in enumerate(problem.rules):
            if term is None or rule.goal != term.goal or not rule.weight:
                continue
            each = _by_a_move(problem, made.state, index)
            excess = 0 if each is None else sum(excess_of(problem, made.state, index)[1].values())
            moving = rule.members if rule.kind != "apart" else (*rule.members, *problem.rules[rule.against].members)
            if each is not None and excess and moving:
                broken.append((index, moving, rule.weight * excess, rule.weight * min(each, excess)))
                for flavor in moving:
                    root[find(flavor)] = find(moving[0])
        number: dict[int, int] = {}
        by_flavor: dict[int, int] = defaultdict(int)
        for index, moving, excess, each in broken:
            at = number.setdefault(find(moving[0]), len(number))
            if at == len(made.sets):
                made.sets.append([])
                made.total.append(0)
            made.sets[at].append(index)
            made.total[at] += excess
            for flavor in set(moving):
                by_flavor[flavor] += each
        made.most = [0] * len(made.sets)
        for flavor, each in by_flavor.items():
            at = number[find(flavor)]
            made.most[at] = max(made.most[at], each)
        return made

    def steps(self) -> Savings:
        """Return what moves can mend."""
        return [step for at in range(len(self.sets)) for step in self._steps_of(at)]

    def halves(self) -> Savings:
        """Return twice what moves can mend, where groups for which there is no room take two moves each."""
        alone = {index: len(rules) == 1 for rules in self.sets for index in rules}
        double = crowded(self.problem, self.state, alone) if alone else set()
        steps: Savings = []
        for at, rules in enumerate(self.sets):
            each = 1 if len(rules) == 1 and rules[0] in double else 2
            steps += [(each * saving, many * (2 if each == 1 else 1)) for saving, many in self._steps_of(at)]
        return steps

    def _steps_of(self, at: int) -> Savings:
        whole, rest = divmod(self.total[at], self.most[at])
        return [(self.most[at], whole), (rest, 1)]


def _by_a_move(problem: Problem, state: PatternSums, index: int) -> int | None:
    """Return what one VM that changes host can mend of a rule; None where other things can mend it too.

    Of an ``apart`` the others in a domain count for nothing once all members have left it, so a member is worth its
    share of them. Members that arrive use more domains (``least``) or even them out without any move.
    """
    rule: CrossRule = problem.rules[index]
    if rule.scope == "node" or rule.kind in ("count", "used", "load"):
        return None
    if rule.kind in ("least", "even"):
        arrive = any(problem.flavors[flavor].arriving for flavor in rule.members)
        return None if arrive or rule.amounts else 1 if rule.kind == "least" else 2
    if rule.kind == "apart":
        if problem.rules[rule.against].amounts or rule.amounts:
            return None
        there = members_at_start(problem, state, index)
        over = excess_of(problem, state, index)[1]
        return max((-(-many // there[domain]) for domain, many in over.items() if many), default=1)
    return max(rule.counts, default=1) if rule.kind == "spread" else 1
