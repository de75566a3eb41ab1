"""``placer headroom``: how many more VMs of a flavor fit, as the fleet is, beside a plan, or after the best moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import fleet_path_of, read_bytes, read_fleet
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.model.plan import Plan
    from placer.planning.goals import HeadroomFlavor
    from placer.planning.headroom import Headroom


def headroom(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FLEET|PLAN", help="An inventory, or a plan to count beside.")],
    flavor: Annotated[
        list[str],
        typer.Option("--flavor", help="vCPUs x memory[/cells]: 16x64GiB, 16x64GiB/2, 16x0; repeat for several."),
    ],
    by: Annotated[
        str | None, typer.Option("--by", metavar="LABEL", help="Also sum up by a host label, or by host.")
    ] = None,
    moves: Annotated[
        int | None, typer.Option("--moves", min=1, help="Also after the best moves of at most so many VMs, by a solve.")
    ] = None,
    fleet: Annotated[str | None, typer.Option("--fleet", help="The plan's inventory, if not the one it names.")] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", help="Seconds for each solve of --moves.")] = 60.0,
) -> Answer:
    """Count how many more VMs of each flavor fit, NUMA-true."""
    from placer.planning.goals import parse_flavor
    from placer.planning.headroom import headroom as count_headroom

    flavors = [parse_flavor(text) for text in flavor]
    model, plan = _read(file, fleet, terminal)
    if plan is not None and moves is not None:
        raise InputError(
            "--moves counts from where the VMs are now", field="--moves", cure="give the fleet, not a plan"
        )
    found = count_headroom(model, flavors, plan=plan, label=None if by in (None, "host") else by)
    after = {} if moves is None else {text.text: _after_moves(model, text, moves, time_limit) for text in flavors}

    def data() -> dict[str, Any]:
        return {"headroom": [_data(entry, by, after.get(entry.flavor)) for entry in found]}

    return Answer(data=data, text=lambda console: _draw(console, found, by, after, moves))


def _read(file: str, fleet: str | None, terminal: Terminal) -> tuple[Fleet, Plan | None]:
    from placer.read.plan_file import read_plan
    from placer.read.recognise import Format, recognise

    raw, source = read_bytes(file)
    if recognise(raw, source) is not Format.PLAN:
        return read_fleet(file, terminal), None
    plan = read_plan(file)
    return read_fleet(fleet_path_of(plan, file, fleet), terminal), plan


def _after_moves(fleet: Fleet, flavor: HeadroomFlavor, moves: int, time_limit: float) -> dict[str, float | None]:
    """Return the headroom that a solve reaches by moving VMs that are on hosts now, and what is proven of it."""
    from placer.planning.after import with_vms
    from placer.planning.solve import solve_fleet

    goal = f"headroom:{flavor.text}"
    present = with_vms(fleet, (vm for vm in fleet.vms if vm.current is not None))
    plan = solve_fleet(present, goals=("rules", goal), max_moves=moves, time_limit_s=time_limit)
    found = plan.goal(goal)
    return {"value": found.value, "bound": found.bound, "moves": moves}


def _data(entry: Headroom, by: str | None, after: dict[str, float | None] | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "flavor": entry.flavor,
        "total": entry.total,
        "runs_out_first": entry.first,
        "limits": dict(entry.limits),
        "per_host": dict(entry.per_host),
    }
    if by not in (None, "host"):
        out["per_label"] = dict(entry.per_label)
    if after is not None:
        out["after_moves"] = after
    return out


def _draw(
    console: Console,
    found: tuple[Headroom, ...],
    by: str | None,
    after: dict[str, dict[str, float | None]],
    moves: int | None,
) -> None:
    from rich.table import Table

    from placer.show.words import figure

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("flavor")
    table.add_column("fit", justify="right")
    table.add_column("runs out first")
    if moves is not None:
        table.add_column(f"with {moves} moves", justify="right")
        table.add_column("at most", justify="right")
    for entry in found:
        row = [entry.flavor, figure(entry.total), entry.first or "nothing holds it"]
        if moves is not None:
            row += [figure(after[entry.flavor]["value"]), figure(after[entry.flavor]["bound"])]
        table.add_row(*row)
    console.print(table)
    if by is None:
        return
    for entry in found:
        parts = entry.per_host if by == "host" else entry.per_label
        console.print(f"\n{entry.flavor} by {by}")
        for name, count in sorted(parts.items()):
            console.print(f"  {name or '(without the label)'}  {count}", highlight=False, markup=False)
