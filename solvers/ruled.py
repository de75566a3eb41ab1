"""Rules over several hosts at scale: solve without them for the bound, and with groups tied to domains for the answer.

Dropping a rule relaxes the problem, so the bounds found without it hold. Tying each group to domains beforehand
restricts it, so what is found then keeps every rule. Groups that find too little room are tied anew where the last
answer left most. A bound of a later objective counts only where the answer is as good as the relaxed one in all earlier
objectives: held at something worse, it might not be one.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.evaluate import evaluate, violations
from solvers.problem import BoolArray, Flavor, HostClass, IntArray, Problem, Shape
from solvers.result import HostPattern, Interrupt, Limits, ObjectiveResult, Result

Engine = Callable[[Problem, Limits], Result]

TIES = 4
"""How often groups are tied anew."""
NOWHERE = -2
"""The home of a group where no host is in any domain: no member may arrive."""
SHARE = 0.4
"""The share of the time that the problem without its rules may take."""


def solve_ruled(problem: Problem, engine: Engine, limits: Limits, interrupt: Interrupt | None = None) -> Result:
    """Solve a problem with cross rules by an engine that knows none of them."""
    began = time.monotonic()
    relaxed = engine(replace(problem, rules=()), replace(limits, time_limit_s=SHARE * limits.time_limit_s))
    if relaxed.patterns and not violations(problem, relaxed.patterns, relaxed.unplaced):
        return _judged(problem, relaxed, relaxed, relaxed.rounds)
    best: Result | None = None
    rounds = relaxed.rounds
    ties = _Ties.of(problem)
    for turn in range(TIES):
        left = limits.time_limit_s - (time.monotonic() - began)
        if turn and (left <= 0 or (interrupt is not None and interrupt.requested)):
            break
        tied = _Tied.of(problem, ties)
        share = max(1.0, left / (TIES - turn))
        found = tied.back(engine(tied.problem, replace(limits, time_limit_s=share)))
        rounds += found.rounds
        if found.patterns and not violations(problem, found.patterns, found.unplaced):
            if best is None or _values(problem, found) < _values(problem, best):
                best = found
            if not any(found.unplaced):
                break
            ties = ties.again(found)
    if best is None:
        return Result(status="unknown", objectives=_unknown(problem), rounds=rounds, engine=relaxed.engine)
    return _judged(problem, best, relaxed, rounds)


def _values(problem: Problem, result: Result) -> tuple[int, ...]:
    return evaluate(problem, result.patterns, result.unplaced)


def _judged(problem: Problem, answer: Result, relaxed: Result, rounds: int) -> Result:
    """Return the answer with its values under the rules, and the relaxed bounds as far as they hold for it."""
    rows = []
    comparable = optimal = True
    for value, own, free in zip(_values(problem, answer), answer.objectives, relaxed.objectives, strict=True):
        bound = free.bound if comparable else None
        optimal = optimal and bound is not None and value <= bound
        source = "" if bound is None else f"{free.source} without rules over hosts" if problem.rules else free.source
        rows.append(
            ObjectiveResult(
                goal=own.goal,
                part=own.part,
                value=value,
                bound=bound,
                source=source,
                status="optimal" if optimal else "feasible",
                stopped=own.stopped,
            )
        )
        comparable = comparable and value == free.value
    return replace(
        answer,
        objectives=tuple(rows),
        status="optimal" if optimal else "feasible",
        rounds=rounds,
        certificate=relaxed.certificate if answer is relaxed else None,
    )


def _unknown(problem: Problem) -> tuple[ObjectiveResult, ...]:
    return tuple(
        ObjectiveResult(
            goal=o.goal,
            part=o.part,
            value=None,
            bound=None,
            source="",
            status="unknown",
            stopped="no answer kept the rules",
        )
        for o in problem.objectives
    )


@dataclass(slots=True)
class _Ties:
    """Which domain each group of a ``together`` rule goes to, and how many members of a ``spread`` rule each may take.

    `room` is what each (scope, domain) has of each resource, by name; `present[rule]` domain -> members now;
    `home[rule]` a domain; `quota[rule]` domain -> VMs.
    """

    problem: Problem
    room: dict[tuple[str, int], Counter[str]]
    present: dict[int, Counter[int]]
    home: dict[int, int]
    quota: dict[int, dict[int, int]]

    @classmethod
    def of(cls, problem: Problem) -> _Ties:
        """Tie groups for the first time: the largest first, each to the domain with most room left for it."""
        ties = cls(problem=problem, room=_rooms(problem), present=_present(problem), home={}, quota={})
        demand = problem.demand()
        order = sorted(range(len(problem.rules)), key=lambda r: (-ties._size(r, demand), r))
        for number in order:
            ties._tie(number, demand)
        return ties

    def again(self, found: Result) -> _Ties:
        """Tie groups with VMs left out to where the answer left most room; the others stay."""
        problem = self.problem
        out = np.array(found.unplaced, dtype=np.int64)
        ties = replace(self, room=_rooms(problem, found), home=dict(self.home), quota=dict(self.quota))
        for number, rule in enumerate(problem.rules):
            if any(out[flavor] for flavor in rule.members):
                ties._tie(number, problem.demand())
        return ties

    def _size(self, number: int, demand: IntArray) -> int:
        return sum(int(demand[f]) * self.problem.flavors[f].vcpus for f in self.problem.rules[number].members)

    def _tie(self, number: int, demand: IntArray) -> None:
        rule = self.problem.rules[number]
        here = self.present.get(number, Counter())
        domains = [domain for scope, domain in self.room if scope == rule.scope]
        need: Counter[str] = Counter()
        for flavor in rule.members:
            for name, amount in _need(self.problem, flavor).items():
                need[name] += amount * int(demand[flavor])
        if rule.kind == "together":
            known = [domain for domain in here if domain >= 0]
            if not domains:
                self.home[number] = NOWHERE
                return
            chosen = max(known, key=lambda d: (here[d], -d)) if known else self._roomiest(rule.scope, domains, need)
            self.home[number] = chosen
            self.room[rule.scope, chosen].subtract(need)
            return
        total = sum(int(self.problem.flavors[flavor].arriving) for flavor in rule.members)
        quota: dict[int, int] = {}
        for _ in range(total):
            open_ = [d for d in domains if quota.get(d, 0) + here[d] < rule.max_per]
            if not open_:
                break
            chosen = self._roomiest(rule.scope, open_, Counter({k: v // max(1, total) for k, v in need.items()}))
            quota[chosen] = quota.get(chosen, 0) + 1
        self.quota[number] = quota

    def _roomiest(self, scope: str, domains: Sequence[int], need: Counter[str]) -> int:
        """Return the domain that has most left of what the group would be shortest of."""

        def left(domain: int) -> float:
            room = self.room[scope, domain]
            return min(((room[name] - amount) / amount for name, amount in need.items() if amount), default=0.0)

        return max(domains, key=lambda domain: (left(domain), -domain))


def _rooms(problem: Problem, found: Result | None = None) -> dict[tuple[str, int], Counter[str]]:
    """Return (scope, domain) -> resource -> units over all hosts of the domain, less what an answer takes if given."""
    rooms: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    used: dict[int, IntArray] = {}
    for pattern in () if found is None else found.patterns:
        shape = problem.shapes[problem.classes[pattern.host_class].shape]
        for placement, count in pattern.placements:
            taken = used.setdefault(pattern.host_class, np.zeros(len(shape.row_names), dtype=np.int64))
            taken += pattern.count * count * shape.use[placement]
    for number, host_class in enumerate(problem.classes):
        rows = host_class.count * host_class.capacity - used.get(number, 0)
        for (_, name), amount in zip(problem.shapes[host_class.shape].row_names, rows.tolist(), strict=True):
            for scope, domain in host_class.domain.items():
                if domain >= 0:
                    rooms[scope, domain][name] += max(0, amount)
    return dict(rooms)


def _need(problem: Problem, flavor: int) -> Counter[str]:
    """Return resource -> units of one VM of a flavor, as its first placement on any shape takes them."""
    for shape in problem.shapes:
        own = np.flatnonzero(shape.flavor == flavor)
        if len(own):
            out: Counter[str] = Counter()
            for (_, name), amount in zip(shape.row_names, shape.use[own[0]].tolist(), strict=True):
                out[name] += amount
            return out
    return Counter()


def _present(problem: Problem) -> dict[int, Counter[int]]:
    """Return rule -> domain -> members that are there now."""
    here: dict[int, Counter[int]] = defaultdict(Counter)
    rules_of: dict[int, list[int]] = defaultdict(list)
    for index, rule in enumerate(problem.rules):
        for member in rule.members:
            rules_of[member].append(index)
    for number, host_class in enumerate(problem.classes):
        content = problem.content_of(number)
        for flavor in np.flatnonzero(content).tolist():
            for index in rules_of[flavor]:
                domain = host_class.domain.get(problem.rules[index].scope, -1)
                here[index][domain] += int(content[flavor]) * host_class.count
        for index, members in host_class.fixed_members.items():
            here[index][host_class.domain.get(problem.rules[index].scope, -1)] += members * host_class.count
    return here


@dataclass(slots=True)
class _Tied:
    """The problem with groups tied: flavors of spread rules are cut in one a domain; `origin` tells which each was."""

    problem: Problem
    origin: list[int]
    source: Problem

    @classmethod
    def of(cls, problem: Problem, ties: _Ties) -> _Tied:
        """Build it. Each flavor may arrive only where all the rules it is in let it."""
        flavors: list[Flavor] = []
        origin: list[int] = []
        places: list[dict[str, set[int]]] = []
        quotas = {index: dict(quota) for index, quota in ties.quota.items()}
        rules_of: dict[int, list[int]] = defaultdict(list)
        for index, rule in enumerate(problem.rules):
            for member in rule.members:
                rules_of[member].append(index)
        for number, flavor in enumerate(problem.flavors):
            homes: dict[str, set[int]] = {}
            cut: list[tuple[str, int, int]] = []
            spread = False
            for index in rules_of[number]:
                scope = problem.rules[index].scope
                if problem.rules[index].kind == "together":
                    homes[scope] = homes.get(scope, {ties.home[index]}) & {ties.home[index]}
                else:
                    spread = True
                    cut = cut or _cut(quotas[index], scope, flavor.arriving)
            flavors.append(replace(flavor, arriving=flavor.arriving - sum(count for _, _, count in cut)))
            origin.append(number)
            # What is left of a spread flavor has no domain to go to: it stays where it is, or out.
            places.append({**homes, "": set()} if spread else homes)
            for scope, domain, count in cut:
                flavors.append(replace(flavor, arriving=count))
                origin.append(number)
                places.append({**homes, scope: homes.get(scope, {domain}) & {domain}})
        shapes = tuple(_widened(shape, origin) for shape in problem.shapes)
        classes = tuple(
            replace(
                host_class,
                allowed=_allowed(host_class, origin, places),
                stay_penalty=host_class.stay_penalty[origin],
                # A shape's own placements come first in its widened twin, so that content needs no new numbers.
                floating=tuple((origin.index(flavor), count) for flavor, count in host_class.floating),
                chains=tuple(
                    _widened_keys(chain, problem.shapes[host_class.shape], origin) for chain in host_class.chains
                ),
                fixed_members={},
            )
            for host_class in problem.classes
        )
        objectives = tuple(
            replace(o, unplaced=None if o.unplaced is None else o.unplaced[origin]) for o in problem.objectives
        )
        tied = replace(problem, flavors=tuple(flavors), shapes=shapes, classes=classes, objectives=objectives, rules=())
        return cls(problem=tied, origin=origin, source=problem)

    def back(self, found: Result) -> Result:
        """Return an answer of the tied problem as one of the problem it came from."""
        if not found.patterns:
            return found
        patterns = []
        for pattern in found.patterns:
            shape = self.source.shapes[self.source.classes[pattern.host_class].shape]
            order = _order(shape, self.origin)
            counts: Counter[int] = Counter()
            for placement, count in pattern.placements:
                counts[int(order[placement])] += count
            phantoms = tuple((int(order[placement]), count) for placement, count in pattern.phantoms)
            patterns.append(
                HostPattern(
                    host_class=pattern.host_class,
                    count=pattern.count,
                    placements=tuple(sorted(counts.items())),
                    phantoms=phantoms,
                )
            )
        out = np.zeros(len(self.source.flavors), dtype=np.int64)
        np.add.at(out, self.origin, np.array(found.unplaced, dtype=np.int64))
        return replace(found, patterns=tuple(patterns), unplaced=tuple(out.tolist()))


def _cut(quota: dict[int, int], scope: str, arriving: int) -> list[tuple[str, int, int]]:
    """Take places out of a rule's quota for the arriving VMs of one flavor: (scope, domain, VMs) each."""
    out = []
    for domain in sorted(quota, key=lambda d: (-quota[d], d)):
        take = min(arriving, quota[domain])
        if take:
            out.append((scope, domain, take))
            quota[domain] -= take
            arriving -= take
    return out


