"""Remote access against hosts against moves: the plans of which none is worse than another in all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.sweeps.executors import Pool, Task
from placer.sweeps.tasks import OnDone, Variant, identity_of, swept
from placer.whatif.compare import Row, solve_variant

SLACKS = (0, 5, 10, 20, 40, 80)
"""Per cent of hosts above the fewest that a plan may use to come nearer to its memory."""
AXES = ("remote_access", "host_cost", "moves")


def pareto(
    fleet: Fleet,
    options: SweepOptions,
    *,
    moves: Sequence[int] = (),
    slacks: Sequence[int] = SLACKS,
    pool: Pool | None = None,
    results: Path | None = None,
    on_done: OnDone | None = None,
) -> tuple[Row, ...]:
    """Return the plans that no other one of the sweep beats, from the fewest moves and then the cheapest hosts.

    Every limit on moves is planned with every slack: ``placed,rules,hosts~slack,remote`` and, for the nearest of all,
    ``placed,rules,remote,hosts``. A row has ``remote_access``, ``host_cost``, ``moves``, ``limit`` (on moves),
    ``slack`` (None: hosts last), ``proven`` (of its own goals in their order) and the goals as in `whatif.compare`.

    Raises
    ------
    InputError
        No plan was found at all, or limits that are none.
    """
    if fleet.is_live and not moves:
        raise InputError("a fleet with placed VMs needs limits on moves", field="--moves", cure="such as 0,10,100")
    limits: list[int | None] = [*moves] if fleet.is_live else [None]
    asked = [(limit, slack) for limit in limits for slack in [*slacks, None]]
    tasks = [Task(key=f"moves {limit}, slack {slack}", payload=(limit, slack)) for limit, slack in asked]
    base = Variant(name="pareto", fleet=fleet)
    outcomes = swept(
        solve_point,
        (base, options),
        tasks,
        identity_of("pareto", [base], options),
        pool,
        results,
        on_done,
        answers="point",
    )
    rows = [outcome.value for outcome in outcomes if outcome.value is not None and "goals" in outcome.value]
    if not rows:
        why = next((o.error or o.value.get("reason") for o in outcomes), "")
        raise InputError(f"no plan was found at all: {why}")
    return front(rows)


def solve_point(context: tuple[Variant, SweepOptions], payload: tuple[int | None, int | None]) -> dict[str, Any]:
    """Plan with one limit on moves and one slack of hosts; what a worker runs."""
    variant, options = context
    limit, slack = payload
    order = ("remote", "hosts") if slack is None else (f"hosts~{slack}%", "remote")
    try:
        row = solve_variant(([variant], replace(options, goals=("placed", "rules", *order), max_moves=limit)), 0)
    except (ImpossibleError, NothingFoundError) as error:
        return {"reason": str(error)}
    if "goals" not in row:
        return row
    found = {goal["name"]: goal for goal in row["goals"]}
    return {
        **row,
        "limit": limit,
        "slack": slack,
        "moves": row["migrations"] + row["node_changes"],
        "host_cost": found["hosts"]["value"],
        "proven": all(goal["status"] == "optimal" for goal in row["goals"]),
    }


def front(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows that place most and that no other beats, each point once."""
    most = max(row["vcpus_placed"] for row in rows)
    best: dict[tuple[float, ...], Row] = {}
    for row in rows:
        point = tuple(row[axis] for axis in AXES)
        if row["vcpus_placed"] == most and (point not in best or (row["proven"] and not best[point]["proven"])):
            best[point] = row
    kept = [
        point
        for point in best
        if not any(other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in best)
    ]
    return tuple(best[point] for point in sorted(kept, key=lambda point: (point[2], point[1], point[0])))
