"""Large neighbourhoods: a few hosts, those that cost too much by the duals, placed anew exactly."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import run_each
from solvers.columns.duals import prices_of
from solvers.columns.generate import Bound
from solvers.columns.integer.few_hosts import Subset, SubsetModel
from solvers.columns.model import Pattern
from solvers.columns.pool import reduced_costs
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.run import Kit
from solvers.problem import IntArray

BATCH = 2
"""Disjoint sets of hosts a round: as many whatever the workers, so that the answer does not depend on them."""
BUDGET = 1.0
FIRST = 1_000
"""How much more an earlier objective weighs that is not yet what it shall be held at."""
LARGEST = 12
SMALLEST = 3
INTEGERS = 8_000
"""Most integers (hosts x placements) of one set of hosts."""


@dataclass(slots=True, kw_only=True)
class HostSearch:
    """Rounds on a few hosts for one objective; `weight` (objectives,) is minimised, `held` kept."""

    kit: Kit
    objective: int
    held: tuple[int, ...]
    weight: IntArray
    rounds: int = 0
    size: int = 4
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        """Seed the choice of hosts."""
        self._rng = np.random.default_rng([self.kit.seed, self.objective, 1])

    def round(self, bound: Bound | None) -> bool:
        """Place `BATCH` disjoint sets of hosts anew; return whether the answer got better."""
        kit, start = self.kit, self.kit.incumbent
        self.rounds += 1
        chosen = self._choose(bound)
        models: list[SubsetModel] = []

        def make(keys: list[tuple[int, Pattern]]) -> cp_model.CpModel:
            models.append(SubsetModel(kit.model, self._subset(keys, bound)))
            return models[-1].writer.model

        answers = run_each(
            [lambda keys=keys: make(keys) for keys in chosen],  # type: ignore[misc]
            budget=BUDGET,
            seeds=[kit.seed + self.rounds] * len(chosen),
            executor=kit.executor,
            seconds=kit.clock.left_s,
            interrupt=kit.clock.interrupt,
        )
        if any(answer.cut for answer in answers):
            kit.clock.cut_round()
        if kit.clock.stopped or len(models) < len(answers):
            return False
        better = proven = False
        for keys, model, answer in zip(chosen, models, answers, strict=True):
            if answer.values is None:
                continue
            patterns, out = model.read(answer)
            if kit.incumbent is not start and (start.out.any() or (kit.incumbent.out != start.out).any()):
                # The VMs left out were offered to every set, and the first has taken some.
                continue
            proven |= answer.optimal
            new = [(state, pattern) for (state, _), pattern in zip(keys, patterns, strict=True)]
            found = kit.ledger.swapped(kit.incumbent, keys, new, out)
            if kit.ledger.within_budget(found):
                better |= kit.offer(found, self.objective, self.held)
        if better:
            kit.pool_incumbent()
        if not better:
            self.size = min(LARGEST, self.size + 1) if proven else max(SMALLEST, self.size - 1)
        return better

    def _choose(self, bound: Bound | None) -> list[list[tuple[int, Pattern]]]:
        """Return disjoint sets of hosts, half of each those that cost too much under the duals, half any."""
        kit = self.kit
        keys = sorted(kit.incumbent.hosts)
        excess = self._excess(keys, bound)
        host = [n for n, key in enumerate(keys) for _ in range(min(kit.incumbent.hosts[key], BATCH * LARGEST))]
        costly = self._shuffled([excess[n] for n in host])
        others = self._rng.permutation(len(host)).tolist()
        used: set[int] = set()
        sets: list[list[tuple[int, Pattern]]] = []
        for _ in range(BATCH):
            picked: list[int] = []
            integers = 0
            while len(picked) < self.size:
                source = costly if len(picked) < (self.size + 1) // 2 else others
                while source and source[-1] in used:
                    source.pop()
                if not source:
                    break
                one = source.pop()
                integers += kit.model.problem.shapes[kit.model.states[keys[host[one]][0]].shape].placements
                if integers > INTEGERS and len(picked) > 1:
                    break
                used.add(one)
                picked.append(one)
            if len(picked) > 1 or (picked and not sets):
                sets.append([keys[host[one]] for one in picked])
        return sets

    def _shuffled(self, weights: list[int]) -> list[int]:
        """Return positions, the last ones drawn with odds in proportion to their weights, as many as a round can
        use.
        """
        floor = max(1, max(weights, default=0) // 1000)
        left = np.array(weights, dtype=np.int64) + floor
        drawn = []
        for _ in range(min(len(weights), BATCH * LARGEST)):
            total = np.cumsum(left)
            one = int(np.searchsorted(total, self._rng.integers(int(total[-1])), side="right"))
            drawn.append(one)
            left[one] = 0
        return drawn[::-1]

    def _excess(self, keys: list[tuple[int, Pattern]], bound: Bound | None) -> list[int]:
        """Return what each pattern costs more than the least under the duals, in integer units of the objective."""
        if bound is None:
            return [0] * len(keys)
        columns = self.kit.evaluator.evaluate([state for state, _ in keys], [pattern for _, pattern in keys])
        least = np.array([bound.least[state] for state, _ in keys], dtype=np.int64)
        over = np.maximum(reduced_costs(columns, bound.duals) - least, 0) // bound.duals.scale
        return [int(x) for x in over]

    def _candidates(self, states: set[int], bound: Bound | None) -> dict[int, IntArray]:
        """Return the placements that lose no more under the duals than all that is still to be won."""
        kit = self.kit
        if bound is None:
            return {}
        to_win = sum(
            int(w) * (kit.incumbent.values[o] - (bound.value if o == self.objective else 0))
            for o, w in enumerate(self.weight)
        )
        tables = TablePricing(kit.layouts, prices_of(kit.model, bound.duals))
        out = {}
        for index in sorted(states):
            losses = tables.losses(kit.model.states[index])
            if losses is not None:
                out[index] = np.nonzero(losses <= bound.duals.scale * to_win)[0]
        return out

    def _subset(self, keys: list[tuple[int, Pattern]], bound: Bound | None) -> Subset:
        kit, incumbent = self.kit, self.kit.incumbent
        demand = incumbent.out + np.sum([kit.ledger.amounts(*key) for key in keys], axis=0)
        limit: dict[int, int] = {}
        weight = {self.objective: 1}
        cost = np.sum([kit.ledger.cost(*key) for key in keys], axis=0)
        missed = [g for g, most in enumerate(self.held) if incumbent.values[g] > most]
        for g, most in enumerate(self.held):
            if not missed or g < missed[0]:
                limit[g] = int(cost[g]) + int(kit.model.unplaced[g] @ incumbent.out) + most - incumbent.values[g]
            elif g == missed[0]:
                weight[g] = FIRST * max(1, int(self.weight[g]))
            elif self.weight[g]:
                weight[g] = int(self.weight[g])
        budget = kit.model.problem.budget
        moves, migrations = kit.ledger.changes(keys)
        return Subset(
            states=tuple(kit.model.states[state] for state, _ in keys),
            patterns=tuple(pattern for _, pattern in keys),
            demand=demand,
            out=incumbent.out,
            weight=weight,
            limit=limit,
            empty=kit.model.problem.objectives[self.objective].host_cost,
            moves=None if budget.moves is None else moves + budget.moves - incumbent.moves,
            candidates=self._candidates({state for state, _ in keys}, bound),
            migrations=None if budget.migrations is None else migrations + budget.migrations - incumbent.migrations,
        )
