"""Fewest hosts where they have to be full: all fillings that waste no more than is to spare, and a choice of them.

What the VMs take in all says how many hosts there must be, and so how much room may stay free on all of them together.
Where that is next to nothing, few fillings waste so little; they are listed, and CP-SAT chooses those that hold every
VM once. Triplets made to fill their bins, which searches that look at one VM after the other never find, come out so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_model
from solvers.evaluate import evaluate, violations
from solvers.problem import BoolArray, IntArray, Problem
from solvers.result import HostPattern, Interrupt, Result
from solvers.starts.best_fit import hosts_used, rows_of

LOOKS = 150_000
"""Most times that all VMs are looked at for one that fits beside others; above, too many fillings are good enough."""
FILLINGS = 20_000
SPARE = 0.25
"""Share of a host that may stay free of its scarcest resource on all hosts together, for a search to be worth it."""
EFFORT = 8.0
"""Deterministic seconds of CP-SAT."""


def full_hosts(
    problem: Problem, first: Result, *, seed: int, time_limit_s: float, interrupt: Interrupt
) -> tuple[Result, bool]:
    """Return an answer with as few hosts as the VMs take room, or the first one; and whether there was a search.

    A search that the wall clock cuts off counts as never begun.
    """
    hosts = _hosts_needed(problem)
    if hosts is None or hosts >= hosts_used(first):
        return first, False
    host_class = problem.classes[0]
    shape = problem.shapes[host_class.shape]
    count = problem.demand()[shape.flavor]
    spare = hosts * host_class.capacity - count @ shape.use
    if (spare > SPARE * host_class.capacity).all():
        return first, False
    search = _Fillings(use=shape.use, count=count, spare=spare)
    search.extend(0, (), host_class.capacity)
    if search.looks > LOOKS or not 0 < len(search.found) <= FILLINGS:
        return first, True
    model = cp_model.CpModel()
    chosen = [model.new_int_var(0, hosts, "") for _ in search.found]
    holds: list[list[tuple[cp_model.IntVar, int]]] = [[] for _ in count]
    for one, filling in zip(chosen, search.found, strict=True):
        for placement, many in filling:
            holds[placement].append((one, many))
    for own, many in zip(holds, count.tolist(), strict=True):
        model.add(sum(one * each for one, each in own) == many)
    model.add(sum(chosen) <= hosts)
    answer = run_model(
        model, budget=EFFORT, seconds=time_limit_s, seed=seed, linearization=2, presolve=False, interrupt=interrupt
    )
    if answer.cut:
        return first, False
    if answer.values is None:
        return first, True
    patterns = [
        HostPattern(host_class=0, count=int(many), placements=filling)
        for filling, many in zip(search.found, answer.values[: len(chosen)], strict=True)
        if many
    ]
    empty = host_class.count - sum(pattern.count for pattern in patterns)
    if empty:
        patterns.append(HostPattern(host_class=0, count=empty, placements=()))
    unplaced = (0,) * len(problem.flavors)
    if violations(problem, patterns, unplaced):
        return first, True
    values = evaluate(problem, patterns, unplaced)
    if values >= evaluate(problem, first.patterns, first.unplaced):
        return first, True
    return (
        Result(
            status="feasible",
            objectives=rows_of(problem, values),
            patterns=tuple(patterns),
            unplaced=unplaced,
            engine=first.engine,
        ),
        True,
    )


def _hosts_needed(problem: Problem) -> int | None:
    """Return the hosts that the VMs fill if none wastes anything; None where hosts are not alike, or not counted."""
    one = problem.classes[0] if len(problem.classes) == 1 else None
    if one is None or not one.is_empty or problem.rules or not one.allowed.all():
        return None
    shape = problem.shapes[one.shape]
    plain = (
        any(objective.host_cost for objective in problem.objectives)
        and not any(flavor.phantom for flavor in problem.flavors)
        and not any(cost.any() for cost in shape.cost.values())
        and not shape.hinges
        and len(set(shape.flavor.tolist())) == shape.placements == len(problem.flavors)
    )
    if not plain:
        return None
    total = problem.demand()[shape.flavor] @ shape.use
    if (one.capacity[total > 0] <= 0).any():
        return None
    return int((-(-total // np.maximum(1, one.capacity))).max(initial=0))


@dataclass(slots=True, kw_only=True)
class _Fillings:
    """Fillings of a host that leave at most `spare` (K,) of each row, as (placement, VMs) pairs."""

    use: IntArray
    count: IntArray
    spare: IntArray
    looks: int = 0
    found: list[tuple[tuple[int, int], ...]] = field(default_factory=list)
    order: IntArray = field(init=False)
    sorted_use: IntArray = field(init=False)
    least: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Look at the largest first."""
        self.order = np.argsort(-self.use.max(axis=1), kind="stable")
        self.sorted_use = self.use[self.order]
        self.least = self.use.min(axis=0)

    def extend(self, first: int, held: tuple[int, ...], room: IntArray) -> None:
        """List the fillings that add VMs from number `first` on to those held."""
        self.looks += 1
        if self.looks > LOOKS or len(self.found) > FILLINGS:
            return
        rest = self.sorted_use[first:]
        fits = first + np.flatnonzero((rest <= room).all(axis=1))
        if not len(fits):
            return
        use, many = self.sorted_use[fits], self.count[self.order[fits]]
        if (many @ use < room - self.spare).any():
            return
        left = room - use
        full: BoolArray = np.all(left <= self.spare, axis=1)
        wide: BoolArray = np.all(left >= self.least, axis=1)
        for number, is_full, is_wide, after in zip(fits.tolist(), full.tolist(), wide.tolist(), left, strict=True):
            if not (is_full or is_wide) or held.count(number) >= self.count[self.order[number]]:
                continue
            if is_full:
                numbers = self.order[[*held, number]].tolist()
                self.found.append(tuple(sorted((n, numbers.count(n)) for n in set(numbers))))
            if is_wide:
                self.extend(number, (*held, number), after)
