"""``placer minfleet``: the fewest or cheapest hosts that hold a demand, with the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.inputs import read_fleet, refuse_existing, refuse_existing_plan
from placer.cli.questions.fleet_beside import fleet_beside, refuse_elsewhere, write_with_plan
from placer.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import Console

    from placer.whatif.minfleet import SmallestFleet


def minfleet(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory: its VMs are the demand.")],
    shapes: Annotated[str, typer.Option("--shapes", metavar="A,B", help="Hosts of the inventory to buy more of.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="Write the plan, the hosts bought beside as .yaml."),
    ] = None,
    time_limit: Annotated[str, typer.Option("--time-limit", metavar="TIME", help="For each solve.")] = "60s",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same answer.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, max=1024, help="Processes that search side by side.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> Answer:
    """Find the smallest fleet that holds the VMs, and prove how small it could be at best."""
    from placer.whatif.minfleet import smallest_fleet

    if output is not None:
        refuse_existing_plan(output, force)
        refuse_existing(fleet_beside(output), force)
        refuse_elsewhere(output, fleet, "--output")
    names = [name.strip() for name in shapes.split(",") if name.strip()]
    limit_s = parse_duration_s(time_limit, "--time-limit")
    found = smallest_fleet(read_fleet(fleet, terminal), names, time_limit_s=limit_s, seed=seed, workers=workers)
    if output is not None:
        write_with_plan(found.fleet, found.plan, output, force, terminal)

    def data() -> dict[str, Any]:
        return {"hosts": found.hosts, "cost": found.cost, "bound": found.bound, "status": found.status}

    return Answer(data=data, text=lambda console: _draw(console, found))


def _draw(console: Console, found: SmallestFleet) -> None:
    from placer.model.units import count
    from placer.show.words import figure

    named = ", ".join(f"{many} of {shape}" for shape, many in found.hosts.items())
    number = sum(found.hosts.values())
    verb = "holds" if number == 1 else "hold"
    console.print(f"{count(number, 'host')} {verb} all {count(len(found.plan.vms), 'VM')}: {named}")
    if found.bound is None:
        console.print(f"cost {figure(found.cost)}; nothing is proven of how few could do")
    elif found.status == "optimal":
        console.print(f"cost {figure(found.cost)}: proven, no fewer hold them")
    else:
        console.print(f"cost {figure(found.cost)}; at least {figure(found.bound)} are needed, which is proven")
