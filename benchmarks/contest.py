"""What specs share: run placer's parts one by one with a clock on each, and turn answers into rows."""

from __future__ import annotations

import importlib
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.registry import Row
from solvers.result import HostPattern, Limits, Result

if TYPE_CHECKING:
    from benchmarks.peers.answer import PeerAnswer
    from placer.model.fleet import Fleet
    from placer.model.plan import Plan
    from placer.planning.compile.compile import Compiled
    from solvers.choice import Engine
    from solvers.problem import MoveBudget, Problem

PLACER = "placer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of placer's engines: the answer, and the seconds it took."""

    result: Result
    seconds: float


def compiled(fleet: Fleet, goals: str, budget: MoveBudget | None = None) -> tuple[Compiled, float]:
    """Return the fleet in numbers and the seconds that took."""
    from placer.model.goals import parse_goals
    from placer.planning.compile.compile import compile_fleet

    began = time.perf_counter()
    made = compile_fleet(fleet, parse_goals(goals, fleet), budget)
    return made, time.perf_counter() - began


def run_placer(problem: Problem, *, time_limit_s: float, seed: int, engine: Engine = "auto") -> Run:
    """Solve with placer's own engines; they are imported before the clock starts, as peers are."""
    importlib.import_module("solvers.exact.search")
    importlib.import_module("solvers.columns.engine")
    from solvers.solve import solve

    began = time.perf_counter()
    result = solve(problem, engine=engine, limits=Limits(time_limit_s=time_limit_s), seed=seed)
    return Run(result=result, seconds=time.perf_counter() - began)


def result_row(problem: Problem, result: Result, wanted: str) -> Row:
    """Return the figures of one of placer's answers; `wanted` is the goal to be proven."""
    values = [found.value for found in result.objectives]
    bounds = [found.bound for found in result.objectives]
    return {
        **figures(problem, values, bounds, wanted),
        "hosts": hosts_used(result.patterns),
        "status": result.status,
        "engine": result.engine,
        "rounds": result.rounds,
    }


def certified(fleet: Fleet, plan: Plan) -> Row:
    """Return what a second solver says of a plan's bounds, as ``placer check --bound`` has it, and how long it took."""
    from placer.planning.decode.certificate import check_certificate

    began = time.perf_counter()
    faults, remarks = check_certificate(fleet, plan)
    open_ = [remark for remark in remarks if "bound confirmed" not in remark]
    verdict = "; ".join(["refuted: " + fault.message for fault in faults] or open_) or "confirmed"
    return {"certificate": verdict, "certificate_s": time.perf_counter() - began}


def peer_row(problem: Problem, answer: PeerAnswer, wanted: str) -> Row:
    """Return the figures of a peer's answer."""
    return {
        **figures(problem, answer.values, answer.bounds, wanted),
        "hosts": hosts_used(answer.patterns),
        "status": answer.status,
        "seconds": answer.seconds,
        "variables": answer.integers,
    }


def figures(problem: Problem, values: Sequence[int | None], bounds: Sequence[int | None], wanted: str) -> Row:
    """Return unplaced vCPUs and VMs, and value, bound and gap of a goal by its name, in the goal's own unit."""
    row: Row = {"unplaced_vcpus": 0, "unplaced_vms": 0}
    for objective, value, bound in zip(problem.objectives, values, bounds, strict=True):
        if objective.unplaced is not None:
            column = "unplaced_vms" if objective.part.startswith("VMs") else "unplaced_vcpus"
            row[column] = None if value is None or row[column] is None else row[column] + value
        elif objective.goal == wanted and wanted not in row:
            unit = objective.unit * objective.sign
            row[wanted] = None if value is None else value / unit
            row[f"{wanted}_bound"] = None if bound is None else bound / unit
            row["gap_percent"] = gap_percent(value, bound)
    return row


def gap_percent(value: int | None, bound: int | None) -> float | None:
    """Return the gap as the plan defines it, in percent; None where value or bound is unknown."""
    if value is None or bound is None:
        return None
    whole = max(abs(value), abs(bound))
    return 0.0 if not whole else 100.0 * (value - bound) / whole


def hosts_used(patterns: Sequence[HostPattern]) -> int | None:
    """Return how many hosts hold a VM, None where there is no answer."""
    return sum(pattern.count for pattern in patterns if pattern.placements) if patterns else None


def crossings(problem: Problem, patterns: Sequence[HostPattern], package: Sequence[int]) -> int | None:
    """Return how many VMs lie on nodes of several packages; `package` tells that of each node, alike on all hosts."""
    if not patterns:
        return None
    crossing = 0
    for pattern in patterns:
        touches = problem.shapes[problem.classes[pattern.host_class].shape].touches
        for placement, vms in pattern.placements:
            where = {package[node] for node, there in enumerate(touches[placement]) if there}
            crossing += pattern.count * vms * (len(where) > 1)
    return crossing


def peak_mib() -> float:
    """Return the most memory this process has had so far (MiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
