"""The referee: what a set of patterns is worth and what it breaks, from the problem alone.

It shares no code with the engines; tests, and whoever accepts an engine's answer, compare against it. Everything is
computed over (pattern, placement, VMs) triples, never over single hosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from solvers.objective import (
    Changes,
    Hinges,
    HostCosts,
    Objective,
    PlacementCosts,
    RuleExcess,
    Shortages,
    StayPenalties,
    Term,
    Unplaced,
)  # fmt: skip
from solvers.pattern_sums import PatternSums
from solvers.problem import BoolArray, IntArray, Problem, Shape
from solvers.result import HostPattern
from solvers.rule_excess import excess_of, weighed_excess

_LISTED = 20


def evaluate(problem: Problem, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> tuple[int, ...]:
    """Return the value of every objective, in its own integer unit (exact: Python or int64 integers).

    Parameters
    ----------
    patterns : what the hosts hold, covering every host once; phantoms in their own field.
    unplaced : (F,) arriving VMs left out of each flavor.
    """
    state = PatternSums.of(problem, patterns)
    return tuple(_value(problem, state, objective, unplaced) for objective in problem.objectives)


def violations(problem: Problem, patterns: Sequence[HostPattern], unplaced: Sequence[int]) -> list[str]:
    """Return what is broken, a line each (at most 20 of a kind): cover, rows, permissions, demand, rules, budget."""
    broken = _malformed(problem, patterns, unplaced)
    if broken:
        return broken
    state = PatternSums.of(problem, patterns)
    return [
        *_rows(problem, patterns, state),
        *_permissions(problem, patterns, state),
        *_demand(problem, state, unplaced),
        *_rules(problem, state),
        *_budget(problem, state),
    ]


def _value(problem: Problem, state: PatternSums, objective: Objective, unplaced: Sequence[int]) -> int:
    total = 0
    for term in objective.terms:
        if isinstance(term, Unplaced):
            total += int(np.dot(term.cost, np.array(unplaced, dtype=np.int64)))
        elif isinstance(term, StayPenalties):
            total += _of_strays(problem, state)
        elif isinstance(term, RuleExcess):
            total += weighed_excess(problem, state, term.goal)
        else:
            share = _SHARES[type(term)]
            total += sum(pattern.count * share(problem, state, n, term) for n, pattern in enumerate(state.patterns))
    return total


def _of_placements(problem: Problem, state: PatternSums, n: int, term: PlacementCosts) -> int:
    pattern = state.patterns[n]
    table = _shape(problem, pattern).cost.get(term.key)
    if table is None:
        return 0
    return sum(int(table[placement]) * many for placement, many in (*pattern.placements, *pattern.phantoms))


def _of_loads(problem: Problem, state: PatternSums, n: int, term: Hinges) -> int:
    hinges = _shape(problem, state.patterns[n]).hinges_of.get(term.goal)
    if hinges is None:
        return 0
    row, offset, slope, scale = hinges
    load = problem.classes[state.patterns[n].host_class].fixed[row] + state.loads[n][row]
    return int(slope @ np.maximum(0, scale * load - offset))


def _of_shortages(problem: Problem, state: PatternSums, n: int, term: Shortages) -> int:
    host_class = problem.classes[state.patterns[n].host_class]
    if host_class.room is None:
        return 0
    over = np.maximum(0, state.loads[n] - host_class.ceiling)
    return sum(
        max(sum(int(over[row]) * each for row, each in family) for family in shortage.apart)
        for shortage in _shape(problem, state.patterns[n]).shortages
        if shortage.part == term.part
    )


def _of_host(problem: Problem, state: PatternSums, n: int, term: HostCosts) -> int:
    pattern = state.patterns[n]
    return problem.classes[pattern.host_class].cost if any(many for _, many in pattern.placements) else 0


def _of_strays(problem: Problem, state: PatternSums) -> int:
    real = _real(problem)
    if not any(one.stay_penalty.any() for one in problem.classes):
        return 0
    return sum(
        pattern.count * int((problem.classes[pattern.host_class].stay_penalty * state.vms[n])[real].sum())
        for n, pattern in enumerate(state.patterns)
    )


def _of_changes(problem: Problem, state: PatternSums, n: int, term: Changes) -> int:
    left = 0 if problem.classes[state.patterns[n].host_class].is_empty else int(state.left[n].sum())
    return term.migrations * left + term.moves * int(state.changed[n])


_SHARES: dict[type[Term], Callable[..., int]] = {
    PlacementCosts: _of_placements,
    Hinges: _of_loads,
    Shortages: _of_shortages,
    HostCosts: _of_host,
    Changes: _of_changes,
}
"""What one host of a pattern adds to a term."""


def _shape(problem: Problem, pattern: HostPattern) -> Shape:
    return problem.shapes[problem.classes[pattern.host_class].shape]


def _real(problem: Problem) -> BoolArray:
    return np.array([not flavor.phantom for flavor in problem.flavors], dtype=np.bool_)


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


def _rows(problem: Problem, patterns: Sequence[HostPattern], state: PatternSums) -> list[str]:
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
    for row in shape.over(taken, host_class.room):
        more: set[int] = set()
        for amounts in shape.kept(row):
            then: dict[int, int] = defaultdict(int)
            for placement, many in host_class.content:
                then[int(shape.flavor[placement])] += many * int(amounts[placement])
            now: dict[int, int] = defaultdict(int)
            for placement, many in (*pattern.placements, *pattern.phantoms):
                now[int(shape.flavor[placement])] += many * int(amounts[placement])
            more |= {flavor for flavor, units in now.items() if units > then[flavor]}
        out += [(row, flavor) for flavor in sorted(more)]
    return out


def _permissions(problem: Problem, patterns: Sequence[HostPattern], state: PatternSums) -> list[str]:
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
            if many > host_class.at_most.get(placement, many):
                broken.append(f"pattern {n} (class {pattern.host_class}): {many} VMs at {placement}, which takes fewer")
    return broken[:_LISTED]


def _demand(problem: Problem, state: PatternSums, unplaced: Sequence[int]) -> list[str]:
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


def _rules(problem: Problem, state: PatternSums) -> list[str]:
    broken: list[str] = []
    for index, rule in enumerate(problem.rules):
        if rule.is_soft:
            continue
        ends, starts = excess_of(problem, state, index)
        broken.extend(
            f"rule {rule.name}: excess {many} in {domain}, {starts.get(domain, 0)} at the start"
            for domain, many in ends.items()
            if many > starts.get(domain, 0)
        )
    return broken[:_LISTED]


def _budget(problem: Problem, state: PatternSums) -> list[str]:
    budget = problem.budget
    broken: list[str] = []
    moves = int(state.count @ state.changed)
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


def _arrivals_explain(problem: Problem, state: PatternSums, host_in: int) -> bool:
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
