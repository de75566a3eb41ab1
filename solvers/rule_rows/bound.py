"""Bounds that know rules over hosts: the columns of the problem without rules, and the rows that its optimum breaks.

Rows are added only where the linear program breaks them, states and flavors are told apart as far as these rows do,
and the program is solved again. Its duals give a Lagrangian bound at every step, as they do without rows. It looks for
no answers, and where nothing is broken it does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from solvers.claims import Claim
from solvers.clock import Clock, CutOffError
from solvers.columns.certificate import certificate
from solvers.columns.columns import unsupported
from solvers.columns.generate import Generator
from solvers.columns.lattice import lattice_of
from solvers.columns.model import Pattern, StateModel, pattern_of
from solvers.columns.phase import Phase
from solvers.columns.run import Kit
from solvers.objective import ceiling
from solvers.problem import IntArray, Problem
from solvers.reductions.best_answer import BestAnswer
from solvers.reductions.merged import Merged
from solvers.result import HostPattern, Limits, Result
from solvers.rule_rows.limited import Limited
from solvers.rule_rows.rows import RuleRow, RuleRows
from solvers.rule_rows.shares import FloatArray, Shares

TURNS = 12
"""How often rows are added at most."""
MOST_ROWS = 400
"""Rows from which on none is added."""
MOST_CELLS = 20_000_000
"""Hosts times flavors from which on VMs are not shared out: the table would take too much memory."""
LEAST_S = 0.5
"""Seconds that a search for a bound has at least, where the time is not over."""


def bound_by_rows(search: BestAnswer, *, seed: int, clock: Clock, share: float) -> None:
    """Prove more of the best answer by rows of the rules, as far as rounds and a share of the time that is left allow.

    What rows have proven already is not tried once more. Rounds are counted in `search`.
    """
    problem, best = search.problem, search.best
    if best is None or search.closed or not search.relaxed.patterns or unsupported(replace(problem, rules=())):
        return
    if len(problem.classes) * len(problem.flavors) > MOST_CELLS:
        return
    rules = RuleRows(problem=problem)
    if not any(rules.knows(number) for number in range(len(problem.rules))):
        return
    shares = Shares.of(rules, StateModel(problem=replace(problem, rules=())))
    limits = clock.limits
    for number, objective in enumerate(problem.objectives):
        bound = search.bounds[number]
        known = any(of == number and claim.holds(search.values[:number]) for of, claim in search.ruled)
        if known or objective.goal == "rules" or (bound is not None and search.values[number] <= bound):
            continue
        left_s = limits.time_limit_s - clock.seconds
        rest = None if limits.rounds is None else max(0, limits.rounds - search.rounds)
        if left_s <= 0 or clock.interrupt.requested:
            return
        own = Limits(time_limit_s=min(left_s, max(LEAST_S, share * left_s)), rounds=rest)
        work = _Work(
            shares=shares,
            objective=number,
            values=search.values,
            answers=(search.relaxed, best),
            clock=Clock(limits=own, interrupt=clock.interrupt),
            seed=seed,
        )
        claim = work.claim()
        search.rounds += work.clock.rounds
        if claim is not None:
            search.prove(number, claim)


@dataclass(slots=True, kw_only=True)
class _Made:
    """The problem with some rows, and what of the source its states and flavors are.

    `flavor` : (F,) of the source. `places` : a shape of the source, (P,) the placement of each.
    """

    limited: Limited
    kit: Kit
    flavor: IntArray
    places: Sequence[IntArray]

    def pattern(self, problem: Problem, one: HostPattern) -> tuple[int, Pattern]:
        """Return a pattern of the source as a state's."""
        places = self.places[problem.classes[one.host_class].shape]
        held: Counter[int] = Counter()
        for place, many in (*one.placements, *one.phantoms):
            held[int(places[place])] += many
        return int(self.kit.model.state_of_class[one.host_class]), pattern_of(held)

    def start(self, problem: Problem, answers: Sequence[Result]) -> bool:
        """Take the patterns of answers, the last of which keeps all rows; return whether they are ones here."""
        model = self.kit.model
        for answer in answers:
            found = {self.pattern(problem, one): None for one in answer.patterns}
            fit = [key for key in found if model.fits(model.states[key[0]], key[1])]
            if answer is answers[-1] and len(fit) < len(found):
                return False
            self.kit.pool.add(fit)
        for one, places in self.limited.choices:
            state = int(model.state_of_class[one])
            self.kit.pool.add([(state, ()), *((state, ((place, 1),)) for place in range(places))])
        return True


