"""What `test_same_answers.py` pins: digests of answers, bounds and rounds of small problems and bundled fleets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import small_problems

import placer
from placer.model.plan import PlanVm
from solvers.choice import Engine, UnsupportedError
from solvers.problem import Problem
from solvers.result import Limits, Result
from solvers.solve import solve

DATA = Path(__file__).parents[2] / "data"
DIGESTS = Path(__file__).with_name("answers.json")
ENGINES: tuple[Engine, ...] = ("auto", "exact", "states", "greedy")
PROBLEMS = range(60)
SEEDS = range(3)
ROUNDS = 40
"""More than the small ones need to end by themselves; the clock decides nothing."""


def digest(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of a value as JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_result(result: Result) -> list[Any]:
    patterns = sorted((p.host_class, p.count, p.placements, p.phantoms) for p in result.patterns)
    objectives = [(o.goal, o.part, o.value, o.bound, o.status) for o in result.objectives]
    return [result.status, objectives, patterns, result.unplaced, result.rounds]


def problem_digest(seed: int, engine: Engine) -> str:
    """Return what an engine answers to the small problem of a seed."""
    problem: Problem = small_problems.small_problem(seed)
    try:
        result = solve(problem, engine=engine, limits=Limits(time_limit_s=1e6, rounds=ROUNDS))
    except UnsupportedError:
        return "unsupported"
    return digest(_of_result(result))


def fleet_digest(name: str, seed: int) -> str:
    """Return the plan of a bundled inventory."""
    plan = placer.solve(placer.read_fleet(DATA / name), seed=seed, time_limit_s=1e6, rounds=ROUNDS)
    goals = [(goal.name, goal.value, goal.bound, goal.status) for goal in plan.goals]
    vms = [[vm.name, vm.host, _cells(vm), _cpus(vm), sorted(vm.emulator or ()), vm.change.value] for vm in plan.vms]
    return digest([goals, vms, [vm.name for vm in plan.unplaced], plan.rounds])


def _cells(vm: PlanVm) -> list[Any]:
    return [[c.id, sorted(c.vcpus), c.memory_kib, sorted(c.nodes.items())] for c in vm.cells]


def _cpus(vm: PlanVm) -> list[Any]:
    return [[vcpu, sorted(cpus)] for vcpu, cpus in sorted(vm.pins.items())]


def cases() -> Iterator[tuple[str, str]]:
    """Yield the name and the digest of everything that is pinned, one after the other."""
    for seed in PROBLEMS:
        for engine in ENGINES:
            yield f"problem {seed} {engine}", problem_digest(seed, engine)
    for path in sorted(DATA.glob("*.yaml")):
        for seed in SEEDS:
            yield f"{path.name} {seed}", fleet_digest(path.name, seed)
