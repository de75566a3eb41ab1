"""Rules that hold VMs together on one host or node: each gets a host of its own to gather on, as if by a label."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import BoolArray, CrossRule, HostClass, IntArray, MoveBudget, Problem, Shape
from solvers.result import HostPattern
from solvers.starts.best_fit import solve_greedy

LOOKED_AT = 6
"""Host classes that a group is tried on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the members of a rule gather: a host of a class of the source, and one of its nodes if the rule says so."""

    rule: int
    host_class: int
    node: int | None


@dataclass(slots=True)
class Homes:
    """The problem with the chosen hosts as classes of their own; the rules name them by a scope of their own.

    `class_of` is the class of the source that each class was; `single` the rule that a class of one host is home of.
    """

    source: Problem
    problem: Problem
    class_of: list[int]
    single: dict[int, int]

    @classmethod
    def of(cls, problem: Problem, near: Sequence[HostPattern] = (), check: Callable[[], None] = lambda: None) -> Homes:
        """Choose a host for each rule: where most members are now, else where an answer has them, else by room.

        check : called between rules; what it raises ends the work (`Clock.check`).
        """
        chooser = _Chooser.of(problem, near)
        sizes = problem.demand()
        numbers = [n for n, rule in enumerate(problem.rules) if rule.kind == "together" and rule.scope in _OWN]
        numbers.sort(key=lambda n: (-sum(int(sizes[f]) for f in problem.rules[n].members), n))
        homes = []
        for number in numbers:
            check()
            if (home := chooser.choose(number)) is not None:
                homes.append(home)
        return cls._made(problem, homes)

    @classmethod
    def _made(cls, problem: Problem, homes: Sequence[Home]) -> Homes:
        shapes = list(problem.shapes)
        rows: dict[int, list[tuple[int, IntArray]]] = defaultdict(list)
        for home in homes:
            if home.node is not None:
                number = problem.classes[home.host_class].shape
                rows[number].append((home.rule, _elsewhere(problem, home)))
        for number, added in rows.items():
            shape = shapes[number]
            shapes[number] = replace(
                shape,
                row_names=(*shape.row_names, *((None, f"home of rule {rule}") for rule, _ in added)),
                use=np.column_stack([shape.use, *(column for _, column in added)]),
            )
        classes: list[HostClass] = []
        class_of: list[int] = []
        single: dict[int, int] = {}
        for number, host_class in enumerate(problem.classes):
            mine = [home for home in homes if home.host_class == number]
            added = rows.get(host_class.shape, [])
            for home in mine:
                single[len(classes)] = home.rule
                classes.append(_piece(problem, host_class, 1, added, home))
                class_of.append(number)
            if host_class.count > len(mine):
                classes.append(_piece(problem, host_class, host_class.count - len(mine), added, None))
                class_of.append(number)
        rules = tuple(
            replace(rule, scope=f"home of rule {number}") if rule.kind == "together" and rule.scope in _OWN else rule
            for number, rule in enumerate(problem.rules)
        )
        made = replace(problem, shapes=tuple(shapes), classes=tuple(classes), rules=rules)
        return cls(source=problem, problem=made, class_of=class_of, single=single)

    def forth(self, patterns: Sequence[HostPattern]) -> tuple[HostPattern, ...]:
        """Return patterns of the source as ones of the problem: homes take those that hold most of their members."""
        if not patterns:
            return ()
        left: dict[int, list[HostPattern]] = defaultdict(list)
        for pattern in patterns:
            left[pattern.host_class].append(pattern)
        out = []
        for number, rule in self.single.items():
            held = left[self.class_of[number]]
            flavor = self.problem.shapes[self.problem.classes[number].shape].flavor
            members = self.source.rules[rule].members
            best = max(
                range(len(held)),
                key=lambda n: sum(many for place, many in held[n].placements if int(flavor[place]) in members),
            )
            out.append(replace(held[best], host_class=number, count=1))
            held[best : best + 1] = [replace(held[best], count=held[best].count - 1)] if held[best].count > 1 else []
        for number, origin in enumerate(self.class_of):
            if number not in self.single:
                out += [replace(pattern, host_class=number) for pattern in left[origin]]
        return tuple(out)

    def back(self, patterns: Sequence[HostPattern]) -> tuple[HostPattern, ...]:
        """Return patterns of the problem as ones of the source."""
        return tuple(replace(pattern, host_class=self.class_of[pattern.host_class]) for pattern in patterns)


_OWN = ("host", "node")


def _elsewhere(problem: Problem, home: Home) -> IntArray:
    """Return (P,): 1 for placements of a rule's members on any node but its own, or on more than that."""
    shape = problem.shapes[problem.classes[home.host_class].shape]
    there = shape.touches[:, home.node] & (shape.touches.sum(axis=1) == 1)
    member = np.isin(shape.flavor, problem.rules[home.rule].members)
    column: IntArray = (member & ~there).astype(np.int64)
    return column


