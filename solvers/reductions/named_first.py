"""A first answer under thousands of limits between groups: hosts are filled by sizes alone, and VMs named to them.

VMs that only limits tell apart are one flavor, so filling host after host by what suits its room best looks at some
hundred sizes in place of thousands of groups. Names keep the limits (`names_on_hosts`), and who finds no place so takes
one that another VM leaves, or a further host (`host_lists`). Best fit over single hosts is the other way: the better
answer is taken.
"""

from __future__ import annotations

from dataclasses import replace

from solvers.clock import Clock
from solvers.evaluate import evaluate
from solvers.host_limits import HostLimits, without_counts
from solvers.problem import Problem
from solvers.reductions.loosened import ROOMY
from solvers.reductions.merged import Merged
from solvers.reductions.names_on_hosts import named_on_hosts
from solvers.result import Result
from solvers.starts.best_fit import hosts_used, solve_greedy
from solvers.starts.host_by_host import SCORES, filled
from solvers.starts.host_lists import filled_by_lists, has_many_limits


def solve_first(problem: Problem, *, seed: int, clock: Clock, warm_start: Result | None = None) -> Result:
    """Return a first answer: by lists and names where many groups limit each other, else by best fit over groups.

    clock : where the time is up, or nobody waits, the first of several ways is enough.
    """

    def stop() -> bool:
        over = clock.interrupt.requested or clock.seconds >= clock.limits.time_limit_s
        return not clock.interrupt.work.look(not over)

    best = filled_by_lists(problem, stop=stop) if warm_start is None and has_many_limits(problem) else None
    if best is None:
        return solve_greedy(problem, seed=seed, warm_start=warm_start)
    found = None if stop() else _by_names(problem, best, seed, clock)
    if found is None or evaluate(problem, found.patterns, found.unplaced) >= tuple(
        row.value or 0 for row in best.objectives
    ):
        return best
    return found


def _by_names(problem: Problem, first: Result, seed: int, clock: Clock) -> Result | None:
    """Return an answer of hosts filled by sizes, with names; None where no VMs are alike, or none keeps the rules."""
    plain, groups = without_counts(replace(problem, rules=()), hosts_used(first), ROOMY)
    merged = Merged.of(plain)
    if merged is None:
        return None
    start = replace(first, patterns=filled(merged.problem, SCORES[0], alike=True), unplaced=())
    counts = solve_greedy(merged.problem, seed=seed, warm_start=start)
    limits = HostLimits.of(problem, groups)
    return finished(problem, named_on_hosts(problem, limits, merged, counts, seed=seed, clock=clock), seed=seed)


def finished(problem: Problem, found: Result | None, *, seed: int) -> Result | None:
    """Return an answer with names in which those that it leaves out are placed beside, where there is any room."""
    if found is None or not any(found.unplaced):
        return found
    if has_many_limits(problem):
        return filled_by_lists(problem, start=found)
    return solve_greedy(problem, seed=seed, warm_start=found)
