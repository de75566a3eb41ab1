"""Remote access against hosts against moves: the plans of which none is worse than another in all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.options import SweepOptions
from placer.sweeps.executors import Pool, Task
from placer.sweeps.tasks import OnDone, Variant, identity_of, swept
from placer.whatif.compare import FEW_HOSTS, Row, solve_variant

SLACKS = (0, 5, 10, 20, 40, 80)
"""Per cent of hosts above the fewest that a plan may use to come nearer to its memory."""
MANY_SLACKS = (0,)
MOVES, MANY_MOVES = (0, 5, 20, 100), (0, 20, 100)
"""Limits on moves that are tried; of more than `FEW_HOSTS` hosts fewer, with the ends of the slacks, in a minute."""
AXES = ("remote_access", "host_cost", "moves")


def pareto(
    fleet: Fleet,
    options: SweepOptions,
    *,
    moves: Sequence[int] = (),
    slacks: Sequence[int] | None = None,
    pool: Pool | None = None,
    results: Path | None = None,
    on_done: OnDone | None = None,
) -> tuple[Row, ...]:
    """Return the plans that no other one of the sweep beats, from the fewest moves and then the cheapest hosts.

    Every limit on moves is planned with every slack (None: `SLACKS`, on many hosts `MANY_SLACKS`):
    ``placed,rules,hosts~slack,remote`` and, for the nearest of all, ``placed,rules,remote,hosts``; where nothing may
    move all of these are one plan, and one is made. A row has ``remote_access``, ``host_cost``, ``moves``, ``limit``
    (on moves), ``slack`` (None: hosts last), ``proven`` (of its own goals in their order) and the goals as in
    `whatif.compare`.

    Raises
    ------
    InputError
        No plan was found at all, or limits that are none.
    """
    if fleet.is_live and not moves:
        raise InputError("a fleet with placed VMs needs limits on moves", field="--moves", cure="such as 0,10,100")
    asked = _asked(fleet, moves, slacks)
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


def usual_moves(fleet: Fleet) -> Sequence[int]:
    """Return the limits on moves to try where nobody says which."""
    return MOVES if len(fleet.hosts) <= FEW_HOSTS else MANY_MOVES


def _asked(fleet: Fleet, moves: Sequence[int], slacks: Sequence[int] | None) -> list[tuple[int | None, int | None]]:
    """Return the limit on moves and the slack of each plan."""
    if slacks is None:
        slacks = SLACKS if len(fleet.hosts) <= FEW_HOSTS else MANY_SLACKS
    limits: list[int | None] = [*moves] if fleet.is_live else [None]
    fixed = not fleet.drained and all(is_present(fleet, vm) for vm in fleet.vms)
    return [(limit, slack) for limit in limits for slack in ([None] if fixed and limit == 0 else [*slacks, None])]


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
