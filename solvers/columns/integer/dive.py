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
REPRICINGS, BRISK_REPRICINGS = 10, 3
"""Most times that columns are priced again after a fixing."""
BRISK, LAST = 12, 20
"""Of so many hosts that are to be filled a brisk dive fixes one at a time; the last ones it fixes as others do."""


@dataclass(slots=True)
class Diver:
    """Dives with a generator's columns and prices; columns found on the way stay in its pool.

    `brisk` : fix several hosts at a time and price less often, where patterns that fit together are many.
    """

    generator: Generator
    model: StateModel
    brisk: bool = False

    def dive(self, task: Task, rng: np.random.Generator) -> Hosts | None:
        """Return hosts for a task; what they hold may be more or less than asked. None where the clock cut it off."""
        generator = self.generator
        hosts, demand = task.hosts.copy(), task.demand.copy()
        held, moves, migrations = list(task.held), task.moves, task.migrations
        out: Hosts = {}
        self._price(hosts, demand, held, moves, migrations)
        while hosts.any() and generator.answer is not None and not generator.clock.stopped:
            columns = generator.pool.all()
            fixed = self._fixed(columns, generator.answer.use, demand, rng)
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

    def _to_fill(self) -> int:
        """Return how many hosts the master still gives VMs to."""
        answer, columns = self.generator.answer, self.generator.pool.all()
        if answer is None:
            return 0
        return int(np.ceil(answer.use[np.diff(columns.ptr)[: len(answer.use)] > 0].sum() - WHOLE))

    def _price(self, hosts: IntArray, demand: IntArray, held: list[int], moves: int, migrations: int) -> None:
        self.generator.set_sides(demand, hosts, held=held, moves=moves, migrations=migrations)
        clock = self.generator.clock
        brisk = self.brisk and self._to_fill() > LAST
        for _ in range(BRISK_REPRICINGS if brisk else REPRICINGS):
            if not clock.stopped and not clock.has_left():
                clock.cut_round()
            if clock.stopped or not self.generator.step():
                break

    def _fixed(self, columns: Columns, use: FloatArray, demand: IntArray, rng: np.random.Generator) -> IntArray:
        """Return hosts a column to fix now: the whole part of the master, or a few of columns near to one more."""
        # The step that ended the pricing may have added columns after this answer.
        padded = np.zeros(len(columns))
        padded[: len(use)] = use
        if self.brisk:
            # Hosts that nothing is on are what is left over in the end.
            padded[np.diff(columns.ptr) == 0] = 0.0
        fixed = np.floor(padded + WHOLE).astype(np.int64)
        if fixed.any():
            return fixed
        part = np.where(padded > WHOLE, padded * rng.integers(512, 1024, len(padded)), 0.0)
        most = max(1, self._to_fill() // BRISK) if self.brisk else 1
        left = demand.copy()
        for n in np.argsort(-part, kind="stable")[: 8 * most].tolist():
            entries = slice(int(columns.ptr[n]), int(columns.ptr[n + 1]))
            held, many = columns.amount_flavor[entries], columns.amount[entries]
            if part[n] <= 0 or fixed.sum() == most:
                break
            if not fixed.any() or (left[held] >= many).all():
                fixed[n] = 1
                left[held] -= many
        return fixed
