"""A problem with those of its rules for which groups of VMs can be tied to domains, numbered anew."""

from __future__ import annotations

from dataclasses import replace

from solvers.problem import CrossRule, Problem


def with_ties(problem: Problem, *, soft: bool) -> Problem:
    """Return the problem with its rules that spread VMs, each as much, or hold them together; `soft` ones too if said.

    Others are left out, which relaxes the problem; soft ones are kept as if they were hard, which restricts it.
    """
    kept = [number for number, rule in enumerate(problem.rules) if _can_tie(rule) and (soft or not rule.is_soft)]
    if len(kept) == len(problem.rules):
        return problem
    place = {number: new for new, number in enumerate(kept)}
    classes = tuple(
        replace(
            one,
            fixed_members={place[rule]: many for rule, many in one.fixed_members.items() if rule in place},
            fixed_on={place[rule]: on for rule, on in one.fixed_on.items() if rule in place},
        )
        for one in problem.classes
    )
    return replace(problem, classes=classes, rules=tuple(problem.rules[number] for number in kept))


def _can_tie(rule: CrossRule) -> bool:
    spread = rule.kind == "spread" and not rule.amounts and rule.scope not in ("host", "node")
    return spread or rule.kind == "together"
