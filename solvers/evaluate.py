"""The referee: what a set of patterns is worth and what it breaks, from the problem alone.

It shares no code with the engines; tests, and whoever accepts an engine's answer, compare against it. Everything is
computed over (pattern, placement, VMs) triples, never over single hosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solvers.problem import BoolArray, CrossRule, HostClass, IntArray, Objective, Problem
from solvers.result import HostPattern

_LISTED = 20


def evaluate(problem: Problem, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> tuple[int, ...]:
    """Return the value of every objective, in its own integer unit (exact: Python or int64 integers).

    Parameters
    ----------
    patterns : what the hosts hold, covering every host once; phantoms in their own field.
    unplaced : (F,) arriving VMs left out of each flavor.
    """
    state = _State.of(problem, patterns)
    return tuple(_value(problem, state, objective, unplaced) for objective in problem.objectives)


def violations(problem: Problem, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> list[str]:
    """Return what is broken, a line each (at most 20 of a kind): cover, rows, permissions, demand, rules, budget."""
    broken = _malformed(problem, patterns, unplaced)
    if broken:
        return broken
    state = _State.of(problem, patterns)
    return [
        *_rows(problem, patterns, state),
        *_permissions(problem, patterns, state),
        *_demand(problem, state, unplaced),
        *_rules(problem, state),
        *_budget(problem, state),
    ]


@dataclass(frozen=True)
class _State:
    """Sums over the N patterns.

    Attributes
    ----------
    count : (N,) hosts that hold the pattern.
    vms : (N, F) VMs of each flavor on one host, phantoms too; `before` : (N, F) the same at the start.
    kept : (N, F) VMs that change neither host nor node.
    loads : a pattern, (K,) units taken by VMs; `taken` the same with phantoms.
    """

    patterns: Sequence[HostPattern]
    count: IntArray
    vms: IntArray
    before: IntArray
    kept: IntArray
    loads: list[IntArray]
    taken: list[IntArray]

    @classmethod
    def of(cls, problem: Problem, patterns: Sequence[HostPattern]) -> _State:
        flavors, number = len(problem.flavors), len(patterns)
        vms = np.zeros((number, flavors), dtype=np.int64)
        before = np.zeros((number, flavors), dtype=np.int64)
        kept = np.zeros((number, flavors), dtype=np.int64)
        loads, taken = [], []
        contents = [problem.content_of(index) for index in range(len(problem.classes))]
        for n, pattern in enumerate(patterns):
            host_class = problem.classes[pattern.host_class]
            shape = problem.shapes[host_class.shape]
            load = _sum_of(shape.use, pattern.placements)
            loads.append(load)
            taken.append(load + _sum_of(shape.use, pattern.phantoms) if pattern.phantoms else load)
            for placement, many in (*pattern.placements, *pattern.phantoms):
                vms[n, shape.flavor[placement]] += many
            before[n] = contents[pattern.host_class]
            if host_class.content or host_class.floating:
                here = dict(pattern.placements)
                for placement, many in host_class.content:
                    kept[n, shape.flavor[placement]] += min(many, here.get(placement, 0))
                for flavor, many in host_class.floating:
                    kept[n, flavor] += min(many, vms[n, flavor] - kept[n, flavor])
        settles = np.array([flavor.settles for flavor in problem.flavors], dtype=np.bool_)
        kept = np.where(settles, np.minimum(before, vms), kept)
        return cls(
            patterns=patterns,
            count=np.array([pattern.count for pattern in patterns], dtype=np.int64),
            vms=vms,
            before=before,
            kept=kept,
            loads=loads,
            taken=taken,
        )

    @property
    def left(self) -> IntArray:
        """Return (N, F): VMs that leave one host."""
        left: IntArray = np.maximum(0, self.before - self.vms)
        return left

    @property
    def came(self) -> IntArray:
        """Return (N, F): VMs on one host over what was there: migrants and arrivals."""
        came: IntArray = np.maximum(0, self.vms - self.before)
        return came


def _sum_of(table: IntArray, entries: Sequence[tuple[int, int]]) -> IntArray:
    if not entries:
        return np.zeros(table.shape[1], dtype=np.int64)
    index, many = zip(*entries, strict=True)
    total: IntArray = np.array(many, dtype=np.int64) @ table[list(index)]
    return total


def _value(problem: Problem, state: _State, objective: Objective, unplaced: Sequence[int]) -> int:
    total = 0
    if objective.unplaced is not None:
        total += int(np.dot(objective.unplaced, np.array(unplaced, dtype=np.int64)))
    real = _real(problem)
    for n, pattern in enumerate(state.patterns):
        host_class = problem.classes[pattern.host_class]
        shape = problem.shapes[host_class.shape]
        one = 0
        if objective.cost is not None and objective.cost in shape.cost:
            table = shape.cost[objective.cost]
            one += sum(int(table[placement]) * many for placement, many in (*pattern.placements, *pattern.phantoms))
        if objective.hinge is not None:
            for hinge in shape.hinges:
                if hinge.goal == objective.hinge:
                    load = int(host_class.fixed[hinge.row] + state.loads[n][hinge.row])
                    one += hinge.slope * max(0, hinge.scale * load - hinge.offset)
        if objective.shortage is not None and host_class.room is not None:
            over = np.maximum(0, state.loads[n] - host_class.room)
            one += sum(
                max(sum(int(over[row]) * each for row, each in family) for family in shortage.apart)
                for shortage in shape.shortages
                if shortage.part == objective.shortage
            )
        if objective.host_cost and any(many for _, many in pattern.placements):
            one += host_class.cost
        if objective.stay_penalty:
            one += int((host_class.stay_penalty * state.vms[n])[real].sum())
        if objective.migrations:
            one += objective.migrations * int(state.left[n].sum()) if not host_class.is_empty else 0
        if objective.moves:
            one += objective.moves * int((state.before[n] - state.kept[n]).sum())
        total += one * pattern.count
    if objective.cross_rules:
        total += _rule_excess(problem, state, "rules")
    if objective.soft_rules is not None:
        total += _rule_excess(problem, state, objective.soft_rules)
    return total


def _real(problem: Problem) -> BoolArray:
    return np.array([not flavor.phantom for flavor in problem.flavors], dtype=np.bool_)


def _rule_excess(problem: Problem, state: _State, goal: str) -> int:
    return sum(
        rule.weight * sum(_excess(problem, state, index)[0].values())
        for index, rule in enumerate(problem.rules)
        if rule.goal == goal
    )


def _excess(problem: Problem, state: _State, index: int) -> tuple[dict[object, int], dict[object, int]]:
    """Return a rule's excess by domain in the end, and at the start; of a rule as a whole the entry is ``rule``."""
    rule = problem.rules[index]
    if rule.kind == "count":
        return {}, {}
    ends, starts = _members(problem, state, rule, index)
    if rule.kind == "apart":
        against = _members(problem, state, problem.rules[rule.against], rule.against)
        first, second = (
            {domain: max(0, others[domain] - rule.max_per) if here.get(domain) else 0 for domain in others}
            for here, others in zip((ends, starts), against, strict=True)
        )
        return first, second
    first, second = (_of_kind(rule, found) for found in (ends, starts))
    return first, second


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
    problem: Problem, state: _State, rule: CrossRule, index: int
) -> tuple[dict[object, int], dict[object, int]]:
    """Return members in each domain in the end and at the start."""
    ends: dict[object, int] = defaultdict(int)
    starts: dict[object, int] = defaultdict(int)
    chosen = list(rule.members)
    amounts = np.array(rule.amounts or [1] * len(chosen), dtype=np.int64)
    for n, pattern in enumerate(state.patterns):
        host_class = problem.classes[pattern.host_class]
        if rule.scope == "node":
            fixed = host_class.fixed_on.get(index, np.zeros(problem.shapes[host_class.shape].nodes, dtype=np.int64))
            floating = sum(many for flavor, many in host_class.floating if flavor in rule.members)
            now = fixed + _on_nodes(problem, rule, host_class, pattern.placements)
            then = fixed + floating + _on_nodes(problem, rule, host_class, host_class.content)
            for copy in range(pattern.count):
                for node in range(len(fixed)):
                    ends[n, copy, node] += int(now[node])
                    starts[n, copy, node] += int(then[node])
            continue
        if rule.kind == "even" and host_class.closed:
            continue
        immovable = host_class.fixed_members.get(index, 0)
        many, before = (immovable + int(amounts @ vms[n, chosen]) for vms in (state.vms, state.before))
        if rule.kind == "hosts":
            many, before = int(many > 0), int(before > 0)
        domain = -1 if rule.scope == "host" else host_class.domain.get(rule.scope, -1)
        if domain >= 0:
            ends[domain] += many * pattern.count
            starts[domain] += before * pattern.count
        elif rule.scope == "host":
            for copy in range(pattern.count):
                ends[-1, n, copy] += many
                starts[-1, n, copy] += before
    return ends, starts


