"""How much of what runs a plan may change."""

from __future__ import annotations

from dataclasses import replace

from placer.errors import InputError
from placer.model.fleet import Fleet
from solvers.problem import MoveBudget


def drained_first(fleet: Fleet, max_moves: int | None, max_migrations: int | None) -> Fleet:
    """Return the fleet in which only VMs on hosts that are to be emptied move, where nobody says how many may.

    A host is drained for its VMs to leave: that takes no leave to move. Where no VM is on such a host, or a limit is
    given, it is the same fleet.
    """
    said = max_moves is not None or max_migrations is not None
    there = not said and any(vm.current is not None and vm.current.host in fleet.drained for vm in fleet.vms)
    return replace(fleet, only_drained=True) if there else fleet


def move_budget(fleet: Fleet, max_moves: int | None, max_migrations: int | None) -> MoveBudget:
    """Return the limits on change: none for an empty fleet, no moves for a live one unless a limit is given.

    Where only VMs on drained hosts move, all of them may.
    """
    for name, number in (("max-moves", max_moves), ("max-migrations", max_migrations)):
        if number is not None and number < 0:
            raise InputError(f"{name} cannot be negative: {number}", field=name)
    if fleet.is_live and not fleet.only_drained and max_moves is None and max_migrations is None:
        max_moves = 0
    return MoveBudget(moves=max_moves, migrations=max_migrations)
