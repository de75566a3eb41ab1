"""The one door: choose an engine by size, and always hand back the best answer that there is."""

from __future__ import annotations

import importlib.util
import time
from concurrent.futures import Executor
from typing import Literal

from solvers.problem import Problem
from solvers.result import Interrupt, Limits, OnProgress, Progress, Result

Engine = Literal["auto", "exact", "states", "greedy"]

EXACT_COUNTS = 20_000
"""Engine A is chosen up to this many counts (hosts × placements): it proves that much in seconds to a few minutes."""
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
    rest = Limits(time_limit_s=max(0.0, limits.time_limit_s - (time.monotonic() - began)), rounds=limits.rounds)
    if chosen == "exact":
        from solvers.exact import solve_exact

        return solve_exact(problem, limits=rest, seed=seed, warm_start=first, on_progress=on_progress,
                           interrupt=interrupt)
    from solvers.states import solve_states

    return solve_states(problem, limits=rest, seed=seed, warm_start=first, on_progress=on_progress,
                        interrupt=interrupt, workers=workers, executor=executor)


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
    if counts > EXACT_COUNTS and not _states_cannot(problem):
        return "states"
    return "exact" if counts <= EXACT_LIMIT else "greedy"


def _states_cannot(problem: Problem) -> list[str]:
    """Return what of the problem engine B cannot do, in its own words."""
    if importlib.util.find_spec("solvers.states") is None:
        return ["anything: it is not part of this build"]
    from solvers.states import unsupported

    return list(unsupported(problem))


def _tell(problem: Problem, first: Result, on_progress: OnProgress | None, began: float) -> None:
    """Report the first answer, one line a goal."""
    if on_progress is None or first.status == "unknown":
        return
    for objective, found in zip(problem.objectives, first.objectives, strict=True):
        on_progress(Progress(goal=objective.goal, part=objective.part, value=found.value, bound=None,
                             seconds=time.monotonic() - began, engine="greedy", unit=objective.unit,
                             sign=objective.sign, note="first answer"))
