"""A mixed-integer program by HiGHS: integer counts, a host and a placement, with nothing said of symmetry."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from ortools.math_opt.python import mathopt

from benchmarks.peers.answer import PeerAnswer
from solvers.evaluate import evaluate, violations
from solvers.objective import Objective, RuleExcess
from solvers.problem import HostClass, Problem
from solvers.result import HostPattern

ROUNDING = 1e-6


def solve_highs(problem: Problem, *, time_limit_s: float, seed: int = 0) -> PeerAnswer:
    """Solve objectives one after the other, each held at its value for the next; threads as HiGHS chooses.

    Live fleets: a VM that keeps its place is one of the content that is still there; all else has moved.

    Raises
    ------
    ValueError
        The problem has something that this model does not have: rules, hinges, limits on migrations, floating VMs.
    """
    _refuse_others(problem)
    began = time.perf_counter()
    program = _Program(problem)
    count = len(problem.objectives)
    values: list[int | None] = []
    bounds: list[int | None] = []
    statuses: list[str] = []
    patterns: tuple[HostPattern, ...] = ()
    for number, objective in enumerate(problem.objectives):
        total = program.total(objective)
        program.model.minimize(total)
        left = max(0.1, time_limit_s - (time.perf_counter() - began))
        found = mathopt.solve(
            program.model,
            mathopt.SolverType.HIGHS,
            params=mathopt.SolveParameters(
                time_limit=timedelta(seconds=left),
                random_seed=seed,
                relative_gap_tolerance=0.0,
                absolute_gap_tolerance=0.0,
            ),
        )
        low = found.termination.objective_bounds.dual_bound
        bounds.append(None if not math.isfinite(low) else math.ceil(low - ROUNDING))
        if not found.has_primal_feasible_solution():
            values.append(None)
            statuses.append("unknown")
            break
        patterns, unplaced = program.read(found)
        broken = violations(problem, patterns, unplaced)
        if broken:
            raise AssertionError(broken[0])
        value = evaluate(problem, patterns, unplaced)[number]
        values.append(value)
        optimal = found.termination.reason is mathopt.TerminationReason.OPTIMAL
        statuses.append("optimal" if optimal else "feasible")
        program.model.add_linear_constraint(total <= value)
    missing = [None] * (count - len(values))
    worst = "unknown" if "unknown" in statuses else "feasible" if "feasible" in statuses else "optimal"
    return PeerAnswer(
        values=(*values, *missing),
        bounds=(*bounds, *[None] * (count - len(bounds))),
        status=worst,
        seconds=time.perf_counter() - began,
        patterns=patterns,
        integers=program.integers,
    )


@dataclass(slots=True)
class _Host:
    """One host: its class, the integers of its placements, and of those how many VMs kept their place."""

    number: int
    cls: HostClass
    counts: dict[int, mathopt.Variable]
    kept: dict[int, mathopt.Variable] = field(default_factory=dict)
    used: mathopt.Variable | None = None


class _Program:
    """The model: rows of every host, every VM placed once or left out."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.model = mathopt.Model()
        self.integers = 0
        self.hosts: list[_Host] = []
        demand = problem.demand()
        terms: list[list[mathopt.Variable]] = [[] for _ in problem.flavors]
        for number, cls in enumerate(problem.classes):
            self.hosts += [self._host(number, cls, demand.tolist(), terms) for _ in range(cls.count)]
        self.out = []
        for flavor, entries, needed in zip(problem.flavors, terms, demand.tolist(), strict=True):
            out = self._integer(0 if flavor.phantom else flavor.arriving)
            self.out.append(out)
            if not flavor.phantom:
                self.model.add_linear_constraint(mathopt.fast_sum(entries) + out == needed)
        if problem.budget.moves is not None:
            self.model.add_linear_constraint(self._moved() <= problem.budget.moves)

    def _integer(self, most: float) -> mathopt.Variable:
        self.integers += 1
        return self.model.add_integer_variable(lb=0, ub=most)

    def _host(self, number: int, cls: HostClass, demand: list[int], terms: list[list[mathopt.Variable]]) -> _Host:
        shape = self.problem.shapes[cls.shape]
        content = dict(cls.content)
        now = self.problem.content_of(number)
        host = _Host(number=number, cls=cls, counts={})
        for placement in range(shape.placements):
            flavor = int(shape.flavor[placement])
            here = content.get(placement, 0)
            if shape.stay_only[placement] and not here:
                continue
            if not cls.allowed[flavor] and not now[flavor]:
                continue
            phantom = self.problem.flavors[flavor].phantom
            most = here if shape.stay_only[placement] else math.inf if phantom else demand[flavor]
            variable = self._integer(most)
            host.counts[placement] = variable
            terms[flavor].append(variable)
            if here:
                kept = self._integer(here)
                self.model.add_linear_constraint(kept <= variable)
                host.kept[placement] = kept
        for flavor in np.flatnonzero(~cls.allowed & (now > 0)).tolist():
            own = [variable for placement, variable in host.counts.items() if shape.flavor[placement] == flavor]
            self.model.add_linear_constraint(mathopt.fast_sum(own) <= int(now[flavor]))
        for row in range(shape.use.shape[1]):
            taken = [int(shape.use[p, row]) * variable for p, variable in host.counts.items() if shape.use[p, row]]
            if taken:
                self.model.add_linear_constraint(mathopt.fast_sum(taken) <= int(cls.capacity[row]))
        if any(objective.host_cost for objective in self.problem.objectives):
            self._use(host, demand)
        return host

    def _use(self, host: _Host, demand: list[int]) -> None:
        """Tie the host's cost to every row: the host is used where anything is taken of it."""
        shape = self.problem.shapes[host.cls.shape]
        self.integers += 1
        used = self.model.add_binary_variable()
        host.used = used
        for row in range(shape.use.shape[1]):
            taken = [int(shape.use[p, row]) * variable for p, variable in host.counts.items() if shape.use[p, row]]
            if taken:
                self.model.add_linear_constraint(mathopt.fast_sum(taken) <= int(host.cls.capacity[row]) * used)
        for placement, variable in host.counts.items():
            if not shape.use[placement].any():
                self.model.add_linear_constraint(variable <= demand[int(shape.flavor[placement])] * used)

    def _moved(self) -> mathopt.LinearExpression:
        present = sum(cls.count * sum(many for _, many in cls.content) for cls in self.problem.classes)
        return present - mathopt.fast_sum([kept for host in self.hosts for kept in host.kept.values()])

    def total(self, objective: Objective) -> mathopt.LinearExpression:
        """Return what an objective counts."""
        parts: list[mathopt.LinearBase] = []
        if objective.unplaced is not None:
            parts += [int(c) * out for c, out in zip(objective.unplaced, self.out, strict=True) if c]
        for host in self.hosts:
            cost = None if objective.cost is None else self.problem.shapes[host.cls.shape].cost.get(objective.cost)
            if cost is not None:
                parts += [int(cost[p]) * variable for p, variable in host.counts.items() if cost[p]]
            if objective.host_cost and host.used is not None:
                parts.append(host.cls.cost * host.used)
        if objective.moves:
            parts.append(objective.moves * self._moved())
        return mathopt.fast_sum(parts)

    def read(self, found: mathopt.SolveResult) -> tuple[tuple[HostPattern, ...], list[int]]:
        """Return what the hosts hold, a pattern a host, and the VMs left out of each flavor."""
        solution = found.variable_values()
        patterns = []
        for host in self.hosts:
            flavor = self.problem.shapes[host.cls.shape].flavor
            held = [(p, round(solution[v])) for p, v in host.counts.items() if round(solution[v])]
            phantom = [self.problem.flavors[int(flavor[p])].phantom for p, _ in held]
            patterns.append(
                HostPattern(
                    host_class=host.number,
                    count=1,
                    placements=tuple(e for e, counted in zip(held, phantom, strict=True) if not counted),
                    phantoms=tuple(e for e, counted in zip(held, phantom, strict=True) if counted),
                )
            )
        return tuple(patterns), [round(solution[out]) for out in self.out]


def _refuse_others(problem: Problem) -> None:
    floating = any(cls.floating for cls in problem.classes)
    budget = problem.budget
    if problem.rules or floating or (budget.migrations, budget.host_in, budget.host_out) != (None, None, None):
        raise ValueError("the HiGHS model knows no rules between hosts, floating VMs or limits on migrations")
    for objective in problem.objectives:
        if objective.hinge or objective.term(RuleExcess) or objective.migrations:
            raise ValueError(f"the HiGHS model has no objective {objective.goal!r}")
