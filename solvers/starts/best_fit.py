"""The greedy engine: best fit in decreasing size over groups of hosts that are alike, not over single hosts.

A flavor is offered to all groups at once; filling a group to the brim changes one line of a matrix, and only the end of
a flavor's demand splits a group. What is on the hosts stays, and nothing that may not be broken is broken.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.evaluate import evaluate, violations
from solvers.improve.fleet import Fleet
from solvers.problem import IntArray, Problem
from solvers.result import ObjectiveResult, Result
from solvers.starts.groups import Groups, groups_of
from solvers.starts.rules import RuleKeeper

ENGINE = "greedy"
_PLENTY = 1 << 40
BLOCK = 1 << 20
"""Groups × placements × rows that are looked at together."""


def solve_greedy(
    problem: Problem, *, seed: int = 0, warm_start: Result | None = None, check: Callable[[], None] = lambda: None
) -> Result:
    """Place what arrives by best fit: priorities first, then decreasing size; at the cheapest place, then the tightest.

    Parameters
    ----------
    seed : 0 for plain decreasing size; any other jitters the sizes by up to 15 %, for another answer.
    warm_start : start from its patterns rather than from what is on the hosts now.
    check : called between flavors; what it raises ends the work (`Clock.check`), where there is another answer.

    Returns
    -------
    Result
        Values without bounds; ``unknown`` if VMs that are somewhere now could not be kept within rows and budget.
    """
    patterns = warm_start.patterns if warm_start is not None and warm_start.patterns else None
    packing = _Packing(problem=problem, seed=seed, groups=groups_of(problem, patterns), check=check)
    packing.evict()
    if patterns is None:
        packing.settle()
    packing.place_all()
    found = tuple(pattern for groups in packing.groups for pattern in groups.patterns())
    unplaced = tuple(packing.left.tolist())
    if violations(problem, found, unplaced):
        return Result(status="unknown", objectives=rows_of(problem, (None,) * len(problem.objectives)), engine=ENGINE)
    values = evaluate(problem, found, unplaced)
    return Result(
        status="feasible", objectives=rows_of(problem, values), patterns=found, unplaced=unplaced, engine=ENGINE
    )


def hosts_used(answer: Result) -> int:
    """Return how many hosts hold a VM."""
    return sum(pattern.count for pattern in answer.patterns if pattern.placements)


def better(problem: Problem, first: Result, fleet: Fleet) -> Result:
    """Return what a fleet has become as an answer, or the first one where it is no better."""
    patterns, unplaced = fleet.answer()
    values = evaluate(problem, patterns, unplaced)
    if violations(problem, patterns, unplaced) or values >= evaluate(problem, first.patterns, first.unplaced):
        return first
    return Result(
        status="feasible",
        objectives=rows_of(problem, values),
        patterns=patterns,
        unplaced=unplaced,
        rounds=first.rounds,
        engine=first.engine,
    )


def rows_of(problem: Problem, values: tuple[int | None, ...]) -> tuple[ObjectiveResult, ...]:
    """Return values that nothing is proven of, one a objective."""
    return tuple(
        ObjectiveResult(
            goal=objective.goal,
            part=objective.part,
            value=value,
            bound=None,
            source="",
            status="unknown" if value is None else "feasible",
            stopped="first answers prove nothing",
        )
        for objective, value in zip(problem.objectives, values, strict=True)
    )


@dataclass(slots=True)
class _Packing:
    """The hosts being filled; `left` (F,) is how many VMs of each flavor are not yet anywhere."""

    problem: Problem
    seed: int
    groups: list[Groups]
    check: Callable[[], None]
    rules: RuleKeeper = field(init=False)
    left: IntArray = field(init=False)
    places: list[dict[int, list[int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.rules = RuleKeeper(problem=self.problem, groups=self.groups)
        phantom = np.array([flavor.phantom for flavor in self.problem.flavors], dtype=np.bool_)
        self.left = np.where(phantom, 0, self.problem.demand())
        self.places = []
        for groups in self.groups:
            flavor = groups.shape.flavor.tolist()
            for count, held in zip(groups.count, groups.held, strict=True):
                for placement, many in held.items():
                    self.left[flavor[placement]] -= many * count
            own: dict[int, list[int]] = defaultdict(list)
            for placement in np.flatnonzero(~groups.shape.stay_only).tolist():
                own[flavor[placement]].append(placement)
            self.places.append(own)

    def evict(self) -> None:
        """Take VMs off hosts that hold more than fits, those that take most of a broken row first; what a row may stay
        over its room stays.
        """
        for groups in self.groups:
            for group in np.flatnonzero((groups.room[: len(groups)] < 0).any(axis=1)).tolist():
                if self.problem.classes[groups.host_class[group]].room is not None:
                    continue
                while (short := np.maximum(0, -groups.room[group])).any():
                    held = groups.held[group]
                    helps = {placement: int(np.minimum(groups.shape.use[placement], short).sum()) for placement in held}
                    worst = max(helps, key=lambda placement: (helps[placement], -placement), default=None)
                    if worst is None or not helps[worst]:
                        break
                    groups.put(group, worst, -1)
                    self.left[groups.shape.flavor[worst]] += groups.count[group]

    def settle(self) -> None:
        """Give VMs that are on no known node of their host a place on it."""
        for shape, groups in enumerate(self.groups):
            for group in range(len(groups)):
                for flavor, many in self.problem.classes[groups.host_class[group]].floating:
                    for _ in range(many):
                        best = self._best_here(shape, group, flavor)
                        if best is None:
                            break
                        groups.put(group, best, 1)
                        self.left[flavor] -= groups.count[group]
                        self.rules.place(flavor, shape, group, best, groups.count[group])

    def _best_here(self, shape: int, group: int, flavor: int) -> int | None:
        groups = self.groups[shape]
        choices = []
        for placement in self.places[shape].get(flavor, ()):
            if groups.fit(group, placement) > 0:
                rows = groups.shape.use[placement] > 0
                tight = float((groups.room[group] / groups.capacity[group])[rows].sum())
                choices.append((*self._costs(shape, placement), tight, placement))
        return int(min(choices)[-1]) if choices else None

    def _costs(self, shape: int, placement: int) -> tuple[int, ...]:
        table = self.groups[shape].shape.cost
        return tuple(
            int(table[objective.cost][placement])
            for objective in self.problem.objectives
            if objective.cost is not None and objective.cost in table
        )

    def place_all(self) -> None:
        """Place VMs that must be somewhere, then arriving ones, then phantoms as their goals come."""
        flavors = self.problem.flavors
        size = self._sizes()
        # Those with few hosts to go to first: what may go anywhere would fill them up.
        hosts = np.zeros(len(flavors), dtype=np.int64)
        for host_class in self.problem.classes:
            hosts += host_class.count * host_class.allowed
        scarce = [int(count).bit_length() for count in hosts]
        order = sorted(
            (f for f in range(len(flavors)) if not flavors[f].phantom),
            key=lambda f: (-flavors[f].priority, scarce[f], -size[f], f),
        )
        for flavor in order:
            homeless = int(self.left[flavor]) - flavors[flavor].arriving
            if homeless > 0:
                self._place(flavor, homeless)
        for flavor in order:
            if self.left[flavor] > 0:
                self._place(flavor, int(self.left[flavor]))
        for objective in self.problem.objectives:
            for flavor in np.flatnonzero([flavor.phantom for flavor in flavors]).tolist():
                if objective.cost is not None and self._is_counted(objective.cost, flavor):
                    self._place(flavor, _PLENTY)

    def _is_counted(self, cost: str, flavor: int) -> bool:
        return any(
            (groups.shape.cost[cost][groups.shape.flavor == flavor] < 0).any()
            for groups in self.groups
            if cost in groups.shape.cost
        )

    def _sizes(self) -> list[float]:
        """Return each flavor's size: what it takes of all rows of a host, as a share of what hosts have."""
        total = np.zeros(len(self.problem.flavors))
        hosts = np.zeros(len(self.problem.flavors))
        for shape, groups in enumerate(self.groups):
            count = np.array(groups.count, dtype=np.float64)
            if not count.size:
                continue
            room = np.maximum(1.0, count @ groups.capacity[: len(groups)] / count.sum())
            share = (groups.shape.use / room).sum(axis=1)
            for flavor, placements in self.places[shape].items():
                total[flavor] += share[placements].min() * count.sum()
                hosts[flavor] += count.sum()
        jitter = random.Random(self.seed)
        return [
            float(size / max(1.0, many)) * (1.0 if not self.seed else 0.85 + 0.3 * jitter.random())
            for size, many in zip(total, hosts, strict=True)
        ]

    def _place(self, flavor: int, many: int) -> None:
        """Place up to `many` VMs of a flavor, the cheapest place first, then the tightest."""
        self.check()
        before = many + 1
        while 0 < many < before:
            before = many
            many -= self._place_once(flavor, many)
            if not self.rules.reopens(flavor):
                break

    def _place_once(self, flavor: int, many: int) -> int:
        """Go over all places once and return how many VMs came."""
        asked = many
        for shape, group, placement in self._candidates(flavor):
            groups = self.groups[shape]
            while many > 0:
                each, total = self.rules.room(flavor, shape, group, placement)
                fit = min(groups.fit(group, placement), each)
                most = min(many, total)
                if fit <= 0 or most <= 0:
                    break
                alone = self.rules.is_alone(flavor) and groups.count[group] > 1
                many -= self._fill(flavor, shape, groups.split(group, 1) if alone else group, placement, fit, most)
                if not alone:
                    break
        return asked - many

    def _fill(self, flavor: int, shape: int, group: int, placement: int, fit: int, most: int) -> int:
        """Put `fit` VMs on each host of a group while `most` last, the rest on one more; return how many it took."""
        groups = self.groups[shape]
        phantom = self.problem.flavors[flavor].phantom
        full = min(most // fit, groups.count[group])
        rest = min(fit, most - full * fit) if full < groups.count[group] else 0
        # Split off what is filled: the group itself stays as it is, for the rest and for other placements.
        for hosts, each in ((full, fit), (1, rest)):
            if hosts and each:
                part = groups.split(group, hosts)
                groups.put(part, placement, each, phantom=phantom)
                if not phantom:
                    self.left[flavor] -= each * hosts
                    self.rules.place(flavor, shape, part, placement, each * hosts)
        return full * fit + rest

    def _candidates(self, flavor: int) -> Iterator[tuple[int, int, int]]:
        """Yield (shape, group, placement) where a VM fits now: the cheapest first, then the tightest, then by index."""
        parts = [part for shape in range(len(self.groups)) for part in self._candidates_of(shape, flavor)]
        if not parts:
            return
        keys = np.concatenate(parts, axis=1)
        order = np.lexsort(keys[::-1])
        width = len(keys)
        yield from zip(*keys[width - 3 :, order].astype(np.int64).tolist(), strict=True)

    def _candidates_of(self, shape: int, flavor: int) -> Iterator[NDArray[np.float64]]:
        """Yield arrays of columns (cost a goal ..., tightness, shape, group, placement), sort keys first to last."""
        groups = self.groups[shape]
        placements = self.places[shape].get(flavor, ())
        if not placements or not len(groups):
            return
        classes, own = self.problem.classes, np.array(groups.host_class, dtype=np.int64)
        allowed = np.array([host_class.allowed[flavor] for host_class in classes], dtype=np.bool_)[own]
        allowed &= self.rules.open_groups(flavor, shape)
        if not allowed.any():
            return
        penalty = np.array([host_class.stay_penalty[flavor] for host_class in classes], dtype=np.int64)[own]
        cost_of = np.array([host_class.cost for host_class in classes], dtype=np.int64)
        opening = np.where(np.fromiter(map(bool, groups.held), dtype=np.bool_, count=len(own)), 0, cost_of[own])
        share = groups.room[: len(groups)] / groups.capacity[: len(groups)]
        largest = groups.capacity[: len(groups)].max(axis=0)
        size = (groups.capacity[: len(groups)] / largest).sum(axis=1)
        for some, rows in _blocks(groups, placements):
            hosts, which = np.nonzero(allowed[:, None] & (groups.fits(some, rows) > 0))
            if not len(hosts):
                continue
            chosen = some[which]
            columns = []
            for objective in self.problem.objectives:
                cost = np.zeros(len(hosts))
                if objective.cost is not None and objective.cost in groups.shape.cost:
                    cost += groups.shape.cost[objective.cost][chosen]
                if objective.stay_penalty:
                    cost += penalty[hosts]
                if objective.host_cost:
                    cost += opening[hosts]
                columns.append(cost)
                if objective.host_cost:
                    # Of hosts to be opened the one that will take most.
                    columns.append(np.where(opening[hosts] > 0, -size[hosts], 0.0))
            columns.append(share[hosts[:, None], rows[which]].sum(axis=1))
            where = np.stack([np.full(len(hosts), shape), hosts, chosen])
            yield np.concatenate([np.array(columns, dtype=np.float64), where.astype(np.float64)])


def _blocks(groups: Groups, placements: list[int]) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield placements that take of as many rows each, and those rows (placements, rows), so many that what is
    computed of all groups at once stays small.
    """
    taken = groups.shape.use[placements] > 0
    widths = taken.sum(axis=1)
    for width in np.unique(widths).tolist():
        alike = np.flatnonzero(widths == width)
        rows = np.nonzero(taken[alike])[1].reshape(len(alike), width)
        step = max(1, BLOCK // (len(groups) * max(1, width)))
        for at in range(0, len(alike), step):
            yield np.array(placements, dtype=np.int64)[alike[at : at + step]], rows[at : at + step]
