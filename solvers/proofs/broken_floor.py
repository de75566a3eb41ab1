"""How far rules stay broken at least, whatever so few moves mend: a VM that changes host mends so much of each rule.

What a rule over hosts lacks at the start goes down only when a member leaves its domain, and then by no more than one
VM can bring (`_by_a_move`). Rules with common members are taken together: one move may mend some of each of them. Of
all such sets the moves that mend most bound what the moves allowed can mend.
"""

from __future__ import annotations

from collections import defaultdict

from solvers.objective import Objective, RuleExcess
from solvers.pattern_sums import PatternSums
from solvers.problem import CrossRule, Problem
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
    steps = _steps(problem, objective)
    return saved(steps, None) - saved(steps, min(limits))


def mending_moves(problem: Problem, objective: Objective, most: int) -> int:
    """Return how many VMs have to change host at least for an objective to be no more than `most`."""
    steps = _steps(problem, objective)
    return moves_to_save(steps, saved(steps, None) - most)


def _steps(problem: Problem, objective: Objective) -> Savings:
    """Return what moves can mend of all that is broken at the start."""
    term = objective.term(RuleExcess)
    if term is None or not any(rule.goal == term.goal for rule in problem.rules):
        return []
    now = tuple(
        HostPattern(host_class=number, count=one.count, placements=one.content)
        for number, one in enumerate(problem.classes)
    )
    state = PatternSums.of(problem, now)
    root: dict[int, int] = {}

    def find(flavor: int) -> int:
        while root.setdefault(flavor, flavor) != flavor:
            root[flavor] = root[root[flavor]]
            flavor = root[flavor]
        return flavor

    broken: list[tuple[tuple[int, ...], int, int]] = []
    for index, rule in enumerate(problem.rules):
        if rule.goal != term.goal or not rule.weight or (each := _by_a_move(problem, state, index)) is None:
            continue
        excess = sum(excess_of(problem, state, index)[1].values())
        moving = rule.members if rule.kind != "apart" else (*rule.members, *problem.rules[rule.against].members)
        if excess and moving:
            broken.append((moving, rule.weight * excess, rule.weight * min(each, excess)))
            for flavor in moving:
                root[find(flavor)] = find(moving[0])
    total: dict[int, int] = defaultdict(int)
    by_flavor: dict[int, int] = defaultdict(int)
    for moving, excess, each in broken:
        total[find(moving[0])] += excess
        for flavor in set(moving):
            by_flavor[flavor] += each
    most: dict[int, int] = defaultdict(int)
    for flavor, each in by_flavor.items():
        most[find(flavor)] = max(most[find(flavor)], each)
    steps: Savings = []
    for one, excess in total.items():
        whole, rest = divmod(excess, most[one])
        steps += [(most[one], whole), (rest, 1)]
    return steps


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
