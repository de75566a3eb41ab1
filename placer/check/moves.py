"""Check what a plan does to VMs that are somewhere already: who may move, how many, and that each change is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from placer.check.findings import Findings, some
from placer.measure.moved import Move, fitting_changes, is_present
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm


def check_moves(fleet: Fleet, placed: Sequence[tuple[Vm, PlanVm]], moves: Mapping[str, Move], found: Findings) -> None:
    """Note every VM that a plan moves though it may not move so, or whose change it calls by a wrong name."""
    for vm, planned in placed:
        move = moves[vm.name]
        now = vm.current.host if vm.current is not None else None
        if planned.from_host != now and (planned.from_host is not None or now != planned.host):
            found.vm(planned, f"says that it comes from {planned.from_host!r}, and it is on {now!r}", where="from_host")
        if move in (Move.CHANGES_HOST, Move.CHANGES_NODE):
            _may_move(fleet, vm, planned, move, found)
        fitting = fitting_changes(vm, planned, move)
        if planned.change not in fitting:
            names = " or ".join(sorted(change.value for change in fitting))
            found.vm(planned, f"says change {planned.change.value}, and it is {names}", where="change")


def _may_move(fleet: Fleet, vm: Vm, planned: PlanVm, move: Move, found: Findings) -> None:
    if fleet.is_held(vm):
        why = f" ({', '.join(vm.movable_why)})" if vm.movable_why else ""
        found.vm(planned, f"it is not movable{why}, and it {move.value}", where="host")
    elif vm.pins_fixed:
        found.vm(planned, f"its pins are fixed, and it {move.value}", where="host")
    if move is Move.CHANGES_HOST and vm.movable.is_live and vm.running and vm.current is not None:
        home, host = fleet.host_by_name[vm.current.host], fleet.host_by_name[planned.host]
        old, new = home.migration_domain, host.migration_domain
        if old == new and host.gen < home.gen:
            older = f"moves live from generation {home.gen} back to {host.gen}"
            found.vm(planned, f"{older}, which takes a cold move", where="host")
        if old != new:
            found.vm(
                planned, f"crosses from migration domain {old!r} to {new!r}, which takes a cold move", where="host"
            )


def check_unplaced(fleet: Fleet, plan: Plan, found: Findings) -> None:
    """Note VMs left out that are on a host that works: such a VM keeps a place."""
    for entry in plan.unplaced:
        vm = fleet.vm_by_name.get(entry.name)
        if vm is not None and vm.current is not None and is_present(fleet, vm):
            state = "runs" if vm.running else "is"
            message = f"VM {vm.name!r} {state} on host {vm.current.host!r}, which works, and is left without a place"
            found.fault(message, where="unplaced")
        if not entry.reason.strip():
            found.fault(f"VM {entry.name!r} is unplaced without a reason", where="unplaced")


def check_limits(
    options: Mapping[str, Any], placed: Sequence[tuple[Vm, PlanVm]], moves: Mapping[str, Move], found: Findings
) -> None:
    """Note limits on moves that the plan was made with and does not keep."""
    hosts = [name for name, move in moves.items() if move is Move.CHANGES_HOST]
    both = [name for name, move in moves.items() if move in (Move.CHANGES_HOST, Move.CHANGES_NODE)]
    pinned = [planned.name for _, planned in placed if planned.change is Change.REPIN]
    for key, names, what in (
        ("max_migrations", hosts, "change host"),
        ("max_moves", both, "change host or node"),
        ("max_repins", pinned, "get other CPUs where they are"),
    ):
        limit = options.get(key)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            found.fault(f"{key} is {limit!r}, not a number of VMs", where=f"options.{key}")
        elif len(names) > limit:
            found.fault(f"VMs that {what}: {len(names)} ({some(names)}), and {key} is {limit}", where=f"options.{key}")
