"""``placer fit``: where new VMs would go, without touching what runs, and what would have to move to make room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet
from placer.cli.terminal import Terminal
from placer.errors import InputError, RequirementError

if TYPE_CHECKING:
    from rich.console import Console

    from placer.model.plan import PlanVm
    from placer.whatif.fit_parts import Fit


def fit(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    flavor: Annotated[
        list[str] | None,
        typer.Option("--flavor", metavar="FLAVOR", help="vCPUs x memory[/cells][:policy]: 16x64GiB/2; repeatable."),
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option("--like", metavar="VM", help="A VM that needs what this one needs; repeatable.")
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=10_000, help="So many of each.")] = 1,
    max_moves: Annotated[
        int, typer.Option("--max-moves", metavar="N", min=0, help="Most VMs that may move where room is lacking.")
    ] = 0,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="For each plan that is tried, such as 5s.")
    ] = "1s",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same answer.")] = 0,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="PLATFORM", help="Print what makes them there: for proxmox or openstack."),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Every VM that fits.")] = False,
) -> Answer:
    """Find places and pins for new VMs without touching what runs.

    Where there is no room, VMs are pinned anew on their nodes, and then at most so many moved as --max-moves says. They
    take no slot that a rule of the inventory keeps free. Exit code 5: some have no place.
    """
    from placer.emit.platforms.create import CREATORS, create_lines
    from placer.model.goals import as_most, parse_flavor
    from placer.planning.wanted import wanted_flavor, wanted_like
    from placer.whatif.fit import fit as find_places

    if not flavor and not like:
        raise InputError("nothing to place is named", field="--flavor", cure="say --flavor 16x64GiB or --like VM")
    if to is not None and to not in CREATORS:
        raise InputError(f"there is no {to!r} to make VMs on", field="--to", cure=f"use one of {', '.join(CREATORS)}")
    limit_s = parse_duration_s(time_limit, "--time-limit")
    model = read_fleet(fleet, terminal)
    wanted = [wanted_flavor(as_most(model, parse_flavor(text))) for text in flavor or ()]
    wanted += [wanted_like(model, name) for name in like or ()]
    found = find_places(model, [(one, count) for one in wanted], max_moves=max_moves, time_limit_s=limit_s, seed=seed)
    failure = None
    if found.unplaced:
        first = found.unplaced[0]
        failure = RequirementError(
            f"{len(found.unplaced)} of the VMs have no place, {first.name!r} among them: {first.reason}",
            cure="allow more moves with --max-moves" if max_moves else "allow moves with --max-moves",
        )
    kinds = {vm.name: vm for vm in found.wanted}
    lines = [] if to is None else create_lines([(vm, kinds[vm.name]) for vm in found.vms], to)
    return Answer(
        data=lambda: _data(found, lines), text=lambda console: _draw(console, found, lines, show_all), failure=failure
    )


def _data(found: Fit, lines: list[str]) -> dict[str, Any]:
    return {
        **({"commands": lines} if lines else {}),
        "vms": [_place(vm) for vm in found.vms],
        "unplaced": [{"name": left.name, "reason": left.reason} for left in found.unplaced],
        "moved": [{**_place(vm), "from_host": vm.from_host, "change": vm.change.value} for vm in found.moved],
        "repinned": list(found.repinned),
        "hosts_planned": found.hosts,
        "hosts": found.hosts_in_all,
        "no_more_fit": found.proven,
        "reserve": list(found.reserve),
    }


def _place(vm: PlanVm) -> dict[str, Any]:
    from placer.model.cpuset import format_cpuset

    return {
        "name": vm.name,
        "host": vm.host,
        "nodes": [sorted(cell.nodes) for cell in vm.cells],
        "pins": {str(vcpu): format_cpuset(cpus) for vcpu, cpus in sorted(vm.pins.items())},
        "emulator": None if vm.emulator is None else format_cpuset(vm.emulator),
    }


def _draw(console: Console, found: Fit, lines: list[str], show_all: bool) -> None:
    from placer.model.cpuset import format_cpuset
    from placer.model.units import count
    from placer.show.reserve_words import reserve_sentences
    from placer.show.rows import MOST, draw_rows, say
    from placer.show.words import listed, visible

    wanted = len(found.vms) + len(found.unplaced)
    hosts = list(dict.fromkeys(visible(vm.host) for vm in found.vms))
    say(
        console,
        f"{len(found.vms):,} of {count(wanted, 'VM')} fit" + (f", on {listed(hosts, 5)}." if hosts else "."),
    )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if found.vms and not lines:
        rows = []
        for vm in found.vms:
            nodes = frozenset().union(*(cell.nodes for cell in vm.cells))
            cpus = frozenset().union(*vm.pins.values())
            rows.append((visible(vm.name), visible(vm.host), format_cpuset(nodes) or "floats", format_cpuset(cpus)))
        draw_rows(("VM", "host", "nodes", "CPUs"), rows, console, most=None if show_all else MOST, rest="--all")
    for vm in found.moved:
        where = f"to {vm.host}" if vm.from_host not in (None, vm.host) else f"to other nodes of {vm.host}"
        console.print(f"first move {vm.name} {where}", highlight=False, markup=False)
    if found.repinned:
        shown = ", ".join(found.repinned[:5]) + (" …" if len(found.repinned) > 5 else "")
        console.print(f"first pin anew {count(len(found.repinned), 'VM')}: {shown}", highlight=False, markup=False)
    for left in found.unplaced[:5]:
        console.print(f"no place for {left.name}: {left.reason}", highlight=False, markup=False)
    for sentence in reserve_sentences(found.reserve):
        say(console, f"with them, {sentence}")