def _on_nodes(problem: Problem, rule: CrossRule, host_class: HostClass, placed: Sequence[tuple[int, int]]) -> IntArray:
    """Return (nodes,): members of a rule so placed on a host of a class that have CPUs on each node."""
    shape = problem.shapes[host_class.shape]
    out = np.zeros(shape.nodes, dtype=np.int64)
    for placement, many in placed:
        if int(shape.flavor[placement]) in rule.members:
            out += many * shape.touches[placement]
    return out


def _malformed(problem: Problem, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> list[str]:
    broken = []
    hosts = [0] * len(problem.classes)
    for n, pattern in enumerate(patterns):
        if not 0 <= pattern.host_class < len(hosts) or pattern.count < 1:
            broken.append(f"pattern {n}: class {pattern.host_class}, {pattern.count} hosts")
            continue
        hosts[pattern.host_class] += pattern.count
        shape = problem.shapes[problem.classes[pattern.host_class].shape]
        for phantom, entries in ((False, pattern.placements), (True, pattern.phantoms)):
            seen = [placement for placement, _ in entries]
            if len(seen) != len(set(seen)):
                broken.append(f"pattern {n}: a placement is named twice")
            for placement, many in entries:
                if not 0 <= placement < shape.placements or many < 0:
                    broken.append(f"pattern {n}: {many} VMs at placement {placement} of {shape.placements}")
                elif problem.flavors[shape.flavor[placement]].phantom != phantom:
                    broken.append(f"pattern {n}: placement {placement} is among the {'phantoms' if phantom else 'VMs'}")
    for number, found in enumerate(hosts):
        if found != problem.classes[number].count:
            broken.append(f"class {number}: {found} of {problem.classes[number].count} hosts have a pattern")
    if len(unplaced) != len(problem.flavors):
        broken.append(f"{len(unplaced)} counts of unplaced VMs for {len(problem.flavors)} flavors")
    return broken[:_LISTED]


def _rows(problem: Problem, patterns: Sequence[HostPattern], state: _State) -> list[str]:
    broken: list[str] = []
    for n, pattern in enumerate(patterns):
        host_class = problem.classes[pattern.host_class]
        over = np.flatnonzero(state.taken[n] > host_class.capacity)
        names = problem.shapes[host_class.shape].row_names
        broken.extend(
            f"pattern {n} (class {pattern.host_class}): row {names[row]} takes {state.taken[n][row]}"
            f" of {host_class.capacity[row]}"
            for row in over
        )
        broken.extend(
            f"pattern {n} (class {pattern.host_class}): row {names[row]} is over its room {host_class.room[row]}"
            f" and flavor {flavor} takes more of it than now"
            for row, flavor in _newcomers(problem, pattern, state.taken[n])
            if host_class.room is not None
        )
    return broken[:_LISTED]


def _newcomers(problem: Problem, pattern: HostPattern, taken: IntArray) -> list[tuple[int, int]]:
    """Return (row, flavor) where a row is over its room and a flavor takes more of it than at the start."""
    host_class = problem.classes[pattern.host_class]
    shape = problem.shapes[host_class.shape]
    if host_class.room is None:
        return []
    out = []
    for row in np.flatnonzero(taken > host_class.room).tolist():
        then: dict[int, int] = defaultdict(int)
        for placement, many in host_class.content:
            then[int(shape.flavor[placement])] += many * int(shape.use[placement, row])
        now: dict[int, int] = defaultdict(int)
        for placement, many in (*pattern.placements, *pattern.phantoms):
            now[int(shape.flavor[placement])] += many * int(shape.use[placement, row])
        out += [(row, flavor) for flavor, units in sorted(now.items()) if units > then[flavor]]
    return out


def _permissions(problem: Problem, patterns: Sequence[HostPattern], state: _State) -> list[str]:
    broken: list[str] = []
    for n, pattern in enumerate(patterns):
        host_class = problem.classes[pattern.host_class]
        shape = problem.shapes[host_class.shape]
        for flavor in np.flatnonzero(~host_class.allowed & (state.vms[n] > state.before[n])):
            broken.append(f"pattern {n} (class {pattern.host_class}): flavor {flavor} may not arrive")
        content = dict(host_class.content)
        for placement, many in pattern.placements:
            if shape.stay_only[placement] and many > content.get(placement, 0):
                broken.append(f"pattern {n} (class {pattern.host_class}): {many} VMs at stay-only {placement}")
    return broken[:_LISTED]


def _demand(problem: Problem, state: _State, unplaced: Sequence[int]) -> list[str]:
    broken = []
    placed = state.count @ state.vms
    for f, (flavor, demand) in enumerate(zip(problem.flavors, problem.demand(), strict=True)):
        if flavor.phantom:
            continue
        if not 0 <= unplaced[f] <= flavor.arriving:
            broken.append(f"flavor {f}: {unplaced[f]} of {flavor.arriving} arriving VMs unplaced")
        if placed[f] + unplaced[f] != demand:
            broken.append(f"flavor {f}: {placed[f]} placed and {unplaced[f]} unplaced of {demand}")
    return broken[:_LISTED]


def _rules(problem: Problem, state: _State) -> list[str]:
    broken: list[str] = []
    for index, rule in enumerate(problem.rules):
        if rule.is_soft:
            continue
        ends, starts = _excess(problem, state, index)
        broken.extend(
            f"rule {rule.name}: excess {many} in {domain}, {starts.get(domain, 0)} at the start"
            for domain, many in ends.items()
            if many > starts.get(domain, 0)
        )
    return broken[:_LISTED]


def _budget(problem: Problem, state: _State) -> list[str]:
    budget = problem.budget
    broken: list[str] = []
    moves = int(state.count @ (state.before - state.kept).sum(axis=1))
    migrations = int(state.count @ state.left.sum(axis=1))
    for name, found, limit in (("moves", moves, budget.moves), ("migrations", migrations, budget.migrations)):
        if limit is not None and found > limit:
            broken.append(f"{found} {name}, at most {limit} allowed")
    if budget.host_out is not None:
        for n in np.flatnonzero(state.left.sum(axis=1) > budget.host_out):
            broken.append(f"pattern {n}: {state.left[n].sum()} VMs leave a host, at most {budget.host_out} allowed")
    if budget.host_in is not None and not _arrivals_explain(problem, state, budget.host_in):
        broken.append(f"more than {budget.host_in} VMs migrate to a host")
    return broken[:_LISTED]


def _arrivals_explain(problem: Problem, state: _State, host_in: int) -> bool:
    """Tell whether new VMs can be told from migrants so that no host receives more than `host_in` migrants.

    VMs of a flavor are interchangeable: this is a flow from each flavor's arrivals to the hosts that receive too many.
    """
    came = state.came * _real(problem)
    over = np.maximum(0, came.sum(axis=1) - host_in)
    if not over.any():
        return True
    arrived = np.maximum(0, (state.count @ came) - (state.count @ state.left))
    from ortools.graph.python import max_flow  # type: ignore[import-untyped]

    flow = max_flow.SimpleMaxFlow()
    flavors, hosts = len(problem.flavors), len(state.patterns)
    source, sink = flavors + hosts, flavors + hosts + 1
    for flavor, many in enumerate(arrived.tolist()):
        flow.add_arc_with_capacity(source, flavor, many)
    for n in np.flatnonzero(over):
        flow.add_arc_with_capacity(flavors + int(n), sink, int(over[n] * state.count[n]))
        for flavor in np.flatnonzero(came[n]).tolist():
            flow.add_arc_with_capacity(flavor, flavors + int(n), int(came[n, flavor] * state.count[n]))
    flow.solve(source, sink)
    return int(flow.optimal_flow()) == int(over @ state.count)