def _piece(
    problem: Problem,
    host_class: HostClass,
    count: int,
    added: Sequence[tuple[int, IntArray]],
    home: Home | None,
) -> HostClass:
    """Return some hosts of a class, with the rows added to its shape; `home` where it is one's home."""
    room = []
    for rule, column in added:
        if home is not None and home.rule == rule:
            # Members on its other nodes may stay there.
            room.append(sum(int(column[placement]) * many for placement, many in host_class.content))
        else:
            room.append(int(problem.demand()[list(problem.rules[rule].members)].sum()))
    nothing, more = np.zeros(len(added), dtype=np.int64), np.array(room, dtype=np.int64)
    return replace(
        host_class,
        count=count,
        members=(),
        capacity=np.concatenate([host_class.capacity, more]),
        room=None if host_class.room is None else np.concatenate([host_class.room, more]),
        fixed=np.concatenate([host_class.fixed, nothing]),
        domain=host_class.domain if home is None else {**host_class.domain, f"home of rule {home.rule}": 0},
        # Orders of nodes hold only where they are alike.
        chains=host_class.chains if home is None or home.node is None else (),
    )


@dataclass(slots=True)
class _Chooser:
    """Chooses homes one after the other; `free` is how many hosts of each class are nobody's home yet."""

    problem: Problem
    free: list[int]
    now: list[IntArray]
    near: dict[int, list[IntArray]]

    @classmethod
    def of(cls, problem: Problem, near: Sequence[HostPattern]) -> _Chooser:
        held: dict[int, list[IntArray]] = defaultdict(list)
        for pattern in near:
            amounts = np.zeros(len(problem.flavors), dtype=np.int64)
            flavor = problem.shapes[problem.classes[pattern.host_class].shape].flavor
            for placement, many in pattern.placements:
                amounts[flavor[placement]] += many
            held[pattern.host_class].append(amounts)
        return cls(
            problem=problem,
            free=[host_class.count for host_class in problem.classes],
            now=[problem.content_of(number) for number in range(len(problem.classes))],
            near=held,
        )

    def choose(self, number: int) -> Home | None:
        """Return the home of a rule's members; None where no host is left."""
        rule = self.problem.rules[number]
        members = list(rule.members)
        order = []
        for at, host_class in enumerate(self.problem.classes):
            if self.free[at] and (host_class.allowed[members].any() or self.now[at][members].any()):
                there = int(self.now[at][members].sum()) + host_class.fixed_members.get(number, 0)
                close = max((int(amounts[members].sum()) for amounts in self.near.get(at, ())), default=0)
                order.append((-there, -close, -self._room(at), at))
        order.sort()
        best: tuple[int, Home] | None = None
        for _, _, _, at in order[:LOOKED_AT]:
            for node in self._nodes(rule, at):
                home = Home(rule=number, host_class=at, node=node)
                out = self._left_out(home)
                if best is None or out < best[0]:
                    best = out, home
                if not out:
                    break
            if best is not None and not best[0]:
                break
        if best is None:
            return None
        self.free[best[1].host_class] -= 1
        return best[1]

    def _room(self, at: int) -> float:
        """Return the least share of any row that a class has free, of what its shape's classes have at most."""
        host_class = self.problem.classes[at]
        shape = self.problem.shapes[host_class.shape]
        used = host_class.capacity * 0
        for placement, many in host_class.content:
            used = used + many * shape.use[placement]
        return float((host_class.capacity - used).sum())

    def _nodes(self, rule: CrossRule, at: int) -> Iterator[int | None]:
        """Yield the nodes to gather on, those with most members first; None where the host as a whole will do."""
        if rule.scope == "host":
            yield None
            return
        host_class = self.problem.classes[at]
        shape = self.problem.shapes[host_class.shape]
        there: Counter[int] = Counter()
        for placement, many in host_class.content:
            if int(shape.flavor[placement]) in rule.members:
                there.update({int(node): many for node in np.flatnonzero(shape.touches[placement])})
        yield from sorted(range(shape.nodes), key=lambda node: (-there[node], node))

    def _left_out(self, home: Home) -> int:
        """Return how many members find no place at a home beside what is there, packed greedily."""
        problem = self.problem
        made = Homes._made(problem, [home]).problem
        at = next(n for n, host_class in enumerate(made.classes) if f"home of rule {home.rule}" in host_class.domain)
        members = set(problem.rules[home.rule].members)
        demand = problem.demand()
        here = self.now[home.host_class]
        flavors = tuple(
            replace(flavor, arriving=int(demand[f] - here[f]) if f in members else 0)
            for f, flavor in enumerate(problem.flavors)
        )
        open_: BoolArray = made.classes[at].allowed
        alone = replace(
            made,
            flavors=flavors,
            shapes=(_without_phantoms(problem, made.shapes[made.classes[at].shape]),),
            classes=(replace(made.classes[at], shape=0, fixed_members={}, allowed=open_),),
            rules=(),
            budget=MoveBudget(),
        )
        found = solve_greedy(alone)
        return sum(found.unplaced) if found.patterns else 1 << 40


def _without_phantoms(problem: Problem, shape: Shape) -> Shape:
    """Return a shape on which no phantom pays."""
    phantom = np.array([flavor.phantom for flavor in problem.flavors], dtype=np.bool_)[shape.flavor]
    return replace(shape, cost={goal: np.where(phantom, 0, cost) for goal, cost in shape.cost.items()})
