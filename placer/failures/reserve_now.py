"""What rules that keep room lack before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from placer.measure.before import plan_before
from placer.model.fleet import Fleet
from placer.model.plan import Plan

MOST_HOSTS = 64
"""Of larger fleets the failures of today are told only where they are those of the plan: a sweep of their own takes as
long as one of the plan.
"""

Row = dict[str, Any]


def rows_now(fleet: Fleet, plan: Plan, rows: Sequence[Row], swept: Callable[[Plan], Sequence[Row]]) -> list[Row] | None:
    """Return what each rule that keeps room lacks as the fleet runs now; None where that is not known.

    `rows` say so of `plan`, which is taken where nothing moves in it; `swept` looks at another plan's failures.
    """
    now = plan_before(fleet) if fleet.is_live else None
    if now is None or not now.vms:
        return None
    if _places(now) == _places(plan):
        return list(rows)
    return list(swept(now)) if len(fleet.hosts) <= MOST_HOSTS else None


def _places(plan: Plan) -> dict[str, tuple[Any, ...]]:
    return {vm.name: (vm.host, *(cell.nodes for cell in vm.cells), vm.pins) for vm in plan.vms}
