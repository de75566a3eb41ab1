"""Scenarios side by side: each planned by itself, each row computed from its own plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from placer.errors import ImpossibleError, NothingFoundError
from placer.measure.measure import score_fleet
from placer.model.fleet import Fleet
from placer.model.goals import as_most, parse_flavor, parse_goals
from placer.model.plan import Change, Plan
from placer.options import SweepOptions
from placer.planner import solve_with
from placer.read.documents.scenario_file import Scenario
from placer.sweeps.executors import Outcome, Pool, Task
from placer.sweeps.tasks import OnDone, Variant, identity_of, swept
from placer.whatif.headroom import headroom
from placer.whatif.scenario import variants
from placer.whatif.stuck import stuck_vms

FEW_HOSTS = 20
FEW_HOSTS_LIMIT_S = 2.0
MANY_HOSTS_LIMIT_S = 15.0
"""On a dozen hosts ten scenarios side by side are an answer to wait for, on hundreds a few within a minute; each row
tells its gap.
"""

Row = dict[str, Any]


def usual_limit_s(fleet: Fleet) -> float:
    """Return the seconds for each solve of a comparison where nobody says otherwise."""
    return FEW_HOSTS_LIMIT_S if len(fleet.hosts) <= FEW_HOSTS else MANY_HOSTS_LIMIT_S


def compare(
    variants: Sequence[Variant],
    options: SweepOptions,
    *,
    pool: Pool | None = None,
    results: Path | None = None,
    on_done: OnDone | None = None,
) -> tuple[Row, ...]:
    """Plan every variant and return one row of plain data each, in their order.

    A row has ``name``, ``changes``, ``status`` (as of a plan, or ``impossible``, ``nothing found``, ``given up``, with
    a ``reason``), and where there is a plan: ``vms``, ``placed``, ``vcpus_placed``, ``unplaced`` (reason -> VMs),
    ``remote_access``, ``locality_score``, ``hosts_used``, ``hosts``, ``headroom`` (flavor -> its policy, how many more
    fit, and what runs out first), ``migrations``, ``node_changes``, ``restarts``, ``goals``, ``drains`` (of each host
    that is to be emptied what leaves it, and what is left and why), ``reserve`` (of each rule that keeps room whether
    that is ``proven``, with value and bound of what lacks), ``over`` (what VMs that run take that their hosts would not
    have, part by part, and why they stay there) and ``rounds``.

    Raises
    ------
    InputError
        Unknown goals or flavors, or a results file of another sweep.
    """
    parse_goals(options.goals, variants[0].fleet)
    for text in options.headroom:
        parse_flavor(text)
    tasks = [Task(key=variant.name, payload=number) for number, variant in enumerate(variants)]
    context = (tuple(variants), options)
    outcomes = swept(
        solve_variant, context, tasks, identity_of("whatif", variants, options), pool, results, on_done, answers="row"
    )
    return tuple(_row(variant, outcome) for variant, outcome in zip(variants, outcomes, strict=False))


def compare_scenarios(
    fleet: Fleet, scenarios: Sequence[Scenario], options: SweepOptions | None = None, *, stack: bool = False
) -> tuple[Row, ...]:
    """Plan a fleet as it is and after each scenario, in this process; rows as of `compare`.

    Raises
    ------
    InputError
        Edits that cannot be made, unknown goals or flavors.
    """
    chosen = options or SweepOptions(time_limit_s=usual_limit_s(fleet))
    return compare(variants(fleet, scenarios, stack=stack), chosen)


def solve_variant(context: tuple[Sequence[Variant], SweepOptions], number: int) -> Row:
    """Plan one variant; what a worker runs."""
    variants, options = context
    fleet = variants[number].fleet
    try:
        plan = solve_with(fleet, options)
    except ImpossibleError as error:
        return {"status": "impossible", "reason": stuck_vms(fleet, moves=_may_move(options)) or str(error)}
    except NothingFoundError as error:
        return {"status": "nothing found", "reason": str(error)}
    score = score_fleet(fleet, plan)
    changes = Counter(vm.change for vm in plan.vms)
    # All rows count the same VMs: of the policy of most of the first fleet's.
    flavors = [as_most(variants[0].fleet, parse_flavor(text)) for text in options.headroom]
    found = headroom(fleet, flavors, plan=plan) if flavors else ()
    specs = {vm.name: vm.spec for vm in fleet.vms}
    return {
        "status": plan.status,
        "vms": len(fleet.vms),
        "placed": len(plan.vms),
        "vcpus_placed": sum(specs[vm.name].vcpus for vm in plan.vms),
        "unplaced": dict(sorted(Counter(left.reason for left in plan.unplaced).items())),
        "remote_access": score.remote_access,
        "locality_score": score.locality_score,
        "hosts_used": len({vm.host for vm in plan.vms}),
        "hosts": sum(not host.failed for host in fleet.hosts),
        "headroom": {
            asked: {"policy": entry.policy, "fit": entry.total, "runs_out_first": entry.first}
            for asked, entry in zip(options.headroom, found, strict=True)
        },
        "migrations": changes[Change.MIGRATE],
        "node_changes": changes[Change.RENODE],
        "restarts": changes[Change.RESTART],
        "goals": [
            {"name": goal.name, "value": goal.value, "bound": goal.bound, "gap": goal.gap, "status": goal.status}
            for goal in plan.goals
        ],
        "drains": plan.summary.get("drains", []),
        "reserve": plan.summary.get("reserve", []),
        "over": _over(fleet, plan, options),
        "rounds": plan.rounds,
    }


def _over(fleet: Fleet, plan: Plan, options: SweepOptions) -> dict[str, Any] | None:
    """Return what VMs that are there take that their hosts have not; None where nothing lacks."""
    found = next((goal for goal in plan.goals if goal.name.partition("~")[0] == "excess"), None)
    parts = {} if found is None else {str(one["part"]): one["value"] for one in found.tiers if one["value"]}
    return {"parts": parts, "why": stuck_vms(fleet, moves=_may_move(options))} if parts else None


def _may_move(options: SweepOptions) -> bool:
    return bool(options.max_moves or options.max_migrations)


def _row(variant: Variant, outcome: Outcome) -> Row:
    found = outcome.value if outcome.error is None else {"status": "given up", "reason": outcome.error}
    return {"name": variant.name, "changes": list(variant.changes), **found}
