"""Rules that are broken at the start: mended by few moves, and never at the cost of another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.live_rules import GOALS, broken_fleet
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.rules import Rule, RuleKind
from placer.planning.compile.compile import compile_fleet
from solvers.evaluate import evaluate, violations
from solvers.problem import MoveBudget, Problem
from solvers.proofs.first_claims import proven_first
from solvers.starts.best_fit import solve_greedy
from solvers.starts.mend_rules import rules_mended


def _problem(seed: int, moves: int) -> Problem:
    fleet = broken_fleet(seed=seed, hosts=48, racks=6, groups=9, broken=6)
    return compile_fleet(fleet, parse_goals(GOALS, fleet), MoveBudget(moves=moves)).problem


def test_breaks_that_one_move_each_mends_are_mended_and_proven() -> None:
    """With a move for each break none is left, with fewer moves as many as those cannot mend; both are proven."""
    for moves in (6, 2):
        problem = _problem(0, moves)
        found = proven_first(problem, rules_mended(problem, solve_greedy(problem)))
        assert not violations(problem, found.patterns, found.unplaced)
        assert next(row.value for row in found.objectives if row.goal == "rules") == 6 - moves
        assert found.status == "optimal"


def test_nothing_is_mended_without_moves() -> None:
    """A limit of no moves leaves the answer as it is, and so does the end of the time."""
    problem = _problem(0, 0)
    start = solve_greedy(problem)
    assert rules_mended(problem, start) is start
    problem = replace(problem, budget=MoveBudget(moves=6))
    assert rules_mended(problem, start, lambda: True) is start
    assert evaluate(problem, start.patterns, start.unplaced)[-1] == 0


APP = {"app": "web"}
KINDS: dict[str, tuple[Rule, str, int]] = {
    "more domains": (Rule(kind=RuleKind.SPREAD, members=APP, scope="rack", domains_used=3), "00 00 01", 2),
    "more hosts": (Rule(kind=RuleKind.SPREAD, members=APP, scope="host", domains_used=3), "00 00 00", 2),
    "even": (Rule(kind=RuleKind.EVEN, members=APP, scope="rack", skew=1), "00 01 00 10 10 11", 2),
    "one is empty": (Rule(kind=RuleKind.EVEN, members=APP, scope="rack", skew=1), "00 00 01 10 20", 1),
    "fewer hosts": (Rule(kind=RuleKind.SHARE, members=APP, scope="rack", of="hosts", most=1), "00 01 01 10 11", 2),
    "fewer vCPUs": (Rule(kind=RuleKind.SHARE, members=APP, scope="rack", of="vcpus", most=4), "00 01 01", 1),
    "together on a node": (Rule(kind=RuleKind.AFFINITY, members=APP, scope="node"), "00 00 10", 1),
    "together on a host": (Rule(kind=RuleKind.AFFINITY, members=APP, scope="host"), "00 00 01", 1),
}
"""A rule, where its VMs are (rack and host there), and the moves that mend it."""


def _running(build: Any, rule: Rule, where: str, *, cpus: int = 8, others: str = "") -> Fleet:
    """Return four racks of two hosts with VMs of two vCPUs each, those of the group and others."""
    hosts = [
        build.host(f"h{rack}{n}", build.topology(1, cpus), labels={"rack": f"r{rack}"})
        for rack in range(4)
        for n in range(2)
    ]
    placed = [(name, labels) for text, labels in ((where, APP), (others, {})) for name in text.split()]
    vms = [
        build.vm(f"v{n}", build.spec(2, 1, labels=labels), current=build.now(f"h{name}", (0,)))
        for n, (name, labels) in enumerate(placed)
    ]
    return build.fleet(hosts, vms, [rule])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_mended_by_the_fewest_moves(build: Any, kind: str) -> None:
    """With so many moves nothing is broken any more; with one fewer something is, and less than before."""
    rule, where, moves = KINDS[kind]
    fleet = _running(build, rule, where)
    found = {}
    for limit in (moves, moves - 1):
        problem = compile_fleet(fleet, parse_goals(GOALS, fleet), MoveBudget(moves=limit)).problem
        start = solve_greedy(problem)
        answer = rules_mended(problem, start)
        assert not violations(problem, answer.patterns, answer.unplaced)
        found[limit] = evaluate(problem, answer.patterns, answer.unplaced)
        assert found[limit] <= evaluate(problem, start.patterns, start.unplaced)
    at = next(n for n, one in enumerate(problem.objectives) if one.goal == "rules")
    assert found[moves][at] == 0 < found[moves - 1][at]
    assert found[moves][-1] == moves


def test_a_vm_leaves_first_so_that_another_can_come(build: Any) -> None:
    """The rack of the group is full: with two moves one that is in no rule makes way, with one nothing is mended."""
    rule = Rule(kind=RuleKind.AFFINITY, members=APP, scope="rack")
    fleet = _running(build, rule, "00 01 10", cpus=4, others="00 01")
    for moves, left in ((2, 0), (1, 1)):
        problem = compile_fleet(fleet, parse_goals(GOALS, fleet), MoveBudget(moves=moves)).problem
        answer = rules_mended(problem, solve_greedy(problem))
        assert not violations(problem, answer.patterns, answer.unplaced)
        assert next(row.value for row in answer.objectives if row.goal == "rules") == left
