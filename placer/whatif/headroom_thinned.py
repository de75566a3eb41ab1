"""How many more VMs a large fleet takes under a reserve: as many as fit are placed once, and then fewer and fewer kept.

VMs that are taken away leave room, so every part of one plan is a plan; what a failure does to it is told from arrays
(`sweep_of_rule`), without a solve a number. Which of them stay is tried in two ways: spread over
hosts, and host by host.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence

from placer.failures.reserve import sweep_of_rule
from placer.failures.sweep import standing
from placer.model.fleet import Fleet
from placer.model.rules import Rule
from placer.options import SweepOptions
from placer.planner import solve_with
from placer.planning.after import fleet_after, with_vms


def most_thinned(fleet: Fleet, rules: Sequence[Rule], most: int, options: SweepOptions) -> Counter[str] | None:
    """Return host -> VMs that are nowhere yet of as many as are found, up to so many, so that every failure of these
    rules is proven to be harmless while nothing moves; None where that is not so without any of them.

    `fleet` has none of the rules that keep room.
    """
    plan = solve_with(fleet, dataclasses.replace(options, goals=("placed",), max_moves=None))
    new = {vm.name for vm in fleet.vms if vm.current is None}
    on: dict[str, list[str]] = defaultdict(list)
    for planned in plan.vms:
        if planned.name in new:
            on[planned.host].append(planned.name)
    full = fleet_after(fleet, plan)
    best: list[str] | None = None
    for names in (_spread(on), [name for own in on.values() for name in own]):
        kept = _longest(full, new, names[:most], rules, options, at_least=-1 if best is None else len(best))
        best = kept if kept is not None else best
    if best is None:
        return None
    host_of = {name: host for host, own in on.items() for name in own}
    return Counter(host_of[name] for name in best)


def _spread(on: dict[str, list[str]]) -> list[str]:
    """Return the VMs in turns: one of every host, then the next of those that have another."""
    turns = max(map(len, on.values()), default=0)
    return [own[turn] for turn in range(turns) for own in on.values() if turn < len(own)]


def _longest(
    full: Fleet, new: set[str], names: list[str], rules: Sequence[Rule], options: SweepOptions, *, at_least: int
) -> list[str] | None:
    """Return the longest beginning that is found to survive all failures; None where none of more than `at_least`."""

    def survives(many: int) -> bool:
        kept = set(names[:many])
        left = with_vms(full, [vm for vm in full.vms if vm.name not in new or vm.name in kept])
        return all(_harmless(standing(left), rule, options) for rule in rules)

    if len(names) <= at_least or not survives(at_least + 1):
        return None
    low, high = at_least + 1, len(names) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if survives(middle) else (low, middle)
    return names[:low]


def _harmless(fleet: Fleet, rule: Rule, options: SweepOptions) -> bool:
    """Tell whether every failure of a rule is proven to be harmless, by fits alone."""
    swept = sweep_of_rule(fleet, None, rule, options, most_solves=0)
    return not swept.harmful and not swept.unknown
