"""Diving: fix what the master gives whole, price again for what is left, and so on until every host has a pattern.

It makes columns that fit together, which the integer program over the columns of the full master may lack: for
hosts that
cannot be taken apart into nodes, and for bins of many different items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.columns.columns import Columns
from solvers.columns.generate import Generator
from solvers.columns.incumbent import Hosts
from solvers.columns.integer.program import Task
from solvers.columns.master import FloatArray
from solvers.columns.model import StateModel
from solvers.problem import IntArray

WHOLE = 1e-6
REPRICINGS = 10
"""Most times that columns are priced again after a fixing."""


@dataclass(slots=True)
class Diver:
    """Dives with a generator's columns and prices; columns found on the way stay in its pool."""

    generator: Generator
    model: StateModel

    def dive(self, task: Task, rng: np.random.Generator) -> Hosts | None:
        """Return hosts for a task; what they hold may be more or less than asked. None where the clock cut it off."""
        generator = self.generator
        hosts, demand = task.hosts.copy(), task.demand.copy()
        held, moves, migrations = list(task.held), task.moves, task.migrations
        out: Hosts = {}
        self._price(hosts, demand, held, moves, migrations)
        while hosts.any() and generator.answer is not None and not generator.clock.stopped:
            columns = generator.pool.all()
            fixed = self._fixed(columns, generator.answer.use, rng)
            chosen = np.nonzero(fixed)[0]
            if not len(chosen):
                break
            for n in chosen.tolist():
                key = (int(columns.state[n]), columns.patterns[n])
                out[key] = out.get(key, 0) + int(fixed[n])
                entries = slice(int(columns.ptr[n]), int(columns.ptr[n + 1]))
                demand[columns.amount_flavor[entries]] -= int(fixed[n]) * columns.amount[entries]
            np.subtract.at(hosts, columns.state[chosen], fixed[chosen])
            np.maximum(demand, 0, out=demand)
            cost = fixed[chosen] @ columns.cost[chosen]
            held = [value - int(cost[g]) for g, value in enumerate(held)]
            moves -= int(fixed[chosen] @ columns.moves[chosen])
            migrations -= int(fixed[chosen] @ columns.migrations[chosen])
            if hosts.any():
                self._price(hosts, demand, held, moves, migrations)
        if generator.clock.stopped:
            return None
        for index in np.nonzero(hosts)[0].tolist():
            key = (index, self.model.states[index].null)
            out[key] = out.get(key, 0) + int(hosts[index])
        return out

    def _price(self, hosts: IntArray, demand: IntArray, held: list[int], moves: int, migrations: int) -> None:
        self.generator.set_sides(demand, hosts, held=held, moves=moves, migrations=migrations)
        clock = self.generator.clock
        for _ in range(REPRICINGS):
            if not clock.stopped and clock.left_s <= 0:
                clock.cut_round()
            if clock.stopped or not self.generator.step():
                break

    def _fixed(self, columns: Columns, use: FloatArray, rng: np.random.Generator) -> IntArray:
        """Return hosts a column to fix now: the whole part of the master, or one host of a column near to one more."""
        # The step that ended the pricing may have added columns after this answer.
        padded = np.zeros(len(columns))
        padded[: len(use)] = use
        fixed = np.floor(padded + WHOLE).astype(np.int64)
        if fixed.any():
            return fixed
        part = np.where(padded > WHOLE, padded * rng.integers(512, 1024, len(padded)), 0.0)
        best = int(part.argmax())
        if part[best] > 0:
            fixed[best] = 1
        return fixed
