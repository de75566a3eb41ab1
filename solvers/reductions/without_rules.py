"""Rules over several hosts at scale: solve without them for the bound, and with groups tied to domains for the answer.

Dropping a rule relaxes the problem, so the bounds found without it hold. VMs that only rules tell apart are one flavor
then, and members are named to the places of that answer where that keeps every rule (`members`): it costs nothing, so
the bounds are met. Where many kinds of hosts are left to choose among, groups find their domains in that answer
(`by_gathering`), which knows no limits of hosts that have room to spare either (`loosened`; first tried where all
rules can be named, since it halves the flavors that are to be decided); groups that share no
domain are kept to zones for that (`zones`). Where neither is so, groups are tied. Tying each group to domains
beforehand restricts the problem, so what is found then keeps every rule. Groups are tied where the answer without
rules or the first one has most of them, or else where most room is; the greedy engine tries several ties, and the best
goes to the search. A bound of a later objective counts only where the answer is as good as the relaxed one in all
earlier objectives: held at something worse, it might not be one. Groups are tied for
rules that spread VMs or hold them together; answers keep the other kinds as the first one does, or by chance: the
referee looks at each.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from solvers.clock import Clock, CutOffError
from solvers.evaluate import evaluate
from solvers.host_limits import HostLimits, without_counts
from solvers.problem import Problem
from solvers.reductions.best_answer import BestAnswer
from solvers.reductions.by_gathering import ByGathering, is_uneven
from solvers.reductions.by_naming import ByNaming, by_names, loose_of
from solvers.reductions.gather import can_gather
from solvers.reductions.loosened import ROOMY, loosened
from solvers.reductions.members import can_name
from solvers.reductions.merged import Merged
from solvers.reductions.named_first import finished
from solvers.reductions.names_on_hosts import named_on_hosts
from solvers.reductions.telling import Telling
from solvers.reductions.ties_alone import with_ties
from solvers.reductions.tries import Engine, Try
from solvers.reductions.zones import zoned
from solvers.result import Interrupt, Limits, Result
from solvers.rule_rows.bound import bound_by_rows
from solvers.starts.best_fit import hosts_used
from solvers.starts.host_lists import keeps_apart

TIES = 4
"""How often groups are tied anew."""
GRACE = 0.05
"""By so much of the limit the search for an answer that places all may go beyond it."""
LEAST_S = 0.5
"""Seconds that an answer near tied groups gets at least."""
BRIEF_SHARE = 0.95
"""The share of the time that an answer with tied groups may take where the bounds have to follow."""
SHARE = 0.4
"""The share of the time that the problem without its rules may take."""
GATHERED = 0.6
"""The same where groups are gathered in its answer afterwards: that costs few hosts, so all depends on it."""
ROWS = 0.25
"""The share of the time left that a bound which knows the rules may take before groups are tied."""
NAMED = 0.8
"""The same where VMs are named to its hosts one by one, and nothing is tied."""


def solve_ruled(
    problem: Problem,
    engine: Engine,
    limits: Limits,
    interrupt: Interrupt | None = None,
    *,
    first: Result | None = None,
    seed: int = 0,
    telling: Telling | None = None,
) -> Result:
    """Solve a problem with cross rules by an engine that knows none of them.

    Parameters
    ----------
    first : an answer that keeps the rules, where one is known: the result is never worse.
    telling : what the engine tells of its progress, to be led.
    """
    telling = telling or Telling(problem=problem, on_progress=None)
    clock = Clock(limits=limits, interrupt=interrupt or Interrupt())
    plain = replace(problem, rules=())
    parts = [with_ties(problem, soft=True)]
    if any(rule.is_soft for rule in parts[0].rules):
        parts.append(with_ties(problem, soft=False))
    merged = Merged.of(plain)
    brief = _is_told_little(parts[0])
    gathering = (problem if can_gather(problem) else zoned(problem)) if brief and merged is not None else None
    gathers = gathering is not None and merged is not None and can_gather(gathering) and is_uneven(merged.problem)
    if gathering is not None and gathers:
        # Members are named to hosts afterwards anyway: then also those that few hosts may hold, or a host few of.
        merged = Merged.of(loosened(plain, {flavor for rule in gathering.rules for flavor in rule.members})) or merged
    brief = brief and not gathers
    limits_of_hosts = None
    if merged is not None and keeps_apart(problem):
        hosts = problem.host_count if first is None or not first.patterns else hosts_used(first)
        lifted, groups = without_counts(plain, hosts, ROOMY)
        limits_of_hosts = HostLimits.of(problem, groups)
        merged = Merged.of(lifted) or merged
    apart = merged is not None and limits_of_hosts is not None
    share = NAMED if apart else GATHERED if gathers else SHARE
    first_limits = Limits(time_limit_s=share * limits.time_limit_s, rounds=0 if brief else limits.rounds)
    if first is not None and first.patterns:
        telling.values = evaluate(problem, first.patterns, first.unplaced)
    loose = None if brief or gathers or apart or merged is None else loose_of(problem, merged)
    sketch: BestAnswer | None = None
    if loose is not None:
        # Fewer flavors are decided sooner, and whom they are is mostly free to choose.
        naming = ByNaming(problem=problem, loose=loose, engine=engine, seed=seed, clock=clock, telling=telling)
        sketch = naming.answer(first, first_limits, limits)
        if sketch.closed or naming.costs_nothing:
            return sketch.result()
        rest = None if limits.rounds is None else max(0, limits.rounds - sketch.rounds)
        first_limits = Limits(time_limit_s=share * max(0.0, limits.time_limit_s - clock.seconds), rounds=rest)
    counts = engine(plain if merged is None else merged.problem, first_limits, None, ())
    relaxed = counts if merged is None else merged.back(counts)
    search = BestAnswer(problem=problem, relaxed=relaxed, rounds=relaxed.rounds, telling=telling)
    if sketch is not None:
        search.rounds, search.earlier = relaxed.rounds + sketch.rounds, sketch.relaxed
        search.offer(sketch.best)
    search.offer(first)
    search.offer(relaxed)
    if gathering is not None and gathers and not search.closed:
        rest = None if limits.rounds is None else max(0, limits.rounds - search.rounds)
        left = Limits(time_limit_s=max(0.0, limits.time_limit_s - clock.seconds), rounds=rest)
        work = ByGathering(problem=gathering, seed=seed, clock=Clock(limits=left, interrupt=clock.interrupt))
        found = work.answer(merged, counts)
        search.rounds += work.clock.rounds
        search.offer(found)
        if found is not None and not any(found.unplaced):
            bound_by_rows(search, seed=seed, clock=clock, share=1.0)
            return search.result()
    elif apart and not search.closed:
        assert merged is not None and limits_of_hosts is not None
        found = named_on_hosts(problem, limits_of_hosts, merged, counts, seed=seed, clock=clock)
        search.offer(finished(problem, found, seed=seed))
        return search.result()
    elif merged is not None and not brief and not search.closed and can_name(problem):
        search.offer(by_names(problem, merged, counts, seed=seed, clock=clock))
    if search.best is not None and not any(search.best.unplaced):
        bound_by_rows(search, seed=seed, clock=clock, share=ROWS)
    tried: list[Try] = []

    def left_s() -> float:
        return limits.time_limit_s - clock.seconds

    def over() -> bool:
        # An answer that leaves VMs out is not the end of it: other ties may have room for all.
        best = search.best
        late = left_s() <= 0 and (best is None or not any(best.unplaced))
        ends = best is not None and (late or clock.interrupt.requested or left_s() <= -GRACE * limits.time_limit_s)
        return search.closed or not clock.interrupt.work.look(not ends)

    def check() -> None:
        if search.best is not None:
            clock.check()

    whole = search.best if search.best is not None and not any(search.best.unplaced) else None
    with suppress(CutOffError):
        for part in parts:
            # Soft rules are tied as if they were hard, unless VMs stay out for them.
            if tried and (search.best is not None and not any(search.best.unplaced)):
                break
            nears: tuple[Result | None, ...] = (None,) if brief else (relaxed, None)
            for near in nears if whole is None or brief else (relaxed, whole, None):
                if not over() and (near is None or near.patterns):
                    tried.append(Try.of(part, near, seed, few=brief, check=check))
                    search.offer(tried[-1].start)
        while not over() and len(tried) < TIES:
            best = min(tried, key=lambda one: one.rank)
            if best.start is None or not any(best.start.unplaced):
                break
            tried.append(best.again(seed))
            search.offer(tried[-1].start)
    turns = sorted(tried, key=lambda one: one.rank)[: 1 if brief else None]
    for turn, chosen in enumerate(turns):
        if over() or (turn and clock.interrupt.requested):
            break
        share = max(LEAST_S, left_s() * (BRIEF_SHARE if brief else 0.5 if turn + 1 < len(turns) else 1.0))
        rest = None if limits.rounds is None else max(0, limits.rounds - search.rounds)
        telling.is_relaxed = False
        found = chosen.solved(engine, Limits(time_limit_s=share, rounds=rest), search.proven)
        search.rounds += found.rounds
        search.offer(found)
    if brief and not over():
        rest = None if limits.rounds is None else max(0, limits.rounds - search.rounds)
        # What the first one may have gone beyond the limit is not granted a second time.
        seconds = min(max(LEAST_S, left_s()), left_s() + GRACE * limits.time_limit_s)
        last = Limits(time_limit_s=max(0.0, seconds), rounds=rest)
        telling.is_relaxed = True
        later = engine(plain if merged is None else merged.problem, last, None, relaxed.objectives)
        later = later if merged is None else merged.back(later)
        search.rounds += later.rounds
        search.earlier, search.relaxed = relaxed, replace(later, rounds=relaxed.rounds)
        search.offer(later)
    bound_by_rows(search, seed=seed, clock=clock, share=1.0)
    return search.result()


def _is_told_little(problem: Problem) -> bool:
    """Tell whether the answer without rules says nothing of where groups should be: all arrive, hosts alone cost.

    Then its first bounds do, which are mostly the last ones too, and the answer with groups tied gets the time.
    """
    empty = all(host_class.is_empty and not host_class.fixed_members for host_class in problem.classes)
    costs = [o for o in problem.objectives if o.host_cost or o.cost is not None or o.hinge not in (None, "rules")]
    return bool(problem.rules) and empty and len(costs) == 1 and costs[0].host_cost
