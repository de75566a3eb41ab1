"""Hosts that hold more than they have room for are mended first: VMs of a row that is over go where there is room."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from solvers.evaluate import evaluate, violations
from solvers.objective import Changes, Objective
from solvers.problem import HostClass, IntArray, Problem, Shape
from solvers.result import HostPattern, Result
from solvers.starts.best_fit import rows_of

_Move = tuple[tuple[int, ...], int, int, int, int, int, int]
"""What it mends of each part of the excess, negative; host; 1 where the VM changes host; cost; the placement it leaves;
to which host, and the placement it takes there."""


def mended(problem: Problem, start: Result, stop: Callable[[], bool] = lambda: False) -> Result:
    """Return an answer with less excess where single VMs can bring that within the limits on moves; else the given one.

    A VM goes to another node of its host if that has room, else to the first host that has. Where `stop` says so, what
    was mended till then is.
    """
    if not start.patterns or not any(objective.shortage for objective in problem.objectives):
        return start
    hosts = [_Host.of(problem, pattern) for pattern in _singles(problem, start.patterns)]
    left = _Left.of(problem, start)
    # Of a limited number of moves those that mend most; a host is looked at again when something moved there.
    queue: list[_Move] = []
    for number in range(len(hosts)):
        entry = None if stop() else _best(problem, number, hosts, left)
        if entry is not None:
            heapq.heappush(queue, entry)
    while queue and left.moves > 0 and not stop():
        known = heapq.heappop(queue)
        number = known[1]
        found = _best(problem, number, hosts, left)
        if found is None:
            continue
        if found == known:
            _move(hosts, found)
            left.moves -= 1
            left.migrations -= found[2]
            found = _best(problem, number, hosts, left)
        if found is not None:
            heapq.heappush(queue, found)
    patterns = tuple(host.pattern for host in hosts)
    values = evaluate(problem, patterns, start.unplaced)
    worse = values >= evaluate(problem, start.patterns, start.unplaced)
    if worse or violations(problem, patterns, start.unplaced):
        return start
    return replace(start, patterns=patterns, objectives=rows_of(problem, values))


def firm(problem: Problem, found: Result) -> Problem:
    """Return the problem in which no row takes more than its room that does not in this answer: nothing mended is lost
    to who counts no excess.
    """
    most: dict[int, IntArray] = {}
    for pattern in found.patterns:
        host_class = problem.classes[pattern.host_class]
        if host_class.room is not None:
            load = _load(problem.shapes[host_class.shape], dict(pattern.placements))
            most[pattern.host_class] = np.maximum(load, most.get(pattern.host_class, host_class.room))
    if not most:
        return problem
    classes = tuple(
        replace(one, capacity=np.minimum(one.capacity, most[number])) if number in most else one
        for number, one in enumerate(problem.classes)
    )
    return replace(problem, classes=classes)


@dataclass(slots=True)
class _Left:
    """What is left of the limits on moves and migrations; very many where there is none."""

    moves: int
    migrations: int

    @classmethod
    def of(cls, problem: Problem, start: Result) -> _Left:
        counted = replace(
            problem,
            objectives=(
                Objective(goal="moves", terms=(Changes(moves=1),)),
                Objective(goal="migrations", terms=(Changes(migrations=1),)),
            ),
            rules=(),
        )
        used = evaluate(counted, start.patterns, start.unplaced)
        budget, plenty = problem.budget, sum(1 for _ in start.patterns) << 20
        limits = (plenty if limit is None else limit for limit in (budget.moves, budget.migrations))
        moves, migrations = (limit - many for limit, many in zip(limits, used, strict=True))
        return cls(moves, migrations if budget.host_in is None and budget.host_out is None else 0)


@dataclass(slots=True)
class _Host:
    """Hosts of one pattern, `load` what they take of each row and `room` what there is."""

    pattern: HostPattern
    host_class: HostClass
    shape: Shape
    load: IntArray
    room: IntArray = field(init=False)

    def __post_init__(self) -> None:
        own = self.host_class
        self.room = own.capacity if own.room is None else np.minimum(own.room, own.capacity)

    @classmethod
    def of(cls, problem: Problem, pattern: HostPattern) -> _Host:
        host_class = problem.classes[pattern.host_class]
        shape = problem.shapes[host_class.shape]
        held = dict((*pattern.placements, *pattern.phantoms))
        return cls(pattern, host_class, shape, _load(shape, held))

    @property
    def over(self) -> IntArray:
        """(K,) what is taken beyond the room."""
        out: IntArray = np.maximum(self.load - self.room, 0)
        return out

    def lacks(self, load: IntArray, parts: Sequence[str]) -> tuple[int, ...]:
        """Return what of a load has no place, for each part of the excess: the worst family counts."""
        over = np.maximum(load - self.host_class.ceiling, 0)
        return tuple(
            sum(shortage.most(over) for shortage in self.shape.shortages if shortage.part == part) for part in parts
        )

    def places(self, flavor: int, left: IntArray) -> IntArray:
        """Return the placements that a VM may take beside `left`: all rows that it takes are within their room then."""
        held = dict(self.pattern.placements)
        own = np.flatnonzero((self.shape.flavor == flavor) & ~self.shape.stay_only)
        if self.host_class.at_most:
            own = own[[self.host_class.may_have(one, held.get(one, 0)) for one in own.tolist()]]
        use = self.shape.use[own]
        fits: IntArray = own[((left + use <= self.room) | (use == 0)).all(axis=1)]
        return fits

    def put(self, placement: int, many: int) -> None:
        """Put so many VMs there, or take them away."""
        held = dict(self.pattern.placements)
        held[placement] = held.get(placement, 0) + many
        self.pattern = replace(self.pattern, placements=tuple(sorted((p, n) for p, n in held.items() if n)))
        self.load = self.load + many * self.shape.use[placement]


def _load(shape: Shape, held: dict[int, int]) -> IntArray:
    load = np.zeros(shape.use.shape[1], dtype=np.int64)
    for placement, many in held.items():
        load += many * shape.use[placement]
    return load


def _singles(problem: Problem, patterns: tuple[HostPattern, ...]) -> Iterator[HostPattern]:
    """Yield the patterns, those of classes that are over one host at a time."""
    for pattern in patterns:
        one = problem.classes[pattern.host_class].room is not None
        yield from (replace(pattern, count=1) for _ in range(pattern.count)) if one else (pattern,)


def _best(problem: Problem, number: int, hosts: list[_Host], left: _Left) -> _Move | None:
    """Return the move of a VM off a row of a host that is over which mends most, the cheapest of equals."""
    host = hosts[number]
    if not host.over.any():
        return None
    best: _Move | None = None
    parts = [objective.shortage for objective in problem.objectives if objective.shortage]
    lacks = host.lacks(host.load, parts)
    for placement, _ in host.pattern.placements:
        if not (host.shape.use[placement] * (host.over > 0)).any():
            continue
        flavor = int(host.shape.flavor[placement])
        rest = host.load - host.shape.use[placement]
        for to in _targets(problem, number, hosts, flavor, rest, left):
            target = hosts[to]
            beside = rest if to == number else target.load
            for other in target.places(flavor, beside).tolist():
                after = rest + host.shape.use[other] if to == number else rest
                more = tuple(b - a for a, b in zip(lacks, host.lacks(after, parts), strict=True))
                cost = sum(int(table[other]) for table in target.shape.cost.values())
                found = (more, number, int(to != number), cost, placement, to, other)
                if more < (0,) * len(parts) and (best is None or found < best):
                    best = found
    return best


def _move(hosts: list[_Host], move: _Move) -> None:
    _, number, _, _, placement, to, other = move
    hosts[number].put(placement, -1)
    target = hosts[to]
    if target.pattern.count > 1:
        # One of hosts that are alike takes the VM; the others stay as they are.
        rest = replace(target.pattern, count=target.pattern.count - 1)
        hosts.append(_Host(rest, target.host_class, target.shape, target.load))
        target.pattern = replace(target.pattern, count=1)
    target.put(other, 1)


def _targets(
    problem: Problem, number: int, hosts: list[_Host], flavor: int, rest: IntArray, left: _Left
) -> Iterator[int]:
    """Yield the host itself if it has a place for the VM elsewhere, else the first other host that has."""
    if len(hosts[number].places(flavor, rest)):
        yield number
        return
    if left.migrations <= 0:
        return
    for to, other in enumerate(hosts):
        if to != number and other.host_class.allowed[flavor] and len(other.places(flavor, other.load)):
            yield to
            return
