"""Headroom while rules over several hosts are kept: how many more VMs fit so that each holds, and every failure that a
reserve names is still survived.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from placer.failures.few_hosts import confined, most_together
from placer.failures.reserve import without_reserve
from placer.failures.sweep import domains_of
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Vm
from placer.options import SweepOptions
from placer.planner import RESERVE_HOSTS, solve_with
from placer.planning.after import with_vms
from placer.planning.wanted import Wanted
from placer.whatif.headroom import Headroom
from placer.whatif.headroom_thinned import most_thinned


def ruled_headroom(
    fleet: Fleet, wanted: Wanted, plain: Headroom, options: SweepOptions, label: str | None = None
) -> Headroom:
    """Return the headroom of a flavor that keeps rules over several hosts and leaves every failure of the reserve rules
    survivable; `plain` where neither holds it.

    Parameters
    ----------
    plain : the headroom without the rules, of this fleet and flavor.
    options : how each number of VMs is solved for.

    Notes
    -----
    A number counts when a plan with so many more VMs, in which nothing moves, keeps the rules and survives every
    failure. No more can fit than on the hosts left when the domains fail that hold the most; where rules only limit,
    neither do more than a number that is proven not to. On many hosts no number is solved for: of one plan with all
    that fit fewer and fewer VMs are kept.
    """
    if not plain.tied and not any(rule.kind is RuleKind.RESERVE for rule in fleet.rules):
        return plain
    limits = not any(rule.kind in (RuleKind.EVEN, RuleKind.SPREAD) for rule in fleet.rules)
    at_most = _bound(fleet, plain)
    asked, rules = _asked(fleet, wanted, at_most)
    if rules and not plain.tied and len(fleet.hosts) > RESERVE_HOSTS:
        return _told(fleet, plain, most_thinned(asked, rules, at_most, options), at_most, label)
    # Of few hosts one model has all failures: its plan is looked at as any other, and its number is a bound.
    together = most_together(asked, rules, options)
    best = None
    if together is not None:
        at_most = min(at_most, together.at_most)
        best = _placed(fleet, wanted, options, hosts=list(together.hosts.values()))[0] if together.hosts else None
    if best is None or best.total() < at_most:
        found, _ = _placed(fleet, wanted, options, at_most)
        best = found or best or _placed(fleet, wanted, options, 0)[0]
    low, high = 0 if best is None else best.total(), at_most
    while best is not None and high - low > 1:
        middle = (low + high) // 2
        found, too_many = _placed(fleet, wanted, options, middle)
        low, high = (low, middle) if found is None else (middle, high)
        best = best if found is None else found
        at_most = middle - 1 if too_many and limits else at_most
    return _told(fleet, plain, best, at_most, label)


def _told(fleet: Fleet, plain: Headroom, best: Counter[str] | None, at_most: int, label: str | None) -> Headroom:
    """Return the headroom of so many VMs on each host; None where not even the VMs that are there survive."""
    counts = best or Counter()
    kept = None
    if any(rule.kind is RuleKind.RESERVE for rule in fleet.rules) and not plain.tied and counts.total() < plain.total:
        kept = "room that a reserve keeps" if best is not None else "a reserve that is not kept as it is"
    return dataclasses.replace(
        plain,
        kept=kept,
        total=counts.total(),
        at_most=None if plain.at_most is None else at_most,
        counts=[counts.get(host, 0) for host in plain.hosts],
        per_label=_by_label(fleet, counts, label),
    )


def _by_label(fleet: Fleet, counts: Counter[str], label: str | None) -> dict[str, int]:
    """Return the VMs by the value of a host label, where one was asked for."""
    out: Counter[str] = Counter()
    for host in fleet.hosts if label is not None else ():
        out[host.labels.get(label or "", "")] += counts.get(host.name, 0)
    return dict(out)


def _bound(fleet: Fleet, plain: Headroom) -> int:
    """Return how many fit at most on what is left, whichever domains fail."""
    whole = plain.total if plain.at_most is None else plain.at_most
    if plain.total != plain.at_most:
        return whole
    least = whole
    per_host = plain.per_host
    for rule in fleet.rules:
        # What is to be survived by some VMs only says nothing of VMs to come.
        if rule.kind is RuleKind.RESERVE and not rule.holds and rule.members is None:
            domains = domains_of(fleet, rule.scope)
            largest = sorted((sum(per_host[host] for host in hosts) for hosts in domains.values()), reverse=True)
            least = min(least, whole - sum(largest[: rule.fail]))
    return least


def _asked(fleet: Fleet, wanted: Wanted, number: int) -> tuple[Fleet, list[Rule]]:
    """Return the fleet with so many more VMs, without the rules that keep room, and those of them that let hosts fail;
    none where slots are to stay free besides.
    """
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    present, more = _present_and_more(fleet, wanted, number)
    asked = dataclasses.replace(without_reserve(with_vms(fleet, (*present, *more))), digest="")
    return asked, [] if any(rule.holds for rule in rules) else rules


def _present_and_more(fleet: Fleet, wanted: Wanted, number: int) -> tuple[list[Vm], list[Vm]]:
    """Return the VMs that are somewhere, and so many more under names of their own."""
    present = [vm for vm in fleet.vms if vm.current is not None]
    names = {vm.name for vm in present}
    more = []
    for index in range(number):
        name = f"wanted {index}"
        while name in names:
            name += "'"
        more.append(wanted.vm(name))
    return present, more


def _placed(
    fleet: Fleet, wanted: Wanted, options: SweepOptions, number: int = 0, hosts: Sequence[str] = ()
) -> tuple[Counter[str] | None, bool]:
    """Return host -> VMs of a plan with so many more VMs that survives every failure, None where none was found, and
    whether it is proven that not all have a place.

    `hosts` are those of the VMs, one each, where they are not to be chosen.
    """
    present, more = _present_and_more(fleet, wanted, len(hosts) or number)
    names = {vm.name for vm in present}
    asked = dataclasses.replace(with_vms(fleet, (*present, *more)), digest="")
    if hosts:
        asked = confined(asked, {vm.name: host for vm, host in zip(more, hosts, strict=True)})
    if not asked.vms:
        return Counter(), False
    plan = solve_with(asked, dataclasses.replace(options, goals=("placed", "rules"), max_moves=None))
    if plan.unplaced or not all(one["proven"] for one in plan.summary.get("reserve", ())):
        return None, (plan.goal("placed").bound or 0) > 0
    return Counter(vm.host for vm in plan.vms if vm.name not in names), False