def _allowed(host_class: HostClass, origin: Sequence[int], places: Sequence[Mapping[str, set[int]]]) -> BoolArray:
    """Return (F',): whether each flavor, copies included, may arrive on hosts of the class."""
    own = [all(host_class.domain.get(scope, -1) in chosen for scope, chosen in place.items()) for place in places]
    return np.array(own, dtype=np.bool_) & host_class.allowed[list(origin)]


def _order(shape: Shape, origin: Sequence[int]) -> IntArray:
    """Return (P',): the placement that each placement of a shape's widened twin was, first all of the shape's own."""
    by_flavor: dict[int, IntArray] = {}
    order = [np.arange(shape.placements, dtype=np.int64)]
    for number, first in enumerate(origin):
        if number and origin[number - 1] == first:
            if first not in by_flavor:
                by_flavor[first] = np.flatnonzero((shape.flavor == first) & ~shape.stay_only)
            order.append(by_flavor[first])
    return np.concatenate(order)


def _widened(shape: Shape, origin: Sequence[int]) -> Shape:
    """Return the shape with the placements of the cut flavors repeated for every copy."""
    order = _order(shape, origin)
    first_index = {first: origin.index(first) for first in set(origin)}
    flavor = [np.array([first_index[int(f)] for f in shape.flavor], dtype=np.int64)]
    for number, first in enumerate(origin):
        if number and origin[number - 1] == first:
            flavor.append(np.full(int(((shape.flavor == first) & ~shape.stay_only).sum()), number, dtype=np.int64))
    return replace(
        shape,
        flavor=np.concatenate(flavor),
        use=shape.use[order],
        cost={goal: cost[order] for goal, cost in shape.cost.items()},
        touches=shape.touches[order],
        stay_only=shape.stay_only[order],
    )


def _widened_keys(chain: IntArray, shape: Shape, origin: Sequence[int]) -> IntArray:
    return np.asarray(chain[:, _order(shape, origin)], dtype=np.int64)
