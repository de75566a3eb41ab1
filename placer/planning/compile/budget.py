"""How much of what runs a plan may change."""

from __future__ import annotations

from placer.errors import InputError
from placer.model.fleet import Fleet
from solvers.problem import MoveBudget


def move_budget(fleet: Fleet, max_moves: int | None, max_migrations: int | None) -> MoveBudget:
    """Return the limits on change: none for an empty fleet, no moves for a live one unless a limit is given."""
    for name, number in (("max-moves", max_moves), ("max-migrations", max_migrations)):
        if number is not None and number < 0:
            raise InputError(f"{name} cannot be negative: {number}", field=name)
    if fleet.is_live and max_moves is None and max_migrations is None:
        max_moves = 0
    return MoveBudget(moves=max_moves, migrations=max_migrations)
