"""Which engine suits a problem, and what each of them cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from solvers.objective import lacking
from solvers.problem import Problem

Engine = Literal["auto", "exact", "columns", "states", "greedy"]
"""``states`` is the older name of ``columns``."""

EXACT_COUNTS = 20_000
"""The exact engine alone is chosen up to this many counts (hosts × placements): it proves that much in seconds."""
EXACT_HOSTS = 12
"""And up to so many hosts: from there on the columns engine is the faster one, whatever the counts."""
EXACT_LIMIT = 400_000
"""Above this many counts the exact engine's model alone is too large to be of use."""


class UnsupportedError(ValueError):
    """An engine was asked for something that it cannot do; the message names both."""


def counts_of(problem: Problem) -> int:
    """Return hosts × placements: how many integers the exact engine's model has at most."""
    return sum(host_class.count * problem.shapes[host_class.shape].placements for host_class in problem.classes)


def choose(problem: Problem, engine: Engine) -> Engine:
    """Return the engine to use.

    Raises
    ------
    UnsupportedError
        If an engine was asked for by name and cannot do what the problem asks.
    """
    if engine == "greedy":
        return engine
    if engine == "exact":
        reasons = exact_cannot(problem)
        if reasons:
            raise UnsupportedError(f"engine 'exact' cannot do {', '.join(reasons)}")
        return engine
    if engine in ("columns", "states"):
        reasons = columns_cannot(problem)
        if reasons:
            raise UnsupportedError(f"engine 'columns' cannot do {', '.join(reasons)}; engine 'exact' can")
        return "columns"
    counts = counts_of(problem)
    small = counts <= EXACT_COUNTS and problem.host_count <= EXACT_HOSTS
    # What the exact engine cannot do is asked last: to know it, CP-SAT is loaded, which takes a second.
    if small and not exact_cannot(problem):
        return "exact"
    if not columns_cannot(problem):
        return "columns"
    return "exact" if counts <= EXACT_LIMIT and not exact_cannot(problem) else "greedy"


def exact_cannot(problem: Problem) -> list[str]:
    """Return what of the problem the exact engine cannot do."""
    from solvers.exact.model import TERMS

    return lacking(problem.objectives, TERMS)


def columns_cannot(problem: Problem) -> list[str]:
    """Return what of the problem the columns engine cannot do; rules over hosts are taken apart beforehand."""
    spread = (rule for rule in problem.rules if rule.kind == "spread" and rule.scope in ("host", "node"))
    if any(rule.members and not rule.amounts for rule in spread):
        return ["rules that spread VMs over hosts or nodes unless they are rows"]
    # Not of the engine itself, which loads CP-SAT and HiGHS: half a second that small fleets do not need.
    from solvers.columns.columns import unsupported

    return unsupported(replace(problem, rules=()))
