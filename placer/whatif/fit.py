"""Where new VMs go in a fleet that runs: without touching what is there, and if that does not do, what has to move.

Hosts are screened by what is free on them, and only so many of them are planned as the VMs may need: the answer for a
few VMs takes no longer on ten thousand hosts than on a hundred.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from placer.failures.kept import Row, reserve_rows
from placer.failures.reserve import sweep_of_rule, without_reserve
from placer.failures.screened import by_room, screened_sweep
from placer.failures.slots import SlotsFree, slots_free, stand_ins
from placer.failures.sweep import standing
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind, matches
from placer.model.vm import Vm
from placer.options import SolveOptions, SweepOptions
from placer.planner import RESERVE_HOSTS
from placer.planning.after import as_planned
from placer.planning.wanted import Wanted
from placer.whatif.fit_hosts import FIRST_HOSTS
from placer.whatif.fit_large import WHOLE_HOSTS, found_in_large
from placer.whatif.fit_parts import GOALS, NO_SLOTS, Fit, PartPlanner, Slots

WIDER = 4
"""So many times as many hosts are planned where those with the most room do not do."""
TOLD = 10
"""So many times the limit of a plan it is looked at what the failures of a rule would do."""


def fit(
    fleet: Fleet,
    wanted: Sequence[tuple[Wanted, int]],
    *,
    max_moves: int = 0,
    time_limit_s: float = 1.0,
    seed: int = 0,
) -> Fit:
    """Return where so many VMs of each kind go.

    Parameters
    ----------
    max_moves : most VMs that may move where there is no room otherwise; each number up to it is tried in turn.
    time_limit_s : for each plan of a part of the fleet; ten times as long it is looked at what failures would do.

    Notes
    -----
    First nothing that runs is touched: VMs keep their pins as far as they are known. Then others may be pinned anew on
    their nodes, and then as few as it takes, up to `max_moves`, may move. Rules that tie VMs count where they hold a
    new one, as those like a VM of the fleet are. They take no slot that a rule keeps free and that is free now; what
    failures would do is told. Above `WHOLE_HOSTS` hosts VMs that rules tie to others do not move for them.
    """
    new = _new_vms(fleet, wanted)
    options = SolveOptions(goals=GOALS, max_moves=0, time_limit_s=time_limit_s, seed=seed)
    found = dataclasses.replace(_found(fleet, new, NO_SLOTS, max_moves, options), wanted=new)
    kept = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    if not kept:
        return found
    plain = without_reserve(fleet)
    limits = SweepOptions(time_limit_s=time_limit_s, total_time_s=TOLD * time_limit_s, seed=seed)
    free = slots_free(standing(plain), kept, limits)
    rows = _reserve(plain, new, found, kept, limits)
    taken = any(rows[number]["free"] < one.free for number, one in free.items())
    if taken or (len(fleet.hosts) <= RESERVE_HOSTS and not all(row["proven"] for row in rows)):
        fails = tuple(rule for rule in kept if not rule.holds)
        vms, confined = _first(stand_ins(standing(plain), kept), free, fleet, new)
        other = dataclasses.replace(_found(fleet, new, (vms, (*confined, *fails)), max_moves, options), wanted=new)
        told = _reserve(plain, new, other, kept, limits)
        if taken or (len(other.unplaced) <= len(found.unplaced) and _lacking(told) < _lacking(rows)):
            found, rows = other, told
            # Which of the slots are free that are too few for a rule is one choice of several.
            if any(one.free < one.wanted for one in free.values()) and found.proven:
                found = dataclasses.replace(found, proven=False)
    return dataclasses.replace(found, reserve=tuple(rows))


def _reserve(fleet: Fleet, new: Sequence[Vm], found: Fit, rules: Sequence[Rule], limits: SweepOptions) -> list[Row]:
    """Return what each reserve rule keeps with the new VMs where they go; `fleet` has none of the rules."""
    after = _after(fleet, new, found)
    sweeps = {
        number: screened_sweep(after, rule, limits) or sweep_of_rule(after, None, rule, limits)
        for number, rule in enumerate(rules)
        if not rule.holds
    }
    return reserve_rows(rules, sweeps, slots_free(after, rules, limits))


def _lacking(rows: Sequence[Row]) -> tuple[int, float]:
    """Return how many rules are not proven to be kept, and what lacks; a failure that is not known is the worst."""
    broken = [row for row in rows if not row["proven"]]
    return len(broken), sum(float("inf") if row["value"] is None else row["value"] for row in broken)


def _first(held: Mapping[int, Slots], free: Mapping[int, SlotsFree], fleet: Fleet, new: Sequence[Vm]) -> Slots:
    """Return the slots of all rules that are free now, which have their places before any new VM has one."""
    highest = max(vm.spec.priority for vm in (*fleet.vms, *new)) + 1
    vms = [vm for number, (own, _) in held.items() for vm in own if vm.name in free[number].names]
    first = tuple(dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, priority=highest)) for vm in vms)
    confined = (rule for _, own in held.values() for rule in own)
    used = (
        rule
        for rule in confined
        if any(matches(chosen, vm.name, vm.spec.labels) for chosen in rule.selections for vm in first)
    )
    return first, tuple(used)


def _after(fleet: Fleet, new: Sequence[Vm], found: Fit) -> Fleet:
    """Return the fleet with the VMs that are somewhere: those that run, and the new ones that have a place."""
    planned = {vm.name: vm for vm in (*found.vms, *found.moved)}
    hosts = fleet.host_by_name
    vms = (
        vm if vm.name not in planned else as_planned(vm, planned[vm.name], hosts[planned[vm.name].host].topology)
        for vm in (*fleet.vms, *new)
    )
    return standing(dataclasses.replace(fleet, vms=tuple(vms), digest=""))


def _found(fleet: Fleet, new: Sequence[Vm], held: Slots, max_moves: int, options: SolveOptions) -> Fit:
    """Return where the new VMs go beside these slots."""
    on: dict[str, list[Vm]] = defaultdict(list)
    for vm in fleet.vms:
        if vm.current is not None:
            on[vm.current.host].append(vm)
    everyone = [host for host in fleet.hosts if not host.failed]
    planner = PartPlanner(fleet, on, new, held, options)
    # Slots may be anywhere, and anything may fail: all hosts are planned at once then.
    if held == NO_SLOTS and len(everyone) > WHOLE_HOSTS:
        return found_in_large(planner, max_moves)
    open_hosts = by_room(fleet, on) if held == NO_SLOTS else everyone
    many = FIRST_HOSTS if held == NO_SLOTS else len(everyone)
    found = None
    while found is None or found.unplaced:
        found = planner.planned(open_hosts[:many], new, keep=True)
        if many >= len(open_hosts):
            break
        many *= WIDER
    assert found is not None
    if found.unplaced:
        # What has to give way may be bound by rules to VMs anywhere: the whole fleet is planned.
        for moves in [0, *_doubled(max_moves)]:
            other = planner.planned(everyone, new, keep=False, max_moves=moves)
            # What was proven of fewer moves, and of pins that stay, is none of more.
            found = (
                other if len(other.unplaced) < len(found.unplaced) else dataclasses.replace(found, proven=other.proven)
            )
            if not found.unplaced:
                break
    return found


def _doubled(most: int) -> list[int]:
    out, number = [], 1
    while number < most:
        out.append(number)
        number *= 2
    return [*out, most] if most else []


def _new_vms(fleet: Fleet, wanted: Sequence[tuple[Wanted, int]]) -> tuple[Vm, ...]:
    names = set(fleet.vm_by_name)
    made = []
    for one, count in wanted:
        for number in range(1, count + 1):
            name = f"{one.text} {number}" if count > 1 else one.text
            while name in names:
                name += "'"
            names.add(name)
            made.append(one.vm(name))
    return tuple(made)
