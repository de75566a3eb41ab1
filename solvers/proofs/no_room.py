"""Where a VM that mends a rule has to come and there is no room for it, another one has to leave and mends nothing.

A group that has to be in one domain and of which one VM is elsewhere is mended by that one, or by two moves at least.
If no host of the domain has room for it, though all had left that could mend a rule of their own by that, somebody
else has to move there too. Such a VM makes room in one domain alone, so that of each domain one group takes two moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from solvers.pattern_sums import PatternSums
from solvers.problem import CrossRule, HostClass, IntArray, Problem
from solvers.rule_excess import excess_of, members_at_start

SEARCHED = 6
"""So many VMs are tried on a host together; more are taken to have room all."""


@dataclass(slots=True, kw_only=True)
class Leavers:
    """Which VMs mend a rule by leaving where they are: flavor -> (scope, domains that they leave, None for any)."""

    problem: Problem
    _of: dict[int, list[tuple[str, Set[object] | None]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, problem: Problem, state: PatternSums, broken: Mapping[int, bool]) -> Leavers:
        """Note the VMs of broken rules; a rule is alone where none of its VMs is in another broken one."""
        made = cls(problem=problem)
        for index, alone in broken.items():
            rule = problem.rules[index]
            where = _left(problem, state, index) if alone else None
            moving = _moving(problem, state, index) if alone else _both(problem, rule)
            for flavor in moving:
                made._of[flavor].append((rule.scope, where))
        return made

    def mends(self, flavor: int, one: HostClass) -> bool:
        """Tell whether VMs of a flavor that leave a host of a class may mend a rule by that."""
        return any(
            where is None or scope == "host" or one.domain.get(scope, -1) in where
            for scope, where in self._of.get(flavor, ())
        )


def crowded(problem: Problem, state: PatternSums, broken: Mapping[int, bool]) -> set[int]:
    """Return rules, no two of one domain, of which each takes two moves; `broken` rules are mapped to whether alone.

    Where a domain has room for some of the VMs that have to come, the last one to come finds none.
    """
    leavers = Leavers.of(problem, state, broken)
    coming: dict[tuple[str, object], dict[int, int]] = defaultdict(dict)
    for index, alone in broken.items():
        rule = problem.rules[index]
        stray = _stray(problem, state, index) if alone and rule.scope not in ("host", "node") else None
        if stray is not None:
            coming[rule.scope, stray[0]][index] = stray[1]
    found = set()
    for (scope, home), strays in coming.items():
        size = {index: problem.flavors[flavor].vcpus for index, flavor in strays.items()}
        for least in sorted(set(size.values()), reverse=True):
            large = [index for index in strays if size[index] >= least]
            if _room_in(problem, scope, home, [strays[index] for index in large], leavers) < len(large):
                found.add(min(large, key=lambda index: (problem.rules[index].weight, index)))
                break
    return found


def _room_in(problem: Problem, scope: str, home: object, flavors: Sequence[int], leavers: Leavers) -> int:
    """Return for how many VMs, one of each flavor, a domain has room at most once all have left who mend a rule."""
    room = 0
    for one in problem.classes:
        domain = one.domain.get(scope, -1)
        if domain in (home, -1) and room < len(flavors):
            able = [flavor for flavor in flavors if one.allowed[flavor]]
            # On hosts that are in no domain a member counts for nothing.
            room += one.count * _most(problem, one, able, leavers) if domain == home else len(able)
    return room


def _both(problem: Problem, rule: CrossRule) -> Set[int]:
    """Return the flavors that a rule speaks of."""
    return {*rule.members, *(problem.rules[rule.against].members if rule.kind == "apart" else ())}


def _moving(problem: Problem, state: PatternSums, index: int) -> Set[int]:
    """Return the flavors of which VMs mend a rule by leaving: of two groups apart the one of which fewer have to.

    Where it takes more moves for the members to leave than there is to mend, those above mend nothing.
    """
    rule = problem.rules[index]
    if rule.kind != "apart" or set(rule.members) & set(problem.rules[rule.against].members):
        return _both(problem, rule)
    there, over = members_at_start(problem, state, index), excess_of(problem, state, index)[1]
    dear = all(many < there[domain] for domain, many in over.items() if many)
    return set(problem.rules[rule.against].members) if dear else _both(problem, rule)


def _left(problem: Problem, state: PatternSums, index: int) -> Set[object] | None:
    """Return the domains that VMs of a rule leave where they mend it, if it is the only broken one that they are in."""
    rule = problem.rules[index]
    if rule.kind in ("spread", "apart"):
        return {domain for domain, many in excess_of(problem, state, index)[1].items() if many}
    if rule.kind == "together" and (alone := _parts(problem, state, index)) is not None:
        return {alone[1]}
    return None


def _parts(problem: Problem, state: PatternSums, index: int) -> tuple[object, object] | None:
    """Return the domain of all but one of a rule's members, and that of the one; None where they are otherwise."""
    there = {domain: many for domain, many in members_at_start(problem, state, index).items() if many}
    if len(there) != 2 or problem.rules[index].amounts:
        return None
    away, home = sorted(there, key=lambda domain: there[domain])
    return (home, away) if there[away] == 1 < there[home] else None


def _stray(problem: Problem, state: PatternSums, index: int) -> tuple[object, int] | None:
    """Return where all but one of a rule's members are, and the flavor of the one that is elsewhere and may move."""
    rule: CrossRule = problem.rules[index]
    parts = _parts(problem, state, index) if rule.kind == "together" else None
    if parts is None:
        return None
    for number, one in enumerate(problem.classes):
        if one.domain.get(rule.scope, -1) == parts[1]:
            now = problem.content_of(number)
            for flavor in rule.members:
                if now[flavor]:
                    return parts[0], flavor
    return None


def _most(problem: Problem, one: HostClass, flavors: Sequence[int], leavers: Leavers) -> int:
    """Return for how many of these VMs a host has room at most, for all of them where that is not looked at."""
    shape = problem.shapes[one.shape]
    if not flavors or not shape.complete or one.floating:
        return len(flavors)
    room = one.capacity.copy()
    for place, many in one.content:
        of = int(shape.flavor[place])
        if problem.flavors[of].settles:
            return len(flavors)
        if not leavers.mends(of, one):
            room -= many * shape.use[place]
    uses = [shape.use[(shape.flavor == flavor) & ~shape.stay_only] for flavor in flavors]
    uses = [fits for use in uses if len(fits := use[(use <= room).all(axis=1)])]
    return len(uses) if len(uses) > SEARCHED else _packed(uses, room)


def _packed(uses: Sequence[IntArray], room: IntArray) -> int:
    """Return how many VMs have room together, each in one of its ways."""
    best = 0
    for number, use in enumerate(uses):
        for way in use[(use <= room).all(axis=1)]:
            best = max(best, 1 + _packed(uses[number + 1 :], room - way))
            if best == len(uses) - number:
                return best
    return best
