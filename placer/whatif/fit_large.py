"""New VMs in fleets of which planning the whole would take minutes: what is proven by few numbers is, the rest is
planned on the hosts that count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.failures.counts import placed_counts
from placer.model.host import Host
from placer.model.plan import Unplaced
from placer.model.vm import Vm
from placer.options import SweepOptions
from placer.planning.decode.names import assign_names
from placer.planning.decode.reasons import unplaced_reasons
from placer.whatif.fit_hosts import RoomForNew
from placer.whatif.fit_parts import FEW_MOVES, Fit, PartPlanner

WHOLE_HOSTS = 128
"""Fleets of up to so many hosts are planned whole where hosts with room do not do."""
REFUGE_HOSTS = 24
"""So many of the roomiest hosts take the VMs that move."""


def found_in_large(planner: PartPlanner, max_moves: int) -> Fit:
    """Return where new VMs go in a large fleet.

    They are counted, pins left aside, on hosts with room, those that find none there on all hosts with the CPUs for
    them, and planned where the counts put them. Who has no place then gets one on hosts that few VMs have to leave.
    """
    fleet, new = planner.fleet, planner.new
    room = RoomForNew(fleet, planner.on)
    nowhere = room.nowhere(new)
    rest = [vm for vm in new if vm.name not in nowhere]
    found = Fit(vms=(), unplaced=(), moved=(), repinned=(), hosts=0, hosts_in_all=len(fleet.hosts), proven=None)
    left: dict[str, str] = {}
    sure = True
    if rest:
        counted = _counted(planner, room, rest)
        left, sure = dict(counted.left), counted.sure
        found = _planned_as_counted(planner, counted.hosts, [vm for vm in rest if vm.name not in left], found)
        left |= {one.name: one.reason for one in found.unplaced}
        sure = sure and not found.unplaced
    left |= nowhere
    if left and max_moves:
        too_wide = room.nowhere([vm for vm in new if vm.name in left], max_moves)
        left |= too_wide
        found, left = _with_moves(planner, room, found, left, too_wide, max_moves)
        sure = left.keys() == too_wide.keys()
    unplaced = tuple(Unplaced(name=vm.name, reason=left[vm.name]) for vm in new if vm.name in left)
    return dataclasses.replace(found, unplaced=unplaced, proven=sure if unplaced else None)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Hosts on which counts put the new VMs, who is left out and why, and whether no other plan leaves out fewer."""

    hosts: Sequence[Host]
    left: Mapping[str, str]
    sure: bool


def _counted(planner: PartPlanner, room: RoomForNew, new: Sequence[Vm]) -> _Counted:
    """Return where VMs fit beside what runs, whatever its pins: on hosts with room, or on all that have the CPUs for
    those that fit on none of these.
    """
    first = room.first(new)
    counted = _counted_on(planner, first, new)
    if not counted.left:
        return counted
    able = room.able([vm for vm in new if vm.name in counted.left])
    hosts = {host.name: host for host in (*able, *counted.hosts)}
    return counted if len(hosts) == len(first) else _counted_on(planner, list(hosts.values()), new)


def _counted_on(planner: PartPlanner, hosts: Sequence[Host], new: Sequence[Vm]) -> _Counted:
    part = planner.part(hosts, new, keep=False)
    still = SweepOptions(time_limit_s=planner.options.time_limit_s, max_moves=0, seed=planner.options.seed)
    compiled, result, sure = placed_counts(part, still, engine="greedy")
    if not result.is_answer:
        return _Counted(hosts, {}, False)
    assigned = assign_names(compiled, result)
    reasons = unplaced_reasons(compiled, result, assigned.unplaced)
    names = {vm.name for vm in new}
    at = [
        part.hosts[entry.host]
        for entry in assigned.hosts
        if any(part.vms[number].name in names for _, number in entry.vms)
    ]
    return _Counted(at, {one.name: one.reason for one in reasons if one.name in names}, sure)


def _planned_as_counted(planner: PartPlanner, hosts: Sequence[Host], new: Sequence[Vm], first: Fit) -> Fit:
    """Return the VMs planned where counts put them: beside pins as they are, else with others pinned anew."""
    none = dataclasses.replace(first, vms=(), unplaced=())
    best = none
    for keep in (True, False) if new else ():
        found = planner.planned(hosts, new, keep=keep)
        if best is none or len(found.unplaced) < len(best.unplaced):
            best = found
        if not found.unplaced:
            break
    return best


def _with_moves(
    planner: PartPlanner, room: RoomForNew, found: Fit, left: Mapping[str, str], too_wide: Mapping[str, str], most: int
) -> tuple[Fit, dict[str, str]]:
    """Return the plan with as few moves as are needed for VMs that had no place, and who has none still."""
    lacking = [vm for vm in planner.new if vm.name in left and vm.name not in too_wide]
    cleared = room.to_clear(lacking, most) if lacking else []
    if not cleared:
        return found, dict(left)
    known = planner.fleet.host_by_name
    used = [known[vm.host] for vm in found.vms]
    hosts = list({host.name: host for host in (*cleared, *used, *room.hosts[:REFUGE_HOSTS])}.values())
    new = [vm for vm in planner.new if vm.name not in too_wide]
    moved = planner.planned(hosts, new, keep=False, max_moves=most, tied_stay=True, goals=FEW_MOVES)
    if len(moved.unplaced) >= len(left) - len(too_wide):
        return found, dict(left)
    return moved, {**too_wide, **{one.name: one.reason for one in moved.unplaced}}
