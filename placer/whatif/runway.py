"""Runway: how many months of growth a fleet takes until the first VM does not fit, by bisection over solves."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.failures.kept import impossible_reserve
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import RuleKind
from placer.model.units import count
from placer.options import SweepOptions
from placer.planner import solve_with
from placer.sweeps.executors import Pool, Task, kept_open, serial
from placer.sweeps.tasks import Variant, identity_of, swept
from placer.whatif.edit_vms import grown

MOST_MONTHS = 120
MOST_VMS = 1_000_000

OnMonth = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month that was solved: VMs in all, VMs without a place, and whether a plan with fewer is proven not to be.

    `reserve` is False where a failure that reserve rules name is not survived, True where all are, None without such
    rules.
    """

    month: int
    vms: int
    unplaced: int
    proven: bool
    reason: str | None = None
    reserve: bool | None = None

    @property
    def fits(self) -> bool:
        """Tell whether everything fits, failures to be survived included."""
        return self.unplaced == 0 and self.reserve is not False


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
    pool: Pool | None = None,
    results: Path | None = None,
    on_month: OnMonth | None = None,
) -> Runway:
    """Return how long the fleet lasts when every kind of VM grows by a share a month.

    Parameters
    ----------
    share : growth a month, compounded: in month m there are n × (1 + share)^m VMs of a kind, rounded up, and those of a
        month hold all of the month before. Month 0 is now.
    most_months : how far to look.
    pool : where months are solved. A wide pool solves months ahead that the search may ask for next; the answer holds
        those that it did ask for, and is the same on any pool.
    results : a file to which months are appended as they come, and from which a second run goes on.

    Raises
    ------
    InputError
        The share is not above 0.
    """
    if share <= 0:
        raise InputError("growth of nothing fills no fleet", field="--growth", cure="say it like 3%")
    with kept_open(pool or serial()) as kept:
        probes = _Probes(fleet=fleet, share=share, options=options, pool=kept, results=results, on_month=on_month)
        low, high = -1, 0
        # A month that cannot fit, by what all VMs and hosts come to or found by doubling; bisection finds the first.
        crowded = _crowded(fleet, share, most_months)
        while high <= most_months and probes.fits(high, _doubled(high, kept.width, most_months, share)):
            low, high = high, max(1, 2 * high)
            if low < crowded <= most_months:
                low, high = probes.bisected(low, crowded)
            elif low < most_months < high:
                high = most_months
        if low == most_months:
            return Runway(fits=low, full=None, proven=False, months=probes.asked)
        low, high = probes.bisected(low, high)
        return Runway(fits=low, full=high, proven=probes.month(high).proven, months=probes.asked)


def _crowded(fleet: Fleet, share: Fraction, most_months: int) -> int:
    """Return the first month whose VMs ask for more vCPUs or memory than all hosts have: a guess of where to look.

    The search asks for that month itself before it says that it does not fit.
    """
    working = [host for host in fleet.hosts if not host.failed]
    cpus = sum(len(host.usable_cpus) * host.cpu_ratio for host in working)
    memory = sum(host.memory_ratio * sum(node.memory_kib for node in host.topology.nodes) for host in working)
    vcpus = sum(vm.spec.vcpus for vm in fleet.vms)
    asked = sum(vm.spec.memory_kib for vm in fleet.vms)
    for month in range(most_months + 1):
        grown_by = (1 + share) ** month  # exact: a thousand months of doubling are no float
        if vcpus * grown_by > cpus or asked * grown_by > memory:
            return month
    return most_months + 1


def _doubled(month: int, width: int, most_months: int, share: Fraction) -> list[int]:
    """Return the months that doubling asks for next if all before them fit.

    Months of more than twice the VMs are no good guess, and dear.
    """
    out = [month]
    while len(out) < width and out[-1] < most_months:
        later = min(most_months, max(1, 2 * out[-1]))
        if (1 + share) ** (later - month) > 2:
            break
        out.append(later)
    return out


def _halved(low: int, high: int, width: int) -> list[int]:
    """Return the months that bisection may ask for in its next steps, whatever it finds: the nearest steps first."""
    spans: deque[tuple[int, int]] = deque([(low, high)])
    out: list[int] = []
    while spans and len(out) < width:
        low, high = spans.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            out.append(middle)
            spans += [(middle, high), (low, middle)]
    return out


