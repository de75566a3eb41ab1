"""Runway: how many months of growth a fleet takes until the first VM does not fit, by bisection over solves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planning.scenario import Variant
from placer.planning.scenario_vms import grown
from placer.planning.whatif import SweepOptions, solve_with

MOST_MONTHS = 120
MOST_VMS = 1_000_000

OnMonth = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month that was solved: VMs in all, VMs without a place, and whether a plan with fewer is proven not to be."""

    month: int
    vms: int
    unplaced: int
    proven: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runway:
    """The answer: everything fits through month `fits` (a plan shows it) and not in month `full`.

    `full` is None where everything fits as far as was looked; `proven` says that no plan fits month `full`. `months`
    are those that were solved, in order.
    """

    fits: int
    full: int | None
    proven: bool
    months: tuple[Month, ...]


def runway(
    fleet: Fleet,
    share: Fraction,
    options: SweepOptions,
    *,
    most_months: int = MOST_MONTHS,
    on_month: OnMonth | None = None,
) -> Runway:
    """Return how long the fleet lasts when every kind of VM grows by a share a month.

    Parameters
    ----------
    share : growth a month, compounded: in month m there are n × (1 + share)^m VMs of a kind, rounded up, and those of a
        month hold all of the month before. Month 0 is now.
    most_months : how far to look.

    Raises
    ------
    InputError
        The share is not above 0.
    """
    if share <= 0:
        raise InputError("growth of nothing fills no fleet", field="--growth", cure="say it like 3%")
    solved: dict[int, Month] = {}

    def fits(month: int) -> bool:
        solved[month] = _solve(fleet, share, month, options)
        if on_month is not None:
            on_month(month, solved[month].unplaced == 0)
        return solved[month].unplaced == 0

    low, high = -1, 0
    # Doubling finds a month that does not fit, bisection the first one.
    while high <= most_months and fits(high):
        low, high = high, max(1, 2 * high)
        if low < most_months < high:
            high = most_months
    if low == most_months:
        return Runway(fits=low, full=None, proven=False, months=_sorted(solved))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Runway(fits=low, full=high, proven=solved[high].proven, months=_sorted(solved))


def _sorted(solved: dict[int, Month]) -> tuple[Month, ...]:
    return tuple(solved[month] for month in sorted(solved))


def grown_fleet(fleet: Fleet, share: Fraction, month: int) -> Fleet:
    """Return the fleet after so many months of growth.

    Raises
    ------
    InputError
        It would have more VMs than placer plans.
    """
    more = (1 + share) ** month - 1
    if len(fleet.vms) * (1 + more) > MOST_VMS:
        raise InputError(f"month {month} would have more than {MOST_VMS} VMs", cure="look fewer months ahead")
    new = grown(fleet.vms, more, set(fleet.vm_by_name))
    return dataclasses.replace(fleet, vms=(*fleet.vms, *new))


def _solve(fleet: Fleet, share: Fraction, month: int, options: SweepOptions) -> Month:
    later = grown_fleet(fleet, share, month)
    asked = dataclasses.replace(options, goals=("placed",))
    try:
        plan = solve_with(Variant(name=f"month {month}", fleet=later), asked)
    except (ImpossibleError, NothingFoundError) as error:
        proven = isinstance(error, ImpossibleError)
        return Month(month=month, vms=len(later.vms), unplaced=len(later.vms), proven=proven, reason=str(error))
    reason = plan.unplaced[0].reason if plan.unplaced else None
    return Month(
        month=month, vms=len(later.vms), unplaced=len(plan.unplaced), proven=_some_stay_out(plan), reason=reason
    )


def _some_stay_out(plan: Plan) -> bool:
    """Tell whether it is proven that not every VM has a place."""
    bound = plan.goal("placed").bound
    return bound is not None and bound > 0
