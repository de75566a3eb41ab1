"""The integer program over columns: node configurations of empty hosts, whole patterns of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solvers.backends.cpsat import Answer
from solvers.backends.cpsat_rows import RowWriter, Sum
from solvers.columns.columns import Columns
from solvers.columns.incumbent import Hosts
from solvers.columns.integer.assemble import Block, assemble
from solvers.columns.integer.node_configs import Config, NodeBook, Signature
from solvers.columns.model import StateModel
from solvers.problem import IntArray


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hosts of each state to fill, VMs that they have to hold, and what they may cost in earlier objectives and
    budgets.
    """

    hosts: IntArray
    demand: IntArray
    held: tuple[int, ...]
    moves: int
    migrations: int


Run = Callable[[cp_model.CpModel], Answer]


@dataclass(slots=True)
class ColumnProgram:
    """The program of a task: whole hosts from `columns` (those of states that are not taken apart), nodes from `book`.

    `weight` (objectives,) is what is minimised; earlier objectives without weight keep the task's limits.
    """

    model: StateModel
    book: NodeBook
    task: Task
    columns: Columns
    chosen: IntArray
    weight: IntArray
    writer: RowWriter = field(default_factory=RowWriter)
    _whole: list[tuple[int, int]] = field(default_factory=list)
    _nodes: list[tuple[int, Config, int]] = field(default_factory=list)
    _blocks: list[tuple[int, Signature, int]] = field(default_factory=list)
    _demand: dict[int, Sum] = field(default_factory=lambda: defaultdict(Sum))
    _goals: dict[int, Sum] = field(default_factory=lambda: defaultdict(Sum))

    def __post_init__(self) -> None:
        """Write the program."""
        apart = {kind.state for kind in self.book.kinds}
        self._whole_hosts(apart)
        self._opened_hosts(apart)
        for f in np.nonzero(self.task.demand)[0]:
            wanted = int(self.task.demand[f])
            out = self.writer.variable(0, int(min(wanted, self.model.arriving[f])))
            self.writer.row(self._demand[int(f)].add(out, 1), wanted, None)
            for o in range(self.model.objectives):
                if self.model.unplaced[o, f]:
                    self._goals[o].add(out, int(self.model.unplaced[o, f]))
        total = Sum()
        for o in range(self.model.objectives):
            if self.weight[o]:
                total.plus(self._goals[o], int(self.weight[o]))
        for o, most in enumerate(self.task.held):
            if not self.weight[o]:
                self.writer.row(self._goals[o], None, most)
        index, factor = total.arrays()
        self.writer.proto.objective.vars.extend(index.tolist())
        self.writer.proto.objective.coeffs.extend(factor.tolist())

    def _whole_hosts(self, apart: set[int]) -> None:
        """So many hosts of a state take a column."""
        columns, budget = self.columns, self.model.problem.budget
        # A state without a column has its row all the same: there is no answer then.
        hosts = {int(state): Sum() for state in np.nonzero(self.task.hosts)[0] if int(state) not in apart}
        moves, migrations = Sum(), Sum()
        for n in self.chosen:
            state = int(columns.state[n])
            if state in apart or not self.task.hosts[state]:
                continue
            variable = self.writer.variable(0, int(self.task.hosts[state]))
            self._whole.append((int(n), variable))
            hosts[state].add(variable, 1)
            for entry in range(int(columns.ptr[n]), int(columns.ptr[n + 1])):
                self._demand[int(columns.amount_flavor[entry])].add(variable, int(columns.amount[entry]))
            for o in range(self.model.objectives):
                self._goals[o].add(variable, int(columns.cost[n, o]))
            moves.add(variable, int(columns.moves[n]))
            migrations.add(variable, int(columns.migrations[n]))
        for state, total in hosts.items():
            count = int(self.task.hosts[state])
            self.writer.row(total, count, count)
        if budget.moves is not None:
            self.writer.row(moves, None, self.task.moves)
        if budget.migrations is not None:
            self.writer.row(migrations, None, self.task.migrations)

    def _opened_hosts(self, apart: set[int]) -> None:
        """So many nodes of a kind take a configuration: no more than the opened hosts have, parts in whole blocks."""
        opened: dict[int, int] = {}
        for state in sorted(apart):
            if self.task.hosts[state]:
                opened[state] = self.writer.variable(0, int(self.task.hosts[state]))
                for o, objective in enumerate(self.model.problem.objectives):
                    if objective.host_cost:
                        self._goals[o].add(opened[state], self.model.states[state].lead.cost)
        for number, kind in enumerate(self.book.kinds):
            if kind.state not in opened:
                continue
            nodes = int(self.task.hosts[kind.state]) * len(kind.positions)
            grid = self.book.grid_of(number)
            _, cost = self.book.groups_cost(number, self.weight)
            blocks: dict[Signature, Sum] = defaultdict(Sum)
            total = Sum().add(opened[kind.state], -len(kind.positions))
            for config in self.book.configs[number]:
                signature = self.book.parts(number, config)
                size = self.book.block(number, signature)
                if not config or size > len(kind.positions):
                    continue
                variable = self.writer.variable(0, nodes)
                self._nodes.append((number, config, variable))
                total.add(variable, 1)
                blocks[signature].add(variable, 1)
                for group, count in config:
                    if grid.group_parts[group] == 1:
                        self._demand[int(grid.group_flavor[group])].add(variable, count)
                        for o in np.nonzero(cost[group])[0].tolist():
                            self._goals[o].add(variable, count * int(cost[group, o]))
            self.writer.row(total, None, 0)
            for signature, members in blocks.items():
                if not signature:
                    continue
                size = self.book.block(number, signature)
                variable = self.writer.variable(0, nodes // size)
                self._blocks.append((number, signature, variable))
                self.writer.row(members.add(variable, -size), 0, 0)
                for group, count in signature:
                    vms = size * count // int(grid.group_parts[group])
                    self._demand[int(grid.group_flavor[group])].add(variable, vms)
                    for o in np.nonzero(cost[group])[0].tolist():
                        self._goals[o].add(variable, vms * int(cost[group, o]))

    def solve(self, run: Run) -> Hosts | None:
        """Return hosts for the task, holding at least what was asked but what is left out; None where none was
        found.
        """
        answer = run(self.writer.model)
        if answer.values is None:
            return None
        values = answer.values
        out: Hosts = defaultdict(int)
        for n, variable in self._whole:
            if values[variable]:
                out[int(self.columns.state[n]), self.columns.patterns[n]] += values[variable]
        held: dict[int, list[Block]] = defaultdict(list)
        by_signature: dict[tuple[int, Signature], list[Config]] = defaultdict(list)
        for number, config, variable in self._nodes:
            by_signature[number, self.book.parts(number, config)] += [config] * values[variable]
        for (number, signature), configs in by_signature.items():
            size = self.book.block(number, signature)
            for first in range(0, len(configs), size):
                held[self.book.kinds[number].state].append(
                    Block(number, signature, tuple(configs[first : first + size]))
                )
        for state in sorted({kind.state for kind in self.book.kinds}):
            if self.task.hosts[state]:
                for pattern in assemble(self.book, state, int(self.task.hosts[state]), held.get(state, [])):
                    out[state, pattern] += 1
        return dict(out)
