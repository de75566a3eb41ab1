"""A first answer where thousands of groups limit each other on hosts: every open host is a line, every limit a list.

Best fit over groups of alike hosts (`best_fit`) asks each group of hosts for each rule of a VM: with thousands of rules
hardly two hosts are alike, and that takes minutes. Here the VMs of a flavor come at once: what fits each open host is a
division of arrays, and the hosts where a limit is in the way are read from the few flavors that it names. The tightest
hosts come first; what finds no room opens hosts. Several measures of size are tried, and the best answer is taken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.evaluate import evaluate, violations
from solvers.host_limits import HostLimits, without_counts
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern, Result
from solvers.starts.best_fit import rows_of

ENGINE = "greedy"
LARGE = 500_000
"""Flavors x hosts from which on an answer is sought so; below, best fit over groups is as quick."""
TRIES, TARGETS = 200, 20
"""Hosts that are asked to let a VM go for one that finds none, and hosts that are looked at for that VM."""
Floats = NDArray[np.float64]
Measure = Callable[[Floats], Floats]
"""Of shares (P, K) of a host, weighed by how scarce each row is: the size of each placement, (P,)."""

MEASURES: tuple[Measure, ...] = (
    lambda share: np.asarray(share.sum(axis=1), dtype=np.float64),
    lambda share: np.asarray(share.max(axis=1, initial=0.0), dtype=np.float64),
    lambda share: np.asarray((share * share).sum(axis=1), dtype=np.float64),
)


def keeps_apart(problem: Problem) -> bool:
    """Tell whether all hard rules keep groups of VMs to come apart on hosts."""
    hard = [rule for rule in problem.rules if not rule.is_soft]
    empty = all(one.is_empty and not one.fixed_members for one in problem.classes)
    return bool(hard) and empty and all(rule.kind in ("apart", "count") and rule.scope == "host" for rule in hard)


def has_many_limits(problem: Problem) -> bool:
    """Tell whether hosts are to be filled by lists: many flavors on many empty hosts, with limits on hosts alone."""
    return (
        len(problem.flavors) * problem.host_count >= LARGE
        and keeps_apart(problem)
        and not any(flavor.phantom for flavor in problem.flavors)
        and all(one.room is None and not one.at_most for one in problem.classes)
    )


def filled_by_lists(
    problem: Problem, *, start: Result | None = None, stop: Callable[[], bool] = lambda: False
) -> Result | None:
    """Return the best answer of all measures, None where none keeps all rules; `stop` ends it after the first one.

    start : an answer that VMs it leaves out are put into, the rest as it is.
    """
    plain, groups = without_counts(problem, problem.host_count, 0)
    limits = HostLimits.of(problem, groups)
    best: Result | None = None
    value: tuple[int, ...] = ()
    for measure in MEASURES:
        if best is not None and stop():
            break
        filling = _Filling(problem=plain, limits=limits)
        filling.begin(start)
        for flavor in filling.order(measure):
            filling.place(flavor, exchange=start is not None)
        patterns, unplaced = tuple(filling.patterns()), tuple(filling.left.tolist())
        mine = evaluate(problem, patterns, unplaced)
        if (best is None or mine < value) and not violations(problem, patterns, unplaced):
            rows = rows_of(problem, mine)
            found = Result(status="feasible", objectives=rows, patterns=patterns, unplaced=unplaced, engine=ENGINE)
            best, value = found, mine
        if start is not None and best is not None:
            break
    return best


@dataclass(slots=True, kw_only=True)
class _Filling:
    """Open hosts, a line each.

    Attributes
    ----------
    use : a shape, (P, K) units of each row, K the most rows of a shape. capacity : (classes, K).
    room : (lines, K) what is left. host_class : (lines,). held : a line, placement -> VMs; on : a line, flavor -> VMs;
    where : flavor -> line -> VMs. left : (F,) VMs without a place. closed : (classes,) hosts that are not open yet.
    """

    problem: Problem
    limits: HostLimits
    use: list[IntArray] = field(init=False)
    capacity: IntArray = field(init=False)
    places: dict[int, list[tuple[int, int]]] = field(init=False)
    room: IntArray = field(init=False)
    host_class: IntArray = field(init=False)
    held: list[Counter[int]] = field(default_factory=list)
    on: list[Counter[int]] = field(default_factory=list)
    where: dict[int, dict[int, int]] = field(init=False)
    left: IntArray = field(init=False)
    closed: list[int] = field(init=False)
    opening: list[int] = field(init=False)
    scale: Floats = field(init=False)
    scarcest: float = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the arrays, no host open."""
        problem = self.problem
        width = max(len(shape.row_names) for shape in problem.shapes)
        self.use = [np.pad(shape.use, ((0, 0), (0, width - shape.use.shape[1]))) for shape in problem.shapes]
        self.capacity = np.array([np.pad(one.capacity, (0, width - len(one.capacity))) for one in problem.classes])
        self.room = np.zeros((64, width), dtype=np.int64)
        self.host_class = np.zeros(64, dtype=np.int64)
        self.where = defaultdict(dict)
        self.left = problem.demand()
        self.closed = [one.count for one in problem.classes]
        self.places = _places(problem)
        self._weigh()
        worth = (self.capacity * self.scale).sum(axis=1)
        self.opening = sorted(
            range(len(worth)), key=lambda n: (problem.classes[n].cost / max(1e-9, worth[n]), -worth[n], n)
        )

    def _weigh(self) -> None:
        """Weigh rows by how much of what there is all VMs take together, a unit each."""
        count = np.array(self.closed, dtype=np.float64)
        whole = np.maximum(1.0, count @ self.capacity)
        asked = np.zeros(len(whole))
        for flavor, places in self.places.items():
            shape, place = places[0]
            asked += float(self.left[flavor]) * self.use[shape][place]
        share = asked / whole
        self.scarcest = max(1e-12, float(share.max(initial=0.0)))
        self.scale = share / self.scarcest / np.maximum(1.0, self.capacity.max(axis=0))

    def begin(self, start: Result | None) -> None:
        """Open the hosts of an answer as they are there."""
        for pattern in () if start is None else start.patterns:
            shape = self.problem.classes[pattern.host_class].shape
            flavor = self.problem.shapes[shape].flavor
            for _ in range(pattern.count if pattern.placements else 0):
                line = self._open(pattern.host_class, 1)[0]
                for place, many in pattern.placements:
                    self._put(int(flavor[place]), shape, place, line, many)

    def order(self, measure: Measure) -> list[int]:
        """Return the flavors with VMs to come: higher priorities first, then those with few hosts, then large ones."""
        size = np.zeros(len(self.problem.flavors))
        for flavor, places in self.places.items():
            shape, place = places[0]
            own = (1 / most * self._crowd(group, most) for group, most in self.limits.alone.get(flavor, ()))
            size[flavor] = measure(np.array([[*(self.use[shape][place] * self.scale).tolist(), *own]]))[0]
        hosts = np.zeros(len(size), dtype=np.int64)
        for one in self.problem.classes:
            hosts += one.count * one.allowed
        flavors = self.problem.flavors
        return sorted(
            (int(f) for f in np.flatnonzero(self.left)),
            key=lambda f: (-flavors[f].priority, int(hosts[f]).bit_length(), -size[f], f),
        )

    def _crowd(self, group: Sequence[int], most: int) -> float:
        """Return how scarce hosts are for a group of which each holds few, the scarcest row being 1."""
        hosts = sum(one.count for one in self.problem.classes)
        return int(self.left[list(group)].sum()) / (most * hosts * self.scarcest)

    def place(self, flavor: int, *, exchange: bool = False) -> None:
        """Place what is left of a flavor: on open hosts, the tightest first, then on others; before these are opened,
        where others make way if it may `exchange`.
        """
        lines = len(self.held)
        allowed = np.array([one.allowed[flavor] for one in self.problem.classes], dtype=np.bool_)
        most: IntArray = np.where(allowed[self.host_class[:lines]], int(self.left[flavor]), 0)
        self.limits.lower(flavor, self.where, most)
        shapes = np.array([one.shape for one in self.problem.classes], dtype=np.int64)[self.host_class[:lines]]
        for shape, place in self.places.get(flavor, ()):
            if not self.left[flavor]:
                return
            use = self.use[shape][place]
            rows = np.flatnonzero(use)
            fit = np.minimum((self.room[:lines, rows] // use[rows]).min(axis=1), most)
            here = np.flatnonzero((fit > 0) & (shapes == shape))
            tight = (self.room[here] * self.scale).sum(axis=1)
            here = here[np.argsort(tight, kind="stable")]
            before = np.cumsum(fit[here]) - fit[here]
            here = here[before < self.left[flavor]]
            take = np.minimum(fit[here], self.left[flavor] - before[: len(here)])
            for line, many in zip(here.tolist(), take.tolist(), strict=True):
                self._put(flavor, shape, place, line, many)
            most[here] -= take
        if exchange and self.left[flavor]:
            self.exchange(flavor)
        for number in self.opening:
            own = self.problem.classes[number].shape
            for shape, place in self.places.get(flavor, ()) if allowed[number] else ():
                if shape == own and self.left[flavor]:
                    self._onto_new(flavor, shape, place, number)

    def _onto_new(self, flavor: int, shape: int, place: int, number: int) -> None:
        use = self.use[shape][place]
        rows = np.flatnonzero(use)
        fit = int((self.capacity[number, rows] // use[rows]).min(initial=int(self.left[flavor])))
        fit = self.limits.on_empty(flavor, fit)
        if fit > 0:
            hosts = min(self.closed[number], -(-int(self.left[flavor]) // fit))
            for line in self._open(number, hosts):
                self._put(flavor, shape, place, line, min(fit, int(self.left[flavor])))

    def _open(self, number: int, hosts: int) -> range:
        """Open so many hosts of a class and return their lines."""
        lines = range(len(self.held), len(self.held) + hosts)
        while lines.stop > len(self.room):
            self.room = np.concatenate([self.room, np.zeros_like(self.room)])
            self.host_class = np.concatenate([self.host_class, np.zeros_like(self.host_class)])
        self.room[lines.start : lines.stop] = self.capacity[number]
        self.host_class[lines.start : lines.stop] = number
        self.held += [Counter() for _ in lines]
        self.on += [Counter() for _ in lines]
        self.closed[number] -= hosts
        return lines

    def _put(self, flavor: int, shape: int, place: int, line: int, many: int) -> None:
        """Put so many VMs on a host, or take them away, where negative."""
        for held, what in ((self.held[line], place), (self.on[line], flavor)):
            held[what] += many
            if not held[what]:
                del held[what]
        self.room[line] -= many * self.use[shape][place]
        there = self.where[flavor]
        there[line] = there.get(line, 0) + many
        if not there[line]:
            del there[line]
        self.left[flavor] -= many

    def exchange(self, flavor: int) -> None:
        """Place what is left of a flavor on open hosts of which another VM finds room elsewhere."""
        lines, shapes = len(self.held), [one.shape for one in self.problem.classes]
        least = np.min([use.min(axis=0) for use in self.use if len(use)], axis=0)
        for shape, place in self.places.get(flavor, ()):
            use = self.use[shape][place]
            for _ in range(int(self.left[flavor])):
                most: IntArray = np.ones(lines, dtype=np.int64)
                for number in np.unique(self.host_class[:lines]).tolist():
                    if shapes[number] != shape or not self.problem.classes[number].allowed[flavor]:
                        most[self.host_class[:lines] == number] = 0
                self.limits.lower(flavor, self.where, most)
                here = np.flatnonzero(most > 0)
                lack = (np.maximum(0, use - self.room[here]) * self.scale).sum(axis=1)
                free = np.flatnonzero((self.room[:lines] >= least).all(axis=1))
                some = here[np.argsort(lack, kind="stable")][:TRIES].tolist()
                if not any(self._makes_way(flavor, shape, place, line, free) for line in some):
                    break

    def _makes_way(self, flavor: int, shape: int, place: int, line: int, free: IntArray) -> bool:
        """Let one VM of a host go to one of the hosts `free`, and one of a flavor take its room."""
        use, room = self.use[shape][place], self.room[line]
        flavor_of = self.problem.shapes[shape].flavor
        for other in [one for one in self.held[line] if (room + self.use[shape][one] >= use).all()]:
            leaver = int(flavor_of[other])
            if leaver == flavor:
                continue
            self._put(leaver, shape, other, line, -1)
            if self.limits.may(flavor, self.on[line]):
                self._put(flavor, shape, place, line, 1)
                if self._goes(leaver, free[free != line]):
                    return True
                self._put(flavor, shape, place, line, -1)
            self._put(leaver, shape, other, line, 1)
        return False

    def _goes(self, flavor: int, lines: IntArray) -> bool:
        """Put a VM on the first of some hosts that has room for it and where no limit is in the way."""
        for shape, place in self.places.get(flavor, ()):
            for line in lines[(self.room[lines] >= self.use[shape][place]).all(axis=1)][:TARGETS].tolist():
                one = self.problem.classes[int(self.host_class[line])]
                if one.shape == shape and one.allowed[flavor] and self.limits.may(flavor, self.on[line]):
                    self._put(flavor, shape, place, line, 1)
                    return True
        return False

    def patterns(self) -> Iterator[HostPattern]:
        """Yield what the hosts hold, alike ones together."""
        alike: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
        for number, held in zip(self.host_class.tolist(), self.held, strict=False):
            alike[number, tuple(sorted(held.items()))] += 1
        for number, hosts in enumerate(self.closed):
            if hosts:
                alike[number, ()] += hosts
        for (number, placements), count in alike.items():
            yield HostPattern(host_class=number, count=count, placements=placements)


def _places(problem: Problem) -> dict[int, list[tuple[int, int]]]:
    """Return flavor -> (shape, placement), the cheapest by the goals in order first."""
    keyed: dict[int, list[tuple[tuple[int, ...], int, int]]] = defaultdict(list)
    keys = [objective.cost for objective in problem.objectives if objective.cost is not None]
    for number, shape in enumerate(problem.shapes):
        costs: Sequence[IntArray] = [shape.cost[key] for key in keys if key in shape.cost]
        for place in np.flatnonzero(~shape.stay_only).tolist():
            cost = tuple(int(one[place]) for one in costs)
            keyed[int(shape.flavor[place])].append((cost, number, place))
    return {flavor: [(shape, place) for _, shape, place in sorted(found)] for flavor, found in keyed.items()}
