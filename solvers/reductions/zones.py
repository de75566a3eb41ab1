"""Groups that share no domain, each kept to a zone of domains of its own: a stricter problem without these rules.

Groups that may not meet are told apart by colours, as few as are found, and the domains of the label are dealt out to
the colours by what their VMs need. A group is then kept to hosts of its zone, which any engine knows how to do, and
meets nobody of another colour. Answers are answers of the problem; bounds are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from solvers.problem import BoolArray, CrossRule, HostClass, Problem

MOST = 8
"""Colours up to which domains are dealt out: each has the fewer hosts the more there are."""


def zoned(problem: Problem) -> Problem | None:
    """Return an empty problem with groups that may not share a domain of a label kept to zones; None where it has no
    such rules, or where they leave no room for zones.
    """
    rules = {n: rule for n, rule in enumerate(problem.rules) if _parts(problem, rule)}
    if not rules or any(not one.is_empty or one.fixed_members for one in problem.classes):
        return None
    scopes = {rule.scope for rule in rules.values()}
    if len(scopes) > 1:
        return None
    scope = scopes.pop()
    colour = _colours(problem, rules)
    if colour is None:
        return None
    zone = _dealt(problem, scope, colour)
    if zone is None:
        return None
    gone = {*rules, *(rule.against for rule in rules.values())}
    if any(rule.against in gone for n, rule in enumerate(problem.rules) if n not in gone):
        return None
    place = {number: new for new, number in enumerate(n for n in range(len(problem.rules)) if n not in gone)}
    kept = tuple(replace(problem.rules[n], against=place.get(problem.rules[n].against, -1)) for n in place)
    classes = tuple(
        replace(one, allowed=_allowed(one.allowed, one.domain.get(scope, -1), zone, colour)) for one in problem.classes
    )
    return replace(problem, rules=kept, classes=classes)


def _parts(problem: Problem, rule: CrossRule) -> bool:
    """Tell whether a rule lets two groups share no domain of a label."""
    other = problem.rules[rule.against] if rule.kind == "apart" else None
    return (
        other is not None
        and not rule.is_soft
        and not rule.max_per
        and rule.scope not in ("host", "node")
        and set(rule.members).isdisjoint(other.members)
    )


def _colours(problem: Problem, rules: dict[int, CrossRule]) -> dict[int, int] | None:
    """Return flavor -> colour, of those under the rules: groups that are held together have one."""
    same = {flavor: flavor for flavor in range(len(problem.flavors))}

    def root(flavor: int) -> int:
        while same[flavor] != flavor:
            same[flavor] = flavor = same[same[flavor]]
        return flavor

    for rule in problem.rules:
        if rule.kind == "together" and not rule.is_soft:
            for member in rule.members[1:]:
                same[root(member)] = root(rule.members[0])
    near: dict[int, set[int]] = defaultdict(set)
    for rule in rules.values():
        mine = {root(member) for member in rule.members}
        others = {root(member) for member in problem.rules[rule.against].members}
        if not mine.isdisjoint(others):
            return None
        for one in mine:
            near[one] |= others
        for one in others:
            near[one] |= mine
    need = _need(problem, root)
    colour: dict[int, int] = {}
    load: Counter[int] = Counter()
    for one in sorted(near, key=lambda n: (-len(near[n]), -need[n], n)):
        taken = {colour[other] for other in near[one] if other in colour}
        open_ = [number for number in load if number not in taken]
        chosen = min(open_, key=lambda number: (load[number], number)) if open_ else len(load)
        colour[one] = chosen
        load[chosen] += max(1, need[one])
    if len(load) > MOST:
        return None
    return {flavor: colour[root(flavor)] for flavor in same if root(flavor) in colour}


def _rows(problem: Problem) -> Iterator[tuple[list[str], HostClass]]:
    """Yield what the rows of each class of hosts are called, and the class."""
    for one in problem.classes:
        yield [name for _, name in problem.shapes[one.shape].row_names], one


def _need(problem: Problem, root: Callable[[int], int]) -> Counter[int]:
    """Return the vCPUs of each of the groups that have one colour."""
    out: Counter[int] = Counter()
    for flavor, many in enumerate(problem.demand().tolist()):
        out[root(flavor)] += many * problem.flavors[flavor].vcpus
    return out


def _dealt(problem: Problem, scope: str, colour: dict[int, int]) -> dict[int, int] | None:
    """Return domain -> colour: the largest domain to the colour that lacks most of what its VMs need."""
    need: Counter[int] = Counter()
    demand = problem.demand()
    for flavor, number in colour.items():
        need[number] += int(demand[flavor]) * problem.flavors[flavor].vcpus + 1
    whole: Counter[str] = Counter()
    for names, one in _rows(problem):
        for name, amount in zip(names, one.capacity.tolist(), strict=True):
            whole[name] += one.count * amount
    room: dict[int, float] = defaultdict(float)
    for names, one in _rows(problem):
        if one.domain.get(scope, -1) >= 0:
            for name, amount in zip(names, one.capacity.tolist(), strict=True):
                room[one.domain[scope]] += one.count * amount / max(1, whole[name])
    if len(room) < len(need):
        return None
    share: dict[int, float] = defaultdict(float)
    out: dict[int, int] = {}
    for domain in sorted(room, key=lambda d: (-room[d], d)):
        chosen = min(need, key=lambda number: (share[number] / need[number], number))
        out[domain] = chosen
        share[chosen] += room[domain]
    return out


def _allowed(allowed: BoolArray, domain: int, zone: dict[int, int], colour: dict[int, int]) -> BoolArray:
    if domain < 0:
        return allowed
    out = allowed.copy()
    closed = [flavor for flavor, number in colour.items() if zone.get(domain) != number]
    out[np.array(closed, dtype=np.int64)] = False
    return out
