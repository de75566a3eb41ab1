"""The stage that improves an answer in small rounds of deterministic work, before and after the engines.

First single moves, the best first, and swaps where loads are to be even; then room for VMs that are left out; fewer
hosts; chains of a few VMs; and in the end some VMs taken out and put back together, for as long as that brings
anything. The best of all rounds is kept, and handed back where the referee accepts it; nothing here proves anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from solvers.evaluate import evaluate, violations
from solvers.improve.chains import chain
from solvers.improve.climb import Climb
from solvers.improve.empty import by_content, by_moves, empty_one, least_cost
from solvers.improve.exchange import Exchange, weights
from solvers.improve.fleet import Fleet, Vector
from solvers.improve.refill import refill
from solvers.improve.relocate import Relocations, most_to_win
from solvers.improve.settle import asks_to_settle, known_first
from solvers.improve.tables import tables_of
from solvers.objective import Hinges
from solvers.problem import Problem
from solvers.result import Result

CHANGES = 50
"""Changes of a round on the steepest way down."""
TRIES = 60
"""Targets that are looked for in a round of single moves."""
STEPS = 250
"""Exchanges in a round."""
CHAINS = 30
"""VMs for which chains are tried in a round."""
REFILLS = 16
"""Times that some VMs are taken out in a round."""
MOST_VMS = 20_000
"""Fleets of more VMs are left alone where many of them are alike: columns prove those in seconds."""
ALIKE, FEW_ALIKE = 100, 3
"""VMs of a flavor, on average, that are many; and that are so many that columns prove an empty fleet at once."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """Rounds on one answer; `patience` is how many rounds of a kind in a row may bring nothing.

    `best` are the best values so far, and `mark` is how long the fleet's journal was then.
    """

    problem: Problem
    start: Result
    fleet: Fleet
    rng: np.random.Generator
    patience: int
    best: Vector = field(init=False)
    mark: int = 0
    _rounds: Iterator[None] = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.best = self.fleet.vector()
        self._rounds = self._all_rounds()

    def round(self) -> bool:
        """Do a round; return whether there was anything to try."""
        return next(self._rounds, self) is None

    @property
    def is_at_best(self) -> bool:
        """Whether the fleet as it is now is the best so far, and another one than at the start."""
        return 0 < self.mark == len(self.fleet.journal)

    def answer(self) -> Result:
        """Return the best answer, without bounds: the one it began with where nothing is better. The stage is over,
        unless it is at its best now.
        """
        self.fleet.undo(self.mark)
        if not self.mark:
            return self.start
        patterns, unplaced = self.fleet.answer()
        better = evaluate(self.problem, patterns, unplaced) < self.start_values
        if not better or violations(self.problem, patterns, unplaced):
            return self.start
        return Result(status="feasible", objectives=(), patterns=patterns, unplaced=unplaced)

    @property
    def start_values(self) -> Vector:
        """What the answer was worth that the stage began with."""
        return evaluate(self.problem, self.start.patterns, self.start.unplaced)

    def _keep(self) -> bool:
        """Note the fleet as it is if it is better than ever; return whether it is."""
        if self.fleet.vector() >= self.best or not self.fleet.within_budget():
            return False
        self.best, self.mark = self.fleet.vector(), len(self.fleet.journal)
        return True

    def _all_rounds(self) -> Iterator[None]:
        if self._moves_are_for_hosts:
            yield from self._emptied_with_few_moves()
        yield from self._known_before_those_that_settle()
        yield from self._single_moves()
        if self.fleet.out[~self.fleet.frozen].any():
            yield from self._room()
            yield from self._single_moves()
        if self._hosts_may_be_fewer:
            yield from self._fewer_hosts()
        yield from self._chains()
        idle = 0
        while idle < self.patience:
            for _ in range(REFILLS):
                refill(self.fleet, self.rng)
            idle = 0 if self._keep() else idle + 1
            yield

    def _known_before_those_that_settle(self) -> Iterator[None]:
        asked = asks_to_settle(self.fleet)
        if self.problem.budget.moves is None or not any(self.best[number] for number in asked):
            return
        for settled in known_first(self.fleet, asked, TRIES):
            if settled:
                self._keep()
            yield

    def _single_moves(self) -> Iterator[None]:
        # The tables hold some flavors at a time; what they do not hold is looked at VM by VM.
        covered = False
        while not covered and (climb := Climb.of(self.fleet)) is not None:
            before = self.best
            while climb.run(CHANGES) == CHANGES:
                self._keep()
                yield
            self._keep()
            yield
            covered = climb.covers_all()
            if self.best == before:
                break
        if covered:
            return
        moves = Relocations(self.fleet)
        while moves.queue:
            moves.run(TRIES)
            self._keep()
            yield

    def _room(self) -> Iterator[None]:
        fleet = self.fleet
        closed = np.zeros(fleet.tables.hosts, dtype=np.bool_)
        search = Exchange(fleet=fleet, rng=self.rng, weight=weights(fleet), closed=closed)
        idle = 0
        while idle < 2 * self.patience and fleet.out[~fleet.frozen].any():
            idle = 0 if search.run(STEPS) else idle + 1
            self.best, self.mark = search.best, search.mark
            yield
        search.finish()

    def _fewer_hosts(self) -> Iterator[None]:
        idle = 0
        while idle < self.patience:
            before = self.best
            for host in by_content(self.fleet, self.rng)[: self.patience - idle]:
                for _ in empty_one(self.fleet, self.rng, host, steps=STEPS):
                    self._keep()
                    yield
                if self.best < before:
                    break
                idle += 1
            else:
                return
            idle = 0

    @property
    def _hosts_may_be_fewer(self) -> bool:
        """Tell whether hosts cost, and more than those that the VMs take in any case."""
        if not any(objective.host_cost for objective in self.problem.objectives):
            return False
        used = int(self.fleet.tables.opening[self.fleet.vms > 0].sum())
        return used > least_cost(self.fleet)

    @property
    def _moves_are_for_hosts(self) -> bool:
        """Tell whether moves are few, and hosts that are not needed count before anything that single moves win."""
        budget, objectives = self.problem.budget, self.problem.objectives
        first = next((number for number, one in enumerate(objectives) if one.host_cost), None)
        if first is None or (budget.moves is None and budget.migrations is None):
            return False
        return not any(one.cost is not None or one.hinge not in (None, "rules") for one in objectives[:first])

    def _emptied_with_few_moves(self) -> Iterator[None]:
        """Empty hosts with few VMs while moves are left: single moves would spend them on what counts less."""
        idle = 0
        for host in by_moves(self.fleet):
            if idle >= self.patience or int(self.fleet.vms[host]) > self.fleet.moves_left:
                return
            before = self.best
            for _ in empty_one(self.fleet, self.rng, host, steps=STEPS):
                self._keep()
                yield
            idle = 0 if self.best < before else idle + 1

    def _chains(self) -> Iterator[None]:
        entries = most_to_win(self.fleet, list(range(len(self.fleet.held))))
        entries = entries[: CHAINS * self.patience]
        for first in range(0, len(entries), CHAINS):
            for _, host, place in entries[first : first + CHAINS]:
                if place in self.fleet.held[host]:
                    chain(self.fleet, host, place)
            self._keep()
            yield


def stage_of(problem: Problem, start: Result, *, seed: int, patience: int) -> Stage | None:
    """Return a stage that improves an answer; None where columns do that better, or where tables would be too large."""
    if not start.patterns or _by_columns(problem, start):
        return None
    return stage_on(problem, start, seed=seed, patience=patience)


def stage_on(problem: Problem, start: Result, *, seed: int, patience: int) -> Stage | None:
    """Return a stage that improves an answer whatever columns would do; None where tables would be too large."""
    tables = tables_of(problem)
    if tables is None:
        return None
    fleet = Fleet.of(tables, start.patterns, start.unplaced)
    return Stage(problem=problem, start=start, fleet=fleet, rng=np.random.default_rng([seed, 5]), patience=patience)


def _by_columns(problem: Problem, start: Result) -> bool:
    vms, flavors = int(problem.demand().sum()), len(problem.flavors)
    if vms > MOST_VMS and not any(isinstance(term, Hinges) for one in problem.objectives for term in one.terms):
        # Loads of hosts that are to be even have as many states as hosts, which columns price one after the other.
        return vms > ALIKE * flavors
    empty = all(host_class.is_empty for host_class in problem.classes)
    # VMs that these rules keep out find room by other ties of groups to domains sooner than by exchanges.
    tied = bool(problem.rules) and all(rule.kind in ("spread", "together") for rule in problem.rules)
    return empty and vms > FEW_ALIKE * flavors and (tied or not any(start.unplaced))
