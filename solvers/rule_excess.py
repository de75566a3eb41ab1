"""How far patterns of hosts break rules over several hosts: excess by rule and domain, in the end and at the start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from solvers.pattern_sums import PatternSums
from solvers.problem import LOAD_SCALE, CrossRule, HostClass, IntArray, Problem


def weighed_excess(problem: Problem, state: PatternSums, goal: str) -> int:
    """Return the excess of all rules that count towards a goal, weighed."""
    return sum(
        rule.weight * sum(excess_of(problem, state, index)[0].values())
        for index, rule in enumerate(problem.rules)
        if rule.goal == goal
    )


def excess_of(problem: Problem, state: PatternSums, index: int) -> tuple[dict[object, int], dict[object, int]]:
    """Return a rule's excess by domain in the end, and at the start; of a rule as a whole the entry is ``rule``."""
    rule = problem.rules[index]
    if rule.kind == "count":
        return {}, {}
    if rule.kind == "used":
        return _charges(problem, state, rule, index)
    if rule.kind == "load":
        return _uneven(problem, state, rule), {}
    if rule.kind == "apart" and rule.scope == "host" and _meet_nowhere(problem, state, rule, index):
        return {}, {}
    ends, starts = _members(problem, state, rule, index)
    if rule.kind == "apart":
        against = _members(problem, state, problem.rules[rule.against], rule.against)
        first, second = (
            {domain: max(0, others.get(domain, 0) - rule.max_per) for domain, many in here.items() if many}
            for here, others in zip((ends, starts), against, strict=True)
        )
        return first, second
    first, second = (_of_kind(rule, found) for found in (ends, starts))
    return first, second


def _meet_nowhere(problem: Problem, state: PatternSums, rule: CrossRule, index: int) -> bool:
    """Tell whether no host holds members of both groups of a rule: of thousands of rules that is so of most."""
    fixed = any(index in one.fixed_members or rule.against in one.fixed_members for one in problem.classes)
    others = problem.rules[rule.against].members
    return not fixed and state.holders(rule.members).isdisjoint(state.holders(others))


def members_at_start(problem: Problem, state: PatternSums, index: int) -> dict[object, int]:
    """Return what the members of a rule count in each domain at the start."""
    return _members(problem, state, problem.rules[index], index)[1]


def _charges(
    problem: Problem, state: PatternSums, rule: CrossRule, index: int
) -> tuple[dict[object, int], dict[object, int]]:
    """Return what hosts that hold a member count, by pattern."""
    chosen = list(rule.members)
    found: list[dict[object, int]] = [{}, {}]
    for n, pattern in enumerate(state.patterns):
        host_class = problem.classes[pattern.host_class]
        for out, vms in zip(found, (state.vms, state.before), strict=True):
            if host_class.fixed_members.get(index, 0) or vms[n, chosen].any():
                out[n] = pattern.count * host_class.charges.get(rule.goal, 0)
    return found[0], found[1]


def _uneven(problem: Problem, state: PatternSums, rule: CrossRule) -> dict[object, int]:
    """Return by how much what each domain carries is above the steps of a load: a soft rule, the start is no matter."""
    had = problem.had(rule)
    carried: dict[object, int] = dict.fromkeys(had, 0)
    for pattern in state.patterns:
        domain = problem.classes[pattern.host_class].domain.get(rule.scope, -1)
        if domain in carried:
            carried[domain] += pattern.count * problem.load_of(rule, pattern.host_class, pattern.placements)
    return {
        domain: sum(max(0, LOAD_SCALE * many - step * had[domain]) for step in rule.steps)
        for domain, many in carried.items()
    }


def _of_kind(rule: CrossRule, found: Mapping[object, int]) -> dict[object, int]:
    """Return the excess that members in each domain make."""
    if rule.kind in ("spread", "hosts"):
        return {domain: max(0, many - rule.max_per) for domain, many in found.items()}
    if rule.kind == "even":
        return {"rule": max(0, max(found.values(), default=0) - min(found.values(), default=0) - rule.max_per)}
    used = sum(1 for many in found.values() if many)
    if rule.kind == "least":
        return {"rule": max(0, min(rule.max_per, sum(found.values())) - used)}
    return {"rule": max(0, used - 1)}


def _members(
    problem: Problem, state: PatternSums, rule: CrossRule, index: int
) -> tuple[dict[object, int], dict[object, int]]:
    """Return members in each domain in the end and at the start."""
    if rule.scope == "node":
        return _members_on_nodes(problem, state, rule, index)
    chosen, amounts = np.array(rule.members, dtype=np.int64), np.array(rule.counts, dtype=np.int64)
    fixed = [number for number, one in enumerate(problem.classes) if index in one.fixed_members]
    if rule.kind == "even":
        # Of these the domain that has fewest counts too, and that may have none.
        left_out = np.array([rule.leaves_out(one) for one in problem.classes], dtype=np.bool_)
        rows = np.flatnonzero(~left_out[state.host_class])
    else:
        rows = state.holding(rule.members)
        if fixed:
            rows = np.union1d(rows, np.flatnonzero(np.isin(state.host_class, fixed)))
    many, before = (vms[rows[:, None], chosen] @ amounts for vms in (state.vms, state.before))
    for number in fixed:
        own = np.where(state.host_class[rows] == number, problem.classes[number].fixed_members[index], 0)
        many, before = many + own, before + own
    if rule.kind == "hosts":
        many, before = (many > 0).astype(np.int64), (before > 0).astype(np.int64)
    hosts, domain = state.count[rows], None if rule.scope == "host" else state.domains(problem, rule.scope)[rows]
    ends: dict[object, int] = defaultdict(int)
    starts: dict[object, int] = defaultdict(int)
    for n, pattern in enumerate(rows.tolist()):
        now, then = int(many[n]), int(before[n])
        if domain is None:
            for copy in range(int(hosts[n])):
                ends[-1, pattern, copy] = now
                starts[-1, pattern, copy] = then
        elif domain[n] >= 0:
            ends[int(domain[n])] += now * int(hosts[n])
            starts[int(domain[n])] += then * int(hosts[n])
    return ends, starts


def _members_on_nodes(
    problem: Problem, state: PatternSums, rule: CrossRule, index: int
) -> tuple[dict[object, int], dict[object, int]]:
    """Return members on each node in the end and at the start."""
    ends: dict[object, int] = {}
    starts: dict[object, int] = {}
    for n, pattern in enumerate(state.patterns):
        host_class = problem.classes[pattern.host_class]
        fixed = host_class.fixed_on.get(index, np.zeros(problem.shapes[host_class.shape].nodes, dtype=np.int64))
        floating = sum(many for flavor, many in host_class.floating if flavor in rule.members)
        now = fixed + _on_nodes(problem, rule, host_class, pattern.placements)
        then = fixed + floating + _on_nodes(problem, rule, host_class, host_class.content)
        for copy in range(pattern.count):
            for node in range(len(fixed)):
                ends[n, copy, node] = int(now[node])
                starts[n, copy, node] = int(then[node])
    return ends, starts


def _on_nodes(problem: Problem, rule: CrossRule, host_class: HostClass, placed: Sequence[tuple[int, int]]) -> IntArray:
    """Return (nodes,): members of a rule so placed on a host of a class that have CPUs on each node."""
    shape = problem.shapes[host_class.shape]
    out = np.zeros(shape.nodes, dtype=np.int64)
    for placement, many in placed:
        if int(shape.flavor[placement]) in rule.members:
            out += many * shape.touches[placement]
    return out
