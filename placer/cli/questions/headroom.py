"""``placer headroom``: how many more VMs of a flavor fit, as the fleet is, beside a plan, or after the best moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import fleet_path_of, read_fleet
from placer.cli.plans.states import is_plan
from placer.cli.questions.metrics import MetricsFormat
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.model.goals import HeadroomFlavor
    from placer.model.plan import Plan
    from placer.whatif.headroom import Headroom

SMALLEST_PAGE_KIB = 4


def headroom(
    terminal: Terminal,
    file: Annotated[str, typer.Argument(metavar="FLEET|PLAN", help="An inventory, or a plan to count beside.")],
    flavor: Annotated[
        list[str] | None,
        typer.Option(
            "--flavor",
            metavar="FLAVOR",
            help="vCPUs x memory[/cells][:policy]: 16x64GiB/2, 16x0; repeat. Policy: shared, dedicated, floating; else"
            " that of most VMs.",
        ),
    ] = None,
    cells: Annotated[
        str | None, typer.Option("--cells", metavar="N,N…", help="Count every flavor in so many cells: 1,2,4,auto.")
    ] = None,
    page_size: Annotated[
        str | None, typer.Option("--page-size", metavar="SIZE,…", help="And in pages of each size: 4KiB,1GiB.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option("--like", metavar="VM", help="Count VMs with the needs and rules of this one; repeatable."),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="LABEL", help="Also sum up by a host label, or by host.")
    ] = None,
    moves: Annotated[
        int | None, typer.Option("--moves", min=1, help="Also after the best moves of at most so many VMs, by a solve.")
    ] = None,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="For each solve of --moves, and of reserves.")
    ] = "60s",
    show_all: Annotated[bool, typer.Option("--all", help="Every value of --by.")] = False,
    format: Annotated[MetricsFormat, typer.Option("--format", help="How to print the result.")] = MetricsFormat.TABLE,
) -> Answer:
    """Count how many more VMs of each flavor fit, NUMA-true."""
    from placer.model.goals import as_most, parse_flavor
    from placer.options import SweepOptions
    from placer.planning.after import fleet_after
    from placer.planning.wanted import usual_flavors, wanted_flavors, wanted_like
    from placer.whatif.headroom import headroom as count_headroom
    from placer.whatif.headroom_ruled import ruled_headroom

    limit_s = parse_duration_s(time_limit, "--time-limit")
    flavors = [parse_flavor(text) for text in flavor or ()]
    model, plan = _read(file, fleet, terminal)
    if not flavors and not like:
        flavors = usual_flavors(model)
    flavors = [as_most(model, one) for one in flavors]
    wanted = wanted_flavors(flavors, _cells(cells), _page_sizes(page_size))
    wanted += [wanted_like(model, name) for name in like or ()]
    if plan is not None and moves is not None:
        raise InputError(
            "--moves counts from where the VMs are now", field="--moves", cure="give the fleet, not a plan"
        )
    if moves is not None and (cells or page_size or like):
        raise InputError(
            "--moves counts flavors in ordinary pages", field="--moves", cure="say the cells in the flavor: 16x64GiB/2"
        )
    wanted.sort(key=lambda one: (one.spec.vcpus, one.spec.memory_kib))
    label = None if by in (None, "host") else by
    found = count_headroom(model, wanted, plan=plan, label=label)
    now = () if plan is None or not model.is_live else count_headroom(model, wanted)
    settled = model if plan is None else fleet_after(model, plan)
    options = SweepOptions(time_limit_s=limit_s)
    found = tuple(ruled_headroom(settled, one, plain, options, label) for one, plain in zip(wanted, found, strict=True))
    after = {} if moves is None else {text.text: _after_moves(model, text, moves, limit_s) for text in flavors}

    def data() -> dict[str, Any]:
        return {
            "headroom": [_data(entry, by, after.get(entry.flavor)) for entry in found],
            "now": {entry.flavor: entry.total for entry in now} or None,
        }

    if format is MetricsFormat.PROMETHEUS:
        from placer.emit.prometheus import exposition, headroom_families

        return Answer(data=data, text=exposition(headroom_families(found, by)))
    nowhere = sum(vm.current is None for vm in model.vms) if plan is None else 0
    return Answer(data=data, text=lambda console: _draw(console, found, now, by, after, moves, show_all, nowhere))


def _cells(text: str | None) -> list[int | str]:
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    for part in parts:
        if part != "auto" and (part not in {str(many) for many in range(1, 9)}):
            raise InputError(f"{part[:60]!r} is no number of cells", field="--cells", cure="write 1 to 8, or auto")
    return ["auto" if part == "auto" else int(part) for part in dict.fromkeys(parts)]


def _page_sizes(text: str | None) -> list[int | None]:
    from placer.model.units import parse_kib

    sizes = [] if text is None else [parse_kib(part.strip()) for part in text.split(",")]
    if any(size < 1 for size in sizes):
        raise InputError(f"{text!r} holds a size of nothing", field="--page-size", cure="write it like 4KiB,1GiB")
    return [None if size == SMALLEST_PAGE_KIB else size for size in dict.fromkeys(sizes)]


def _read(file: str, fleet: str | None, terminal: Terminal) -> tuple[Fleet, Plan | None]:
    from placer.read.documents.plan_file import read_plan

    if not is_plan(file):
        return read_fleet(file, terminal), None
    plan = read_plan(file)
    return read_fleet(fleet_path_of(plan, file, fleet), terminal), plan


def _after_moves(fleet: Fleet, flavor: HeadroomFlavor, moves: int, time_limit: float) -> dict[str, float | None]:
    """Return the headroom that a solve reaches by moving VMs that are on hosts now, and what is proven of it."""
    from placer.planner import solve_fleet
    from placer.planning.after import with_vms

    goal = f"headroom:{flavor.text}"
    present = with_vms(fleet, (vm for vm in fleet.vms if vm.current is not None))
    plan = solve_fleet(present, goals=("rules", goal), max_moves=moves, time_limit_s=time_limit)
    found = plan.goal(goal)
    return {"value": found.value, "bound": found.bound, "moves": moves}


def _data(entry: Headroom, by: str | None, after: dict[str, float | None] | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "flavor": entry.flavor,
        "policy": entry.policy,
        "total": entry.total,
        "at_most": entry.at_most,
        "runs_out_first": entry.first,
        "limits": dict(entry.limits),
        "per_host": dict(entry.per_host),
    }
    if by not in (None, "host"):
        out["per_label"] = dict(entry.per_label)
    if after is not None:
        out["after_moves"] = after
    return out


def _fits(entry: Headroom) -> str:
    from placer.show.words import figure

    if entry.total == entry.at_most:
        return figure(entry.total)
    return f"{figure(entry.total)} of at most {figure(entry.at_most)}"


def _lead(found: Sequence[Headroom], *, beside: bool) -> str:
    """Return how many more of the first and of the last flavor fit, and what runs out if that is one thing for all."""
    from placer.show.words import visible

    ends = dict.fromkeys((found[0].flavor, found[-1].flavor))
    fits = ", or ".join(f"{_fits(one)} more of {visible(one.flavor)}" for one in found if one.flavor in ends)
    firsts = {one.first for one in found}
    short = f"; what runs out first: {firsts.pop()}" if len(firsts) == 1 and None not in firsts else ""
    return f"{fits} fit{' beside the plan' if beside else ''}{short}."


def _draw(
    console: Console,
    found: tuple[Headroom, ...],
    now: Sequence[Headroom],
    by: str | None,
    after: dict[str, dict[str, float | None]],
    moves: int | None,
    show_all: bool,
    nowhere: int,
) -> None:
    from rich.table import Table

    from placer.model.units import count
    from placer.show.rows import MOST, draw_rows, say
    from placer.show.words import figure, visible

    say(console, _lead(found, beside=bool(now)))
    if nowhere:
        say(
            console,
            f"{count(nowhere, 'VM')} that {'is' if nowhere == 1 else 'are'} nowhere yet: not counted; a plan is.",
        )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("flavor")
    table.add_column("policy")
    if now:
        table.add_column("fit now", justify="right")
    table.add_column("fit beside the plan" if now else "fit", justify="right")
    table.add_column("runs out first")
    if moves is not None:
        table.add_column(f"with {count(moves, 'move')}", justify="right")
        table.add_column("at most", justify="right")
    before = {entry.flavor: [_fits(entry)] for entry in now}
    for entry in found:
        first = entry.first or f"nothing holds it: {entry.why}"
        row = [entry.flavor, entry.policy, *before.get(entry.flavor, ()), _fits(entry), first]
        if moves is not None:
            row += [figure(after[entry.flavor]["value"]), figure(after[entry.flavor]["bound"])]
        table.add_row(*row)
    console.print(table)
    if by is None:
        return
    for entry in found:
        parts = entry.per_host if by == "host" else entry.per_label
        console.print(f"\n{visible(entry.flavor)} by {visible(by)}, the most first")
        rows = [
            (visible(name) or "(without the label)", f"{many:,}")
            for name, many in sorted(parts.items(), key=lambda part: (-part[1], part[0]))
        ]
        draw_rows((by, "fit#"), rows, console, most=None if show_all else MOST, rest="--all")
