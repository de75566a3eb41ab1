"""What one would write first: CP-SAT with a boolean for every VM and every place it could have."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
from ortools.sat.python import cp_model

from benchmarks.peers.answer import PeerAnswer
from solvers.objective import Objective, RuleExcess
from solvers.problem import HostClass, Problem
from solvers.result import HostPattern


def solve_boolean(problem: Problem, *, time_limit_s: float, seed: int = 0) -> PeerAnswer:
    """Solve an empty fleet's problem, objectives one after the other, each held at its value for the next.

    It knows neither of interchangeable VMs nor of interchangeable nodes: every VM of a flavor has booleans of its own.
    Only what arriving VMs and placements need is modelled: rows of every host, unplaced VMs, costs of placements.

    Raises
    ------
    ValueError
        The problem has content, rules between hosts, or objectives that this model does not have.
    """
    _refuse_others(problem)
    began = time.perf_counter()
    model = cp_model.CpModel()
    vms = [flavor for flavor, kind in enumerate(problem.flavors) for _ in range(kind.arriving)]
    hosts = [cls for cls in problem.classes for _ in range(cls.count)]
    used: list[list[tuple[int, cp_model.IntVar]]] = [[] for _ in hosts]
    places: list[list[tuple[int, int, cp_model.IntVar]]] = []
    out: list[cp_model.IntVar] = []
    for flavor in vms:
        own: list[tuple[int, int, cp_model.IntVar]] = []
        for number, cls in enumerate(hosts):
            shape = problem.shapes[cls.shape]
            if not cls.allowed[flavor]:
                continue
            for placement in np.flatnonzero((shape.flavor == flavor) & ~shape.stay_only):
                place = model.new_bool_var("")
                own.append((number, int(placement), place))
                used[number].append((int(placement), place))
        left = model.new_bool_var("")
        model.add_exactly_one([left, *(place for _, _, place in own)])
        places.append(own)
        out.append(left)
    for cls, entries in zip(hosts, used, strict=True):
        use = problem.shapes[cls.shape].use
        for row in range(use.shape[1]):
            terms = [(int(use[placement, row]), place) for placement, place in entries if use[placement, row]]
            if terms:
                model.add(sum(factor * place for factor, place in terms) <= int(cls.capacity[row]))
    values: list[int | None] = []
    bounds: list[int | None] = []
    statuses: list[str] = []
    patterns: tuple[HostPattern, ...] = ()
    for objective in problem.objectives:
        terms = _terms(problem, objective, vms, hosts, places, out)
        total = sum(factor * var for factor, var in terms)
        model.minimize(total)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed
        solver.parameters.max_time_in_seconds = max(0.01, time_limit_s - (time.perf_counter() - began))
        status = solver.solve(model)
        found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        value = round(solver.objective_value) if found else None
        values.append(value)
        # A search that found nothing may tell a bound of 0 that means nothing.
        bounds.append(round(solver.best_objective_bound) if found else None)
        statuses.append("optimal" if status == cp_model.OPTIMAL else "feasible" if found else "unknown")
        if value is None:
            break
        patterns = _patterns(problem, used, solver)
        model.add(total <= value)
    missing = len(problem.objectives) - len(values)
    worst = "unknown" if "unknown" in statuses else "feasible" if "feasible" in statuses else "optimal"
    return PeerAnswer(
        values=(*values, *[None] * missing),
        bounds=(*bounds, *[None] * missing),
        status=worst,
        seconds=time.perf_counter() - began,
        patterns=patterns,
        integers=sum(map(len, places)) + len(out),
    )


def _patterns(
    problem: Problem, used: list[list[tuple[int, cp_model.IntVar]]], solver: cp_model.CpSolver
) -> tuple[HostPattern, ...]:
    """Read what each host holds, a pattern a host."""
    classes = [number for number, cls in enumerate(problem.classes) for _ in range(cls.count)]
    return tuple(
        HostPattern(
            host_class=number,
            count=1,
            placements=tuple(sorted(Counter(place for place, var in entries if solver.boolean_value(var)).items())),
        )
        for number, entries in zip(classes, used, strict=True)
    )


def _terms(
    problem: Problem,
    objective: Objective,
    vms: list[int],
    hosts: list[HostClass],
    places: list[list[tuple[int, int, cp_model.IntVar]]],
    out: list[cp_model.IntVar],
) -> list[tuple[int, cp_model.IntVar]]:
    terms: list[tuple[int, cp_model.IntVar]] = []
    if objective.unplaced is not None:
        terms += [(int(objective.unplaced[flavor]), left) for flavor, left in zip(vms, out, strict=True)]
    if objective.cost is not None:
        costs = [problem.shapes[cls.shape].cost.get(objective.cost) for cls in hosts]
        for own in places:
            for number, placement, place in own:
                cost = costs[number]
                if cost is not None and cost[placement]:
                    terms.append((int(cost[placement]), place))
    return terms


def _refuse_others(problem: Problem) -> None:
    if problem.rules or not all(cls.is_empty for cls in problem.classes):
        raise ValueError("the model with a boolean per VM knows neither rules between hosts nor VMs that are there now")
    for objective in problem.objectives:
        if objective.hinge or objective.host_cost or objective.term(RuleExcess):
            raise ValueError(f"the model with a boolean per VM has no objective {objective.goal!r}")
