"""``placer report``: a plan as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import STDIN, fleet_of_plan, refuse_existing
from placer.cli.plans.states import read_state
from placer.cli.terminal import Terminal
from placer.errors import InputError

if TYPE_CHECKING:
    from placer.read.documents.comparison_file import Scenario


def report(
    terminal: Terminal,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan; - reads standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The HTML file; - prints it.")],
    flavor: Annotated[
        list[str] | None,
        typer.Option(
            "--flavor", metavar="FLAVOR", help="Count the headroom of 16x64GiB, 16x64GiB/2, 16x0; repeat for several."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="FILE", help="Also chart what placer whatif -o FILE.json wrote."),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option("--beside", metavar="OLD", help="Also tell what differs from last week's plan or fleet."),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="FILE", help="The inventory, if not where the plan says.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> Answer:
    """Write a plan as one HTML file with maps of its hosts."""
    from placer.emit.report.page import Since
    from placer.emit.report.report import report_html
    from placer.emit.writer import write_files
    from placer.model.goals import parse_flavor
    from placer.read.documents.plan_file import read_plan

    flavors = [parse_flavor(text) for text in flavor or ()]
    refuse_existing(output, force)
    if plan == compare == STDIN:
        raise InputError("plan and comparison cannot both come from standard input", cure="give one of them as a file")
    if beside == STDIN:
        raise InputError("an earlier state is read from a file", field="--beside", cure="name a plan or an inventory")
    model = read_plan(plan)
    scenarios: tuple[Scenario, ...] = ()
    if compare is not None:
        from placer.read.documents.comparison_file import read_comparison

        scenarios = read_comparison(compare)
    source = fleet_of_plan(model, plan, fleet, terminal)
    since = None
    if beside is not None:
        since = Since.of(read_state(beside, None, terminal, known=source), source, model)
    text = report_html(model, source, flavors=flavors, scenarios=scenarios, since=since)
    if output == STDIN:
        return Answer(data=lambda: {"html": text}, text=text)
    data = text.encode()
    write_files({Path(output): data}, force=force)
    terminal.note(f"wrote {output}")
    return Answer(data=lambda: {"file": output, "bytes": len(data)}, text="")
