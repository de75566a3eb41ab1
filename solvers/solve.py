"""The one door: choose an engine by size, and always hand back the best answer that there is."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal

from solvers.problem import Problem
from solvers.result import Interrupt, Limits, ObjectiveResult, OnProgress, Progress, Result

Engine = Literal["auto", "exact", "states", "greedy"]

EXACT_COUNTS = 20_000
"""Engine A alone is chosen up to this many counts (hosts × placements): it proves that much in seconds."""
EXACT_HOSTS = 12
"""And up to so many hosts: from there on engine B is the faster one, whatever the counts."""
EXACT_LIMIT = 400_000
"""Above this many counts engine A's model alone is too large to be of use."""


class UnsupportedError(ValueError):
    """An engine was asked for something that it cannot do; the message names both."""


def solve(
    problem: Problem,
    *,
    engine: Engine = "auto",
    limits: Limits,
    seed: int = 0,
    warm_start: Result | None = None,
    on_progress: OnProgress | None = None,
    interrupt: Interrupt | None = None,
    workers: int = 1,
    executor: Executor | None = None,
) -> Result:
    """Solve a problem with the engine that suits it, from the greedy answer or a given one.

    Parameters
    ----------
    engine : ``auto`` takes engine A (``exact``) for small problems and engine B (``states``) for large ones.
    limits : seconds, or rounds; the greedy answer is always found.
    workers, executor : for engine B, which works in many independent tasks; the answer does not depend on them.

    Raises
    ------
    UnsupportedError
        If an engine was asked for by name and cannot do what the problem asks.
    """
    began = time.monotonic()
    from solvers.greedy import solve_greedy

    first = solve_greedy(problem, seed=seed, warm_start=warm_start)
    if first.status == "unknown" and warm_start is not None:
        first = warm_start
    _tell(problem, first, on_progress, began)
    chosen = choose(problem, engine)
    if chosen == "greedy":
        return first
    if chosen == "exact":
        return _exact(problem, _rest(limits, began), seed, first, on_progress, interrupt)
    found = _states(problem, _rest(limits, began), seed, first, on_progress, interrupt, workers, executor)
    # What engine B leaves open, engine A may still close where its model is small enough.
    closed = found.status == "optimal" or (interrupt is not None and interrupt.requested)
    if closed or engine == "states" or counts_of(problem) > EXACT_LIMIT:
        return found
    # B ends by itself before its limit, or A has no time left: so a replay of all rounds gives A what B leaves of them.
    rest = _rest(limits, began, found.rounds)
    return _better(found, _exact(problem, rest, seed, found, on_progress, interrupt))


def _states(
    problem: Problem,
    limits: Limits,
    seed: int,
    first: Result,
    on_progress: OnProgress | None,
    interrupt: Interrupt | None,
    workers: int,
    executor: Executor | None,
) -> Result:
    from solvers.states import solve_states

    def run(
        part: Problem, part_limits: Limits, start: Result | None = None, proven: Sequence[ObjectiveResult] = ()
    ) -> Result:
        # The greedy answer of the whole problem has other placements than a part of it: each starts from its own.
        start = start or (first if part is problem else solve_greedy(part, seed=seed))
        return solve_states(
            part,
            limits=part_limits,
            seed=seed,
            warm_start=start,
            proven=proven,
            on_progress=on_progress,
            interrupt=interrupt,
            workers=workers,
            executor=executor,
        )

    from solvers.greedy import solve_greedy

    if not problem.rules:
        return run(problem, limits)
    from solvers.ruled import solve_ruled

    found = solve_ruled(problem, run, limits, interrupt, first=first, seed=seed)
    return found if found.patterns or found.status == "infeasible" else first


def _exact(
    problem: Problem,
    limits: Limits,
    seed: int,
    first: Result,
    on_progress: OnProgress | None,
    interrupt: Interrupt | None,
) -> Result:
    from solvers.exact import solve_exact

    return solve_exact(
        problem, limits=limits, seed=seed, warm_start=first, on_progress=on_progress, interrupt=interrupt
    )


def _rest(limits: Limits, began: float, rounds: int = 0) -> Limits:
    left = None if limits.rounds is None else max(0, limits.rounds - rounds)
    return Limits(time_limit_s=max(0.0, limits.time_limit_s - (time.monotonic() - began)), rounds=left)


def _better(states: Result, exact: Result) -> Result:
    """Return engine A's answer, which started from engine B's, with the stronger of both bounds an objective."""
    if not exact.patterns:
        return states
    rows = []
    optimal = True
    for one, other in zip(states.objectives, exact.objectives, strict=True):
        bound, source = other.bound, other.source
        if one.bound is not None and (bound is None or one.bound > bound):
            bound, source = one.bound, one.source
        optimal = optimal and other.value is not None and bound is not None and other.value <= bound
        rows.append(replace(other, bound=bound, source=source, status="optimal" if optimal else "feasible"))
    return replace(
        exact, objectives=tuple(rows), status="optimal" if optimal else "feasible", rounds=states.rounds + exact.rounds
    )


def counts_of(problem: Problem) -> int:
    """Return hosts × placements: how many integers engine A's model has at most."""
    return sum(host_class.count * problem.shapes[host_class.shape].placements for host_class in problem.classes)


def choose(problem: Problem, engine: Engine) -> Engine:
    """Return the engine to use.

    Raises
    ------
    UnsupportedError
        If engine B was asked for by name and cannot do what the problem asks.
    """
    if engine in ("exact", "greedy"):
        return engine
    if engine == "states":
        reasons = _states_cannot(problem)
        if reasons:
            raise UnsupportedError(f"engine 'states' cannot do {', '.join(reasons)}; engine 'exact' can")
        return "states"
    counts = counts_of(problem)
    if (counts > EXACT_COUNTS or problem.host_count > EXACT_HOSTS) and not _states_cannot(problem):
        return "states"
    return "exact" if counts <= EXACT_LIMIT else "greedy"


def _states_cannot(problem: Problem) -> list[str]:
    """Return what of the problem engine B cannot do, in its own words; rules over hosts are taken apart beforehand."""
    if any(rule.kind == "spread" and rule.scope in ("host", "node") for rule in problem.rules):
        return ["rules that spread VMs over hosts or nodes unless they are rows"]
    problem = replace(problem, rules=())
    if importlib.util.find_spec("solvers.states") is None:
        return ["anything: it is not part of this build"]
    from solvers.states import unsupported

    return list(unsupported(problem))


def _tell(problem: Problem, first: Result, on_progress: OnProgress | None, began: float) -> None:
    """Report the first answer, one line a goal."""
    if on_progress is None or first.status == "unknown":
        return
    for objective, found in zip(problem.objectives, first.objectives, strict=True):
        on_progress(
            Progress(
                goal=objective.goal,
                part=objective.part,
                value=found.value,
                bound=None,
                seconds=time.monotonic() - began,
                engine="greedy",
                unit=objective.unit,
                sign=objective.sign,
                note="first answer",
            )
        )