@dataclass(slots=True, kw_only=True)
class _Work:
    """The search for a bound on one objective beside an answer of some `values`; the last of `answers` is that one."""

    shares: Shares
    objective: int
    values: tuple[int, ...]
    answers: tuple[Result, ...]
    clock: Clock
    seed: int
    best: Claim | None = None
    _held: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Hold the earlier objectives at the answer's values, and their tolerance."""
        objectives = self._problem.objectives
        self._held = tuple(
            ceiling(value, objectives[g].tolerance) for g, value in enumerate(self.values[: self.objective])
        )

    @property
    def _problem(self) -> Problem:
        return self.shares.rules.problem

    def claim(self) -> Claim | None:
        """Return the best bound that rows prove; None where no row is broken, or nothing was proven in time."""
        rows = self._first()
        with suppress(CutOffError):
            for _ in range(TURNS):
                if not rows or len(rows) > MOST_ROWS or not self.clock.goes_on():
                    break
                made = self._made(rows)
                if not made.kit.complete or not made.start(self._problem, self.answers):
                    break
                generator = self._generate(made, rows)
                if self._is_met() or self.clock.stopped or generator.answer is None:
                    break
                more = self._broken(made, generator, rows)
                if not more:
                    break
                rows = [*rows, *more]
        return self.best

    def _is_met(self) -> bool:
        return self.best is not None and self.best.met(self.values[self.objective])

    def _first(self) -> list[RuleRow]:
        """Return the rows that the answer without rules breaks, shared out."""
        plain = replace(self._problem, rules=())
        merged = Merged.of(plain)
        flavor = np.arange(len(plain.flavors)) if merged is None else merged.flavor
        held = np.zeros((int(self.shares.state.max()) + 1, int(flavor.max()) + 1))
        for one in self.answers[0].patterns:
            shape = plain.shapes[plain.classes[one.host_class].shape]
            for place, many in one.placements:
                held[self.shares.state[one.host_class], flavor[shape.flavor[place]]] += many * one.count
        vms = self.shares.shared(held, self.shares.state, flavor)
        return self.shares.broken(vms, self.objective, self._held, ())

    def _made(self, rows: Sequence[RuleRow]) -> _Made:
        """Return the problem with some rows: VMs are told apart by the rows that they are in, and by nothing else."""
        problem = self._problem
        apart: list[list[Hashable]] = [[] for _ in problem.flavors]
        for number, row in enumerate(rows):
            # Who is in a row and who is not are never one flavor: it would count VMs that are not meant.
            count = dict(zip(problem.rules[row.rule].members, problem.rules[row.rule].counts, strict=True))
            for member in row.members:
                apart[member].append((number, count[member]))
        plain = replace(problem, rules=())
        merged = Merged.of(plain, [tuple(own) for own in apart])
        flavor = np.arange(len(plain.flavors)) if merged is None else merged.flavor
        places = [np.arange(shape.placements) for shape in plain.shapes] if merged is None else merged.places
        limits = [self.shares.rules.limit(row, self.objective, self._held) for row in rows]
        if merged is not None:
            limits = [
                replace(limit, amount={int(flavor[one]): many for one, many in limit.amount.items()})
                for limit in limits
            ]
        limited = Limited.of(plain if merged is None else merged.problem, self.objective, limits)
        kit = Kit(StateModel(problem=limited.problem), self.clock, self.seed, None, None)
        return _Made(limited=limited, kit=kit, flavor=flavor, places=places)

    def _generate(self, made: _Made, rows: Sequence[RuleRow]) -> Generator:
        """Generate columns, and keep what they prove."""
        kit, number = made.kit, self.objective + len(rows)
        held = (*self._held, *made.limited.most)
        generator = Phase(kit=kit, objective=number, held=held, soft=kit.soft(number, held)).generator
        lattice = lattice_of(kit.model, number, held, self.values[self.objective])

        def keep() -> bool:
            bound = generator.best
            if bound is not None:
                entry = certificate(held, bound, lattice)
                step = kit.steps[number]
                value = -(-entry["bound"] // step) * step
                if self.best is None or self.best.value is None or value > self.best.value:
                    self.best = Claim(value, self._source(rows), self._widened(entry, made, rows), self._held)
            return self._is_met()

        generator.start_bound()
        if not keep():
            generator.run(keep, reserve=0.0)
        return generator

    def _source(self, rows: Sequence[RuleRow]) -> str:
        hard = sum(1 for rule in self._problem.rules if not rule.is_soft and rule.kind != "count")
        known = len({row.rule for row in rows})
        return f"Lagrangian bound over host states, {known} of {hard} rules over hosts as rows"

    def _widened(self, entry: Mapping[str, Any], made: _Made, rows: Sequence[RuleRow]) -> dict[str, Any]:
        """Return a certificate as one of the source: VMs of merged flavors are worth the same."""
        duals = entry["flavor"]
        return {
            **entry,
            "flavor": [duals[new] for new in made.flavor.tolist()],
            "choice": duals[-1] if made.limited.choices else 0,
            "rows": [row.plain() for row in rows],
        }

    def _broken(self, made: _Made, generator: Generator, rows: Sequence[RuleRow]) -> list[RuleRow]:
        """Return the rows that the master's optimum breaks, shared out."""
        answer, model = generator.answer, made.kit.model
        assert answer is not None
        columns = generator.pool.all()
        use = np.zeros(len(columns))
        use[: len(answer.use)] = answer.use
        held: FloatArray = np.zeros((len(model.states), len(model.phantom)))
        entry = columns.column_of_amount
        np.add.at(held, (columns.state[entry], columns.amount_flavor), use[entry] * columns.amount)
        state = model.state_of_class[: len(self._problem.classes)]
        return self.shares.broken(self.shares.shared(held, state, made.flavor), self.objective, self._held, rows)