@dataclass(slots=True, kw_only=True)
class _Probes:
    """Months solved so far, with those that the search asked for."""

    fleet: Fleet
    share: Fraction
    options: SweepOptions
    pool: Pool
    results: Path | None
    on_month: OnMonth | None
    solved: dict[int, Month] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)

    def fits(self, month: int, ahead: Sequence[int]) -> bool:
        """Tell whether everything fits in a month; months ahead are solved beside it where there is width."""
        if month not in self.solved:
            self._solve([month, *(other for other in ahead if other != month and other not in self.solved)])
        found = self.solved[month]
        if self.on_month is not None and month not in self.wanted:
            self.on_month(month, found.fits)
        self.wanted.add(month)
        return found.fits

    def bisected(self, low: int, high: int) -> tuple[int, int]:
        """Return the last month known to fit and the one after it, given one that fits and one that does not."""
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.fits(middle, _halved(low, high, self.pool.width))
            low, high = (middle, high) if fits else (low, middle)
        return low, high

    def month(self, number: int) -> Month:
        """Return a month that was solved."""
        return self.solved[number]

    @property
    def asked(self) -> tuple[Month, ...]:
        """The months that the search asked for, in order."""
        return tuple(self.solved[month] for month in sorted(self.wanted))

    def _solve(self, months: Sequence[int]) -> None:
        # A month ahead may have more VMs than placer plans: it is refused only when it is asked for.
        asked = [month for month in months if month == months[0] or not _too_many(self.fleet, self.share, month)]
        grown_fleet(self.fleet, self.share, months[0])
        base = Variant(name=f"runway {self.share}", fleet=self.fleet)
        outcomes = swept(
            solve_month,
            (self.fleet, self.share, self.options),
            [Task(key=f"month {month}", payload=month) for month in asked],
            identity_of("runway", [base], self.options),
            self.pool,
            self.results,
            None,
            answers="month",
        )
        for month, outcome in zip(asked, outcomes, strict=True):
            if outcome.error is None:
                self.solved[month] = Month(**outcome.value)
            elif month == months[0]:
                raise NothingFoundError(f"month {month}: {outcome.error}")


def grown_fleet(fleet: Fleet, share: Fraction, month: int) -> Fleet:
    """Return the fleet after so many months of growth.

    Raises
    ------
    InputError
        It would have more VMs than placer plans.
    """
    if _too_many(fleet, share, month):
        raise InputError(f"month {month} would have more than {MOST_VMS} VMs", cure="look fewer months ahead")
    new = grown(fleet.vms, (1 + share) ** month - 1, set(fleet.vm_by_name))
    return dataclasses.replace(fleet, vms=(*fleet.vms, *new))


def _too_many(fleet: Fleet, share: Fraction, month: int) -> bool:
    return len(fleet.vms) * (1 + share) ** month > MOST_VMS


def solve_month(context: tuple[Fleet, Fraction, SweepOptions], month: int) -> dict[str, Any]:
    """Plan a month; what a worker runs. Plain data: see `Month`."""
    fleet, share, options = context
    later = grown_fleet(fleet, share, month)
    asked = dataclasses.replace(options, goals=("placed",))
    vms = len(later.vms)
    try:
        plan = solve_with(later, asked)
    except (ImpossibleError, NothingFoundError) as error:
        proven = isinstance(error, ImpossibleError)
        return asdict(Month(month=month, vms=vms, unplaced=vms, proven=proven, reason=str(error)))
    reason = plan.unplaced[0].reason if plan.unplaced else None
    proven, kept = _some_stay_out(plan), None
    said = plan.summary.get("reserve")
    if said is not None:
        kept = all(one["proven"] for one in said)
        short = [one for one in said if "slots" in one and one["bound"]]
        if not kept and not plan.unplaced and short:
            lacking = count(short[0]["bound"], "slot has", "slots have")
            reason, proven = f"{short[0]['rule']}: at least {lacking} no room", True
        elif not kept and not plan.unplaced:
            reason, proven = _not_survived(later, asked)
    return asdict(Month(month=month, vms=vms, unplaced=len(plan.unplaced), proven=proven, reason=reason, reserve=kept))


def _not_survived(fleet: Fleet, options: SweepOptions) -> tuple[str, bool]:
    """Return what is known of failures that no plan found survives: a sentence, and whether none can."""
    for rule in fleet.rules:
        if rule.kind is RuleKind.RESERVE and not rule.holds:
            failed = impossible_reserve(fleet, rule, options, solve_with)
            if failed is not None:
                return f"without {rule.scope} {' and '.join(failed)} the others do not hold all VMs", True
    return "no plan was found that keeps every reserve rule", False


def _some_stay_out(plan: Plan) -> bool:
    """Tell whether it is proven that not every VM has a place."""
    bound = plan.goal("placed").bound
    return bound is not None and bound > 0
